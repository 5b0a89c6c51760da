/** A hub on an embedded Spine, and subscribers that record their frames. Tests only. */
import type { Random } from "../../../shared/ids.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Frame } from "../frame_bytes.ts";
import { Hub, type Subscriber } from "../hub.ts";
import { createStats, type ShieldStats } from "../../stats/stats.ts";
import { unboundedPatterns } from "../../patterns/testing/unbounded.ts";
import { TenantTable } from "../../stats/tenant_stats.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";

/** A hub with everything that a test reads; closed with its engine when the scope ends. */
export interface TestHub extends AsyncDisposable {
  readonly hub: Hub;
  readonly spine: Spine;
  readonly stats: ShieldStats;
  /** Unix ms and monotonic ms; a test moves them. */
  readonly clock: { now_ms: number; monotonic_ms: number };
  /** What the engine has logged. */
  readonly lines: readonly string[];
}

/** Random bytes, as in a server. */
export const random: Random = (size_bytes) => crypto.getRandomValues(new Uint8Array(size_bytes));

/** `subscription_messages` is the engine's limit: beyond it a subscription loses messages. */
export function testHub(
  limits: { deduplication_entries?: number; subscription_messages?: number } = {},
): TestHub {
  const { deduplication_entries = 1_000, subscription_messages = 65_536 } = limits;
  const engine = testSpine({ subscription_messages });
  const { spine, lines } = engine;
  const clock = { now_ms: SPINE_NOW_MS, monotonic_ms: 0 };
  const stats = createStats();
  const hub = new Hub({
    spine,
    stats,
    tenants: new TenantTable(),
    now: () => clock.now_ms,
    monotonic: () => clock.monotonic_ms,
    random,
    deduplication_entries,
    patterns: unboundedPatterns,
  });
  return {
    hub,
    spine,
    stats,
    clock,
    lines,
    async [Symbol.asyncDispose]() {
      hub.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

/** A binary subscriber with echo, unless `options` say otherwise. */
export function keptSubscriber(
  connection_id: string,
  options: { text?: boolean; no_echo?: boolean } = {},
  onFrame: () => void = () => {},
): Subscriber & { readonly frames: Frame[] } {
  const { text = false, no_echo = false } = options;
  const frames: Frame[] = [];
  const send = (frame: Frame) => {
    frames.push(frame);
    onFrame();
  };
  return { connection_id, text, no_echo, frames, send };
}
