/** Reports of a Shield about itself: its status for admins, its checks for probes, gauges of its parts. */
import type { Env } from "../shared/env.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { plural } from "../shared/plural.ts";
import type { ShieldStatus } from "./admin/admin_status.ts";
import type { Parts } from "./capability.ts";
import { Gauge, type Registry, scrapedGauge } from "../shared/metrics/metrics.ts";

/** What a report needs besides the parts. */
interface ReportOptions extends Pick<Env, "now"> {
  readonly spine: Pick<Spine, "status">;
  /** Whether the Spine can store data; absent: it is not checked. */
  readonly storage?: () => HealthCheck;
  readonly version: string;
}

/** The answer of `GET /v1/status`. */
export function statusOf({ version, now, spine }: ReportOptions, parts: Parts): ShieldStatus {
  const { stats } = parts;
  return {
    node_id: parts.node_id,
    version,
    uptime_ms: now() - parts.started_ms,
    draining: parts.draining_ms > 0,
    connections: stats.active_connections,
    subscriptions: stats.subscriptions,
    rooms: stats.rooms,
    ...parts.counters.distinct(),
    egress_messages: stats.egress_messages,
    ingress_ops: { ...stats.ingress_ops },
    rejects: { ...stats.rejects },
    spine: spine.status,
    keys: parts.authenticator.keyStatus(),
    policies: {},
    schemas: {},
    ...parts.running.status(),
    bans: stats.bans,
  };
}

/** The checks of readiness; the process is ready if all are ok. */
export function checksOf(
  { spine, storage }: Pick<ReportOptions, "spine" | "storage">,
  parts: Parts,
): Record<string, HealthCheck> {
  const { state, since_ms, engine, server } = spine.status;
  const { started_ms, draining_ms, listener } = parts;
  const keys = parts.authenticator.keyStatus();
  // Keys are required only at the start: an issuer that withdraws its keys later ends its own tokens, not this process.
  const missing = keys.filter((key) => key.loaded_ms === 0).map((key) => key.issuer);
  return {
    settings: parts.settings.check(),
    ...parts.running.checks(),
    bans: parts.bans.check(),
    revocations: parts.revocations.held.check(),
    spine: {
      ok: state === "connected",
      since_ms,
      detail: `${engine} ${state}${server === undefined ? "" : ` (${server})`}`,
    },
    ...(storage === undefined ? {} : { storage: storage() }),
    keys: {
      ok: missing.length === 0,
      since_ms: Math.max(started_ms, ...keys.map((key) => key.loaded_ms)),
      detail: missing.length === 0
        ? plural(keys.length, "issuer")
        : `no keys yet for ${missing.join(", ")}`,
    },
    ...(listener === undefined ? {} : { listener: listener() }),
    accepting: {
      ok: draining_ms === 0,
      since_ms: draining_ms === 0 ? started_ms : draining_ms,
      detail: draining_ms === 0 ? "open" : "draining",
    },
  };
}

/** Registers the gauge of connections by state, which checks all sockets at a scrape. */
function registerConnectionStates(
  connections: () => Iterable<{ readonly opened: boolean; readonly ended: boolean }>,
  registry: Registry,
): void {
  new Gauge({
    name: "shield_connections",
    help: "Connections by state: before WELCOME, open, or ended with an open socket.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const states = { opening: 0, open: 0, closing: 0 };
      for (const { opened, ended } of connections()) {
        states[ended ? "closing" : opened ? "open" : "opening"]++;
      }
      for (const [state, count] of Object.entries(states)) this.set({ state }, count);
    },
  });
}

/** Registers the gauges; call it once per registry. */
export function registerParts(
  { sockets, flushes }: Pick<Parts, "sockets" | "flushes">,
  registry: Registry,
): void {
  registerConnectionStates(() => sockets.values(), registry);
  scrapedGauge(
    registry,
    "shield_flush_queue_depth",
    "Publishes and subscriptions that wait for the Spine's confirmation.",
    () => flushes.pending,
  );
}
