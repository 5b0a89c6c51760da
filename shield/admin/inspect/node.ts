/** The record of a Shield for operators of the cluster: totals since its start, and gauges. */
import {
  LAG_METRIC,
  nodeOf,
  QuantileReader,
  totalOf,
} from "../../../shared/cluster/cluster_node.ts";
import type { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import type { Env } from "../../../shared/env.ts";
import type { HealthReport } from "../../../shared/listeners/ops.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Parts } from "../../parts.ts";

/** What the record of a Shield needs. */
export interface ShieldNodeOptions extends Pick<Env, "registry" | "now" | "monotonic_ms"> {
  readonly parts: Parts;
  readonly spine: Pick<Spine, "status">;
  readonly version: string;
  readonly checks: () => HealthReport["checks"];
}

const sum = (table: Readonly<Record<string, number | undefined>>) =>
  Object.values(table).reduce<number>((total, one) => total + (one ?? 0), 0);

const known = (table: Readonly<Record<string, number | undefined>>) =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]),
  );

async function totalsOf({ parts, registry }: ShieldNodeOptions): Promise<ClusterNode["totals"]> {
  const { stats, running } = parts;
  const { publish = 0, http_publish = 0, http_command = 0, schedule = 0 } = stats.ingress_ops;
  const [schema_violations, mirrored] = await Promise.all([
    totalOf(registry, "shield_schema_violation_total"),
    totalOf(registry, "shield_mirror_traffic_total", { outcome: "published" }),
  ]);
  return {
    ingress_messages: publish + http_publish + http_command + schedule,
    ingress_bytes: stats.ingress_bytes,
    egress_messages: stats.egress_messages,
    egress_bytes: stats.egress_bytes,
    handshakes: sum(stats.handshakes),
    rejects: known(stats.rejects),
    closes: known(stats.closes),
    policy_verdicts: {},
    schema_violations,
    mirrored,
    gaps: stats.gaps,
    ...running.totals(),
  };
}

/** Reads this Shield's record. */
export function createShieldNode(options: ShieldNodeOptions): () => Promise<ClusterNode> {
  const { parts, spine, registry, version, checks, now, monotonic_ms } = options;
  const lag = new QuantileReader(registry, LAG_METRIC, monotonic_ms);
  return async () => {
    const { stats } = parts;
    const reading = {
      kind: "shield",
      node_id: parts.node_id,
      version,
      started_ms: parts.started_ms,
      now_ms: now(),
      draining: parts.draining_ms > 0,
      checks: checks(),
      spine: spine.status,
      totals: await totalsOf(options),
      gauges: {
        room_classes_hash: await totalOf(registry, "shield_room_classes_hash"),
        connections: stats.active_connections,
        subscriptions: stats.subscriptions,
        rooms: stats.rooms,
        ...parts.counters.distinct(),
        pending_operations: stats.pending_operations,
        unsent_bytes: stats.unsent_bytes,
      },
    } as const;
    return await nodeOf(reading, lag);
  };
}
