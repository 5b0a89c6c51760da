/** Starts the admin API over the cluster, this Shield's answers to other Shields, and the tails of rooms. */
import type { AnswerHandlers } from "../../../shared/cluster/cluster_answerer.ts";
import { controlAnswers } from "../../../shared/cluster/cluster_control.ts";
import { Sampler, startSampler } from "../../../shared/cluster/cluster_samples.ts";
import { type Registry, scraped } from "../../../shared/metrics/metrics.ts";
import type { ConfigReloading } from "../../../shared/config/live/reload.ts";
import type { Env } from "../../../shared/env.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Logging } from "../../../shared/logs/logging.ts";
import { z } from "zod";
import { HttpRates } from "../../rates/http_rates.ts";
import { DURABLE } from "../../durable/capability.ts";
import type { Parts } from "../../capability.ts";
import { shieldAnswers } from "./answers.ts";
import type { InspectContext } from "./rooms_api.ts";
import { Id } from "../routing/query.ts";
import { Tails } from "./tail.ts";
import {
  LAG_METRIC,
  nodeOf,
  QuantileReader,
  totalOf,
} from "../../../shared/cluster/cluster_node.ts";
import type { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import type { HealthReport } from "../../../shared/listeners/ops.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";

/** What the admin API over the cluster needs of the process. */
interface InspectStart
  extends Pick<Env, "config" | "spine" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly version: string;
  readonly logging?: Pick<Logging, "levels" | "setLevel"> | undefined;
  readonly reloading?: ConfigReloading | undefined;
  readonly onDrain?: ((by: string) => void) | undefined;
}

interface StartedInspect {
  /** What the admin routes over the cluster act on. */
  readonly admin: InspectContext;
  /** Answers of this Shield to questions of others. */
  readonly questions: AnswerHandlers;
  /** Ends all tails, as the process drains. */
  drain(): void;
  close(): void;
}

const DisconnectParams = z.strictObject({
  connection_id: Id,
  by: z.string().max(256),
  /** The only tenant in the asking admin's scope. */
  tenant: Id.optional(),
});

/** Ends a connection of this Shield, and logs who ordered it. */
function disconnectAnswer(parts: Parts, log: Logger): AnswerHandlers {
  return {
    disconnect(params) {
      const { connection_id, by, tenant } = DisconnectParams.parse(params);
      const identity = parts.connections.get(connection_id)?.identity;
      if (tenant !== undefined && identity?.tenant_id !== tenant) return { done: false };
      const done = parts.removals.disconnect(connection_id);
      if (done) {
        const { tenant_id, user_id } = identity ?? {};
        const whose = { connection: connection_id, tenant_id, user: user_id };
        log.info("an operator ended a connection", { ...whose, by });
      }
      return { done };
    },
  };
}

/** Starts the admin API over the cluster, and this Shield's answers to others. */
export function startInspect(start: InspectStart, parts: Parts): StartedInspect {
  const { config, spine, registry, now } = start;
  const { node_id, running, cluster: { asker }, logs, rooms: { classes } } = parts;
  const log = start.log.child({ part: "admin" });
  const own = { ...start, checks: parts.checks, parts };
  const node = createShieldNode(own);
  // The sampler has its own reader, as rates are relative to a reader's previous reading.
  const sampler = new Sampler({ ...start, node: createShieldNode(own) });
  const tails = new Tails({ spine, log });
  const { stats, tenants, operations: { context: { path, flushes } } } = parts;
  const rates = new HttpRates(parts.rates, now);
  const history = running.of(DURABLE)?.history;
  const publishing = { path, flushes, rates, stats, tenants, history };
  registerTails(registry, tails);
  const stopSamples = startSampler(sampler, (error) => log.warn("no sample was taken", { error }));
  return {
    questions: {
      node,
      samples: () => sampler.tell() ?? null,
      ...shieldAnswers(parts),
      ...controlAnswers({ ...start, log }),
      ...disconnectAnswer(parts, log),
    },
    admin: { asker, now, node_id, classes, config, tails, log, spine, logs, ...publishing },
    drain: () => tails.close(),
    close() {
      stopSamples();
      tails.close();
    },
  };
}

function registerTails(registry: Registry, tails: Tails): void {
  scraped(registry, {
    "shield_admin_tails": ["Open tails of rooms.", () => tails.size],
    "shield_admin_tail_messages_total": [
      "Messages for readers of room tails: shown, or dropped because the reader is too slow.",
      "outcome",
      () => ({ ...tails.counts }),
    ],
  });
}

/** What the record of a Shield needs. */
interface ShieldNodeOptions extends Pick<Env, "registry" | "now" | "monotonic_ms"> {
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

function createShieldNode(options: ShieldNodeOptions): () => Promise<ClusterNode> {
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
