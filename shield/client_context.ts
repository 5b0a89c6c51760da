/** The client listener's context, made from the parts of a Shield: its upgrades and its HTTP API. */
import { ArqonError } from "@arqon/proto";
import { createUpgrade } from "./connection/upgrade.ts";
import type { UpgradeContext } from "./connection/upgrade.ts";
import type { ForeignEntry, HttpContext } from "./http/http.ts";
import { PendingRequests } from "./http/pending.ts";
import { Pump } from "./fanout/outbox.ts";
import { leave, leaveAll } from "./connection/subscribe.ts";
import { documentsOf, type Parts, type ShieldOptions } from "./capability.ts";
import type { Identity } from "./auth/identity.ts";
import { requireToken } from "./auth/revocations.ts";
import { EVERY_ROOM } from "../shared/records/bans.ts";
import { createHttpPublish } from "./http/http_publish.ts";
import { HttpRates } from "./rates/http_rates.ts";
import { commandRoutes } from "./http/command_call.ts";
import type { CommandRoute } from "./http/http_commands.ts";
import { OWN_ROUTES } from "./http/own_routes.ts";
import { ClientTable } from "./http/route.ts";
import type { ClientRoute } from "./http/route.ts";

function upgradeContext(options: ShieldOptions, parts: Parts): UpgradeContext {
  const { operations, running: { given: { journal, ledger, usage } } } = parts;
  return {
    ...options,
    ...parts,
    journal,
    ledger,
    usage,
    overseer: parts.policies,
    pump: new Pump(),
    requireNotBanned: (identity) => requireEntry(parts, identity),
    isDraining: () => parts.draining_ms > 0,
    leave: (connection, room_id, why) => leave(operations.context, connection, room_id, why),
    leaveAll: (connection, code) =>
      leaveAll(operations.context, connection, code, parts.draining_ms > 0),
    onClosed: (socket, connection) => parts.running.socketClosed(socket, connection),
  };
}

/** The whole context. Throws if a file that a capability names cannot be read. */
export function httpContext(options: ShieldOptions, parts: Parts): HttpContext {
  const { config, log } = options;
  const { authenticator, stats, tenants, counters } = parts;
  const upgrade = upgradeContext(options, parts);
  const sides = options.capabilities.flatMap(({ client }) => client ?? []);
  const routes = sides.flatMap((side) => side.routes?.(options, parts, upgrade) ?? []);
  const commands = sides.flatMap((side) => side.commands ?? []);
  const context: HttpContext = {
    authenticator,
    origins: config.server,
    query_token: config.auth.query_token,
    stats,
    tenants,
    log,
    upgrade: createUpgrade(upgrade),
    api: startClientApi(options, parts, routes, commands),
    documents: documentsOf(options.capabilities, "client"),
    headers: sides.flatMap(({ headers = [] }) => headers),
    pending: new PendingRequests(config.limits, stats),
    requireOpen() {
      if (parts.draining_ms > 0) throw new ArqonError("draining", "", { retry_after_ms: 1_000 });
    },
    requireCapacity: () => counters.requireRoom(),
    admission: parts.running.given.admission,
    requireToken: (identity) => requireToken(parts.operations.context, identity),
    requireStill(identity, room_id = EVERY_ROOM) {
      requireToken(parts.operations.context, identity);
      parts.bans.requireRoom(identity, room_id);
    },
    requireNotBanned: (identity) => requireEntry(parts, identity),
    observers: parts.observers,
  };
  const { requireOpen, requireCapacity, admission, pending } = context;
  const door = { entrance: upgrade, requireOpen, requireCapacity, admission, pending };
  const entries = options.capabilities.flatMap((one) => one.foreign?.(options, parts, door) ?? []);
  return { ...context, foreign: entries.length === 0 ? undefined : firstOf(entries) };
}

/** Tries the entries in order. */
function firstOf(entries: readonly ForeignEntry[]): ForeignEntry {
  return (request, url, remote_ip) => {
    for (const entry of entries) {
      const answer = entry(request, url, remote_ip);
      if (answer !== undefined) return answer;
    }
    return undefined;
  };
}

/** Throws if the user is banned or the token revoked, and while that is unknown. */
function requireEntry(
  { bans, revocations }: Pick<Parts, "bans" | "revocations">,
  identity: Identity,
): void {
  bans.requireEntry(identity);
  revocations.held.requireEntry(identity);
}

/**
 * Makes all routes that require a token, except upgrades; a user's rates apply to all of them. `routes` and
 * `commands` are those of capabilities.
 */
export function startClientApi(
  { config: { limits, auth: { query_token } }, log, now }: ShieldOptions,
  parts: Pick<Parts, "operations" | "stats" | "tenants" | "rates">,
  routes: readonly ClientRoute[] = [],
  commands: readonly CommandRoute[] = [],
): ClientTable {
  const { operations, stats, tenants } = parts;
  const rates = new HttpRates(parts.rates, now);
  const context = { ...operations.context, limits, stats, tenants, rates, query_token, log };
  return new ClientTable([
    ...routes,
    { ...OWN_ROUTES.publish, answer: createHttpPublish(context) },
    ...commandRoutes(context, commands),
  ]);
}
