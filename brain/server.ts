/**
 * The Brain without its process: serves room commands and taps the messages on a Spine that is
 * handed in, so that `deno task dev` runs it beside a Shield. Listeners: `listeners.ts`; arguments,
 * files, signals: `main.ts`.
 */
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/log.ts";
import type { Registry } from "../shared/metrics.ts";
import type { HealthCheck, HealthReport } from "../shared/ops.ts";
import type { Spine, Subscription } from "../shared/spine/spine.ts";
import { ALL_COMMANDS, ALL_PUBLISHED } from "../shared/subject.ts";
import { createBrainMetrics } from "./metrics.ts";
import type { BrainMetrics } from "./metrics.ts";
import { createCommandDesk } from "./rooms/commands.ts";
import type { CommandLimits } from "./rooms/commands.ts";
import { createTap } from "./tap.ts";

/** What a Brain needs from its process. */
export interface BrainOptions {
  readonly config: Pick<Config, "brain" | "limits">;
  readonly spine: Spine;
  /** Of component `brain`. */
  readonly log: Logger;
  readonly registry: Registry;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1): spreads the retries of Brains that race for one room. */
  readonly random: () => number;
}

/** A running Brain. */
export interface Brain {
  /** Ready when the Spine is connected and the Brain is not draining. */
  health(): HealthReport;
  /** Takes no new command, answers those it has, then resolves. Leaves the Spine open. Idempotent. */
  drain(): Promise<void>;
}

/** All Brains share the work: each command and each message goes to one of them. */
const QUEUE = "brain";
const ROOMS_BUCKET = "ARQON_ROOMS";
/** What a stored document and an answer with a whole state take beyond the entries, at most. */
const DOCUMENT_OVERHEAD_BYTES = 16_384;

function commandLimits({ config, spine, log }: BrainOptions): CommandLimits {
  const { brain, limits } = config;
  const carried_bytes = Math.max(1, spine.payload_bytes_max - DOCUMENT_OVERHEAD_BYTES);
  const state_bytes = Math.min(brain.state_bytes, carried_bytes);
  if (state_bytes < brain.state_bytes) {
    log.warn("the Spine carries less than [brain] state_bytes", {
      state_bytes: brain.state_bytes,
      used_bytes: state_bytes,
    });
  }
  return {
    state_bytes,
    key_bytes: limits.field_bytes,
    pending_commands: brain.pending_commands,
    pending_bytes: brain.pending_bytes,
    rooms_in_memory: brain.rooms_in_memory,
    command_timeout_ms: limits.command_timeout_ms,
  };
}

function startTap(options: BrainOptions, metrics: BrainMetrics): Subscription | undefined {
  const fraction = Number(options.config.brain.tap);
  if (fraction === 0) return undefined;
  const tap = createTap({ fraction, log: options.log, metrics });
  return options.spine.subscribe(ALL_PUBLISHED, tap, { queue: QUEUE });
}

function spineCheck({ status }: Spine): HealthCheck {
  const server = status.server === undefined ? "" : ` ${status.server}`;
  return {
    ok: status.state === "connected",
    since_ms: status.since_ms,
    detail: `${status.engine}${server} ${status.state}, ${status.reconnects} reconnects`,
  };
}

/**
 * Resolves once the Brain is subscribed. Rejects with `spine-unavailable` when the bucket of the
 * rooms cannot be opened.
 */
export async function startBrain(options: BrainOptions): Promise<Brain> {
  const { spine, log, now, random } = options;
  const metrics = createBrainMetrics(options.registry);
  const limits = commandLimits(options);
  const bucket = await spine.keyValue(ROOMS_BUCKET);
  const desk = createCommandDesk({ bucket, limits, metrics, log, now, random });
  const tap = startTap(options, metrics);
  const commands = spine.subscribe(ALL_COMMANDS, desk.handle, { queue: QUEUE });
  await spine.flush();
  let since_ms = now();
  let drained: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    since_ms = now();
    commands.unsubscribe();
    tap?.unsubscribe();
    await desk.settled();
    // The replies are out when this resolves; without a Spine there is nobody to wait for.
    await spine.flush().catch((error) => log.warn("drained without the Spine", { error }));
  };
  return {
    health: () => {
      const draining = drained !== undefined;
      const detail = draining ? "draining" : "serving";
      return {
        checks: { spine: spineCheck(spine), commands: { ok: !draining, since_ms, detail } },
      };
    },
    drain: () => drained ??= drain(),
  };
}
