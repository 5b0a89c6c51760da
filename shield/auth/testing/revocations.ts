/** Revocations of one process on a given Spine, with everything that a test reads. Tests only. */
import { configFrom } from "../../../shared/config/load.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import { encodeRevocation, revocationKey } from "../../../shared/records/revocations.ts";
import type { Revocation } from "../../../shared/records/revocations.ts";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import { type Holder, openRevocations, type Revocations } from "../revocations.ts";
import { REVOCATION_ROUTES, revokeTokens } from "../../admin/operations/revocations_api.ts";
import { type Ask, asking } from "../../admin/routing/testing/admin.ts";
import { keptLog, SPINE_NOW_MS } from "../../testing/spine.ts";

/** Watching from the start; closed when the scope ends. */
export interface TestRevocations extends Disposable {
  readonly held: Revocations;
  readonly revoke: (tenant_id: string, wanted: Revocation) => Promise<Revocation>;
  readonly bucket: KeyValue;
  readonly lines: readonly string[];
  /** Unix ms, and ms that only grow; a test moves them. */
  readonly clock: { now_ms: number; monotonic_ms: number };
  /** How often new revocations were reported. */
  changes(): number;
  metrics(): Promise<string>;
  /** The query instead of the path. */
  readonly ask: Ask;
}

/** Ann of acme, with a token that was issued a minute ago. */
export function holderOf(change: Partial<Holder> = {}): Holder {
  const iat = SPINE_NOW_MS / 1_000 - 60;
  return { tenant_id: "acme", user_id: "ann", token_id: "t1", claims: { iat }, ...change };
}

/** All of Ann's tokens issued before now, without an end, unless `change` overrides that. */
export function revocationOf(change: Partial<Revocation> = {}): Revocation {
  return {
    kind: "user",
    id: "ann",
    issued_before_ms: SPINE_NOW_MS,
    until_ms: 0,
    reason: "",
    by: "root",
    created_ms: SPINE_NOW_MS,
    ...change,
  };
}

/** Stores it as a Shield does. */
export async function putRevocation(
  bucket: KeyValue,
  tenant_id: string,
  revocation: Revocation,
): Promise<void> {
  await bucket.put(revocationKey(tenant_id, revocation), encodeRevocation(revocation));
}

/** Opens the bucket and starts to watch; the test awaits `held.ready`. */
export async function testRevocations(spine: Spine, most = 1_000): Promise<TestRevocations> {
  const { log, lines } = keptLog();
  const clock = { now_ms: SPINE_NOW_MS, monotonic_ms: 0 };
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const config = configFrom({ limits: { revocations: most } });
  const now = () => clock.now_ms;
  const monotonic_ms = () => clock.monotonic_ms;
  const start = { config, spine, registry, log, now, monotonic_ms };
  const { held, bucket } = await openRevocations(start);
  const admin = { revocations: held, bucket, ...config, log, now, node_id: "s1" };
  let changes = 0;
  held.start(() => changes++);
  return {
    held,
    revoke: (tenant_id, wanted) => revokeTokens(admin, tenant_id, wanted, false),
    bucket,
    lines,
    clock,
    changes: () => changes,
    metrics: () => registry.metrics(),
    ask: asking(REVOCATION_ROUTES, admin, "/v1/revocations"),
    [Symbol.dispose]: () => held.close(),
  };
}
