/**
 * What the client listener needs, out of the parts of a Shield: its upgrades and its HTTP API. No behaviour of
 * its own.
 */
import { ArqonError } from "@arqon/proto";
import { startClientApi } from "./http/start.ts";
import { createEntrance } from "./connection/entrance.ts";
import { createUpgrade } from "./connection/upgrade.ts";
import type { UpgradeContext } from "./connection/upgrade.ts";
import { handshakeNotes } from "./ledger/handshakes.ts";
import type { ForeignEntry, HttpContext } from "./http/http.ts";
import { PendingRequests } from "./http/pending.ts";
import { readApps } from "./pusher/apps.ts";
import { createPusherEntry } from "./pusher/entry.ts";
import { HttpRates } from "./rates/http_rates.ts";
import { createAdmission } from "./rates/admission_gate.ts";
import { requireEntry } from "./entry.ts";
import { Pump } from "./fanout/outbox.ts";
import { growingRoute } from "./growing/http/route.ts";
import { startStreams } from "./streams/start.ts";
import { leaveAll } from "./connection/subscribe.ts";
import type { Parts } from "./parts.ts";
import type { ShieldOptions } from "./server.ts";

function upgradeContext(options: ShieldOptions, parts: Parts): UpgradeContext {
  const { operations } = parts;
  return {
    ...options,
    ...parts,
    journal: parts.journal.journal,
    overseer: parts.policies.overseer,
    pump: new Pump(),
    ledger: parts.noted?.ledger,
    usage: parts.usage?.ledger,
    requireNotBanned: (identity) => requireEntry(parts, identity),
    isDraining: () => parts.draining_ms > 0,
    leaveAll: (connection, code) =>
      leaveAll(operations.context, connection, code, parts.draining_ms > 0),
    onClosed: (socket, connection) => parts.memory?.onClosed(socket, connection),
  };
}

/** All of it. Throws when a file that `[pusher]` names cannot be read. */
export function httpContext(options: ShieldOptions, parts: Parts): HttpContext {
  const { config, log } = options;
  const { authenticator, stats, tenants, counters } = parts;
  const upgrade = upgradeContext(options, parts);
  const context: HttpContext = {
    authenticator,
    origins: config.server,
    query_token: config.auth.query_token,
    stats,
    tenants,
    log,
    upgrade: createUpgrade(upgrade),
    ...startClientApi(options, parts, upgrade, [
      ...startStreams(options, parts),
      growingRoute({
        ...{ growing: parts.growing, spine: options.spine, limits: config.limits, stats, tenants },
        rates: new HttpRates(parts.rates, options.now),
        query_token: config.auth.query_token,
        now: options.now,
      }),
    ]),
    pending: new PendingRequests(config.limits, stats),
    requireOpen() {
      if (parts.draining_ms > 0) throw new ArqonError("draining", "", { retry_after_ms: 1_000 });
    },
    requireCapacity: () => counters.requireRoom(),
    admission: createAdmission({
      ...options,
      limits: config.limits,
      memory_bytes: () => Deno.memoryUsage().rss,
    }),
    requireNotBanned: (identity) => requireEntry(parts, identity),
    traces: options.traces,
    ...handshakeNotes(parts.noted?.ledger, options),
    journal: parts.journal.journal,
  };
  return { ...context, foreign: pusherEntry(options, parts, upgrade, context) };
}

/** The endpoint for the Pusher protocol, where it is wanted. */
function pusherEntry(
  options: ShieldOptions,
  parts: Parts,
  upgrade: UpgradeContext,
  { requireOpen, requireCapacity, admission, pending }: HttpContext,
): ForeignEntry | undefined {
  const { config: { pusher, limits }, readTextFile } = options;
  if (!pusher.enabled) return undefined;
  const { operations, stats, tenants, rates } = parts;
  return createPusherEntry({
    ...options,
    ...operations.context,
    ...{ limits, stats, tenants, requireOpen, requireCapacity, admission, pending },
    rates: new HttpRates(rates, options.now),
    apps: readApps(pusher, readTextFile),
    enter: createEntrance(upgrade),
    socket_server: upgrade.socket_server,
  });
}
