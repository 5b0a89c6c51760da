/**
 * One Shield, assembled: handlers for its listeners, health, drain. Opens no listener, reads no
 * file and no clock itself; `main.ts` and the dev bus hand everything in.
 */
import { ArqonError } from "@arqon/proto";
import { BANS_BUCKET } from "../shared/bans.ts";
import type { Config } from "../shared/config/schema.ts";
import type { Random } from "../shared/ids.ts";
import { connectionId } from "../shared/ids.ts";
import type { Logger } from "../shared/log.ts";
import type { Registry } from "../shared/metrics.ts";
import type { HealthCheck } from "../shared/ops.ts";
import type { KeyValue, Spine } from "../shared/spine/spine.ts";
import { handleAdmin } from "./admin.ts";
import type { AdminPart, ShieldStatus } from "./admin.ts";
import { createAuthenticator } from "./authenticate.ts";
import type { Authenticator } from "./authenticate.ts";
import { Bans } from "./bans.ts";
import { ConnectionTable } from "./connection_table.ts";
import { createHistory } from "./durable/history.ts";
import { createHttpHistory } from "./durable/http_history.ts";
import { startDurable } from "./durable/start.ts";
import { FlushQueue } from "./flush_queue.ts";
import { createHttpPublish } from "./http_publish.ts";
import { handleRequest } from "./http.ts";
import type { HttpContext } from "./http.ts";
import { HttpRates } from "./http_rates.ts";
import { Hub } from "./hub.ts";
import { isMirrorPath, startMirror } from "./mirror/start.ts";
import { createConnectionCounters } from "./limits.ts";
import { prepareOperation } from "./operations.ts";
import { Pump } from "./outbox.ts";
import { announcePlatform } from "./platform.ts";
import { isPolicyPath } from "./policy/admin_api.ts";
import { startOverseer } from "./policy/start.ts";
import type { Foundation, Parts } from "./parts.ts";
import { checksOf, statusOf } from "./report.ts";
import type { StartedOverseer } from "./policy/start.ts";
import { PresenceFrames } from "./presence/frames.ts";
import { startPresence } from "./presence/service.ts";
import { isSchemaPath } from "./schema/admin_api.ts";
import { startSchemas } from "./schema/start.ts";
import { isRoomsPath, startRoomClasses } from "./rooms/start.ts";
import { openSettings } from "./settings.ts";
import { startSignals } from "./signals.ts";
import { createStats, registerStats } from "./stats.ts";
import { leave, leaveAll } from "./subscribe.ts";
import { upgrade } from "./upgrade.ts";
import type { UpgradeContext } from "./upgrade.ts";

const SWEEP_MS = 500;
/** An upgraded socket that never opens (the peer vanished in between) is given up after this. */
const OPEN_MS = 10_000;
/** How long a drain waits for peers to answer their close frame. */
const CLOSE_MS = 2_000;
/** A node without an issuer's keys is not ready, so no token will make it ask: it asks itself. */
const WARM_MS = 5_000;

/** What a Shield needs from its process. */
export interface ShieldOptions {
  readonly config: Config;
  readonly spine: Spine;
  readonly log: Logger;
  readonly registry: Registry;
  readonly version: string;
  /** Unix ms. */
  readonly now: () => number;
  readonly random: Random;
  /** Monotonic ms. */
  readonly monotonic_ms: () => number;
  /** Logger of component `overseer`. */
  readonly overseer_log: Logger;
  /** Logger of component `registry`. */
  readonly registry_log: Logger;
  /** Cores of the machine. */
  readonly cores: number;
  /** The process cannot go on: drain it and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /** Reads key files, at start only. */
  readonly readTextFile: (path: string) => string;
  readonly fetch: typeof fetch;
}

/** A running Shield. */
export interface Shield {
  readonly node_id: string;
  /** Handler of the client listener. */
  client(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response>;
  /** Handler of the admin listener. */
  admin(request: Request): Promise<Response>;
  checks(): Record<string, HealthCheck>;
  status(): ShieldStatus;
  /** Tells every client to reconnect elsewhere and ends. The Spine stays open: it is the caller's. */
  drain(): Promise<void>;
}

function assemble(
  options: ShieldOptions,
  foundation: Foundation,
  authenticator: Authenticator,
  policies: StartedOverseer,
  bans_bucket: KeyValue,
): Parts {
  const { config, spine, log, now, random } = options;
  const { limits, auth } = config;
  const stats = createStats();
  registerStats(stats, options.registry);
  const { deduplication_entries } = limits;
  const flushes = new FlushQueue(spine);
  const { classes } = foundation.rooms;
  const durable = startDurable({ ...options, classes, flushes });
  const { rooms } = durable;
  const hub = new Hub({ spine, stats, now, random, deduplication_entries, durable: rooms });
  const { overseer } = policies;
  const bans = new Bans({ bucket: bans_bucket, bans_max: limits.bans, spine, stats, log, now });
  const { require_signature } = auth;
  const { mirror } = foundation.mirroring;
  const { gate: schemas } = foundation.schemas;
  const { logs } = durable;
  const checks = { require_signature, overseer, bans, schemas, mirror };
  const path = { spine, ...checks, classes, logs, now, random };
  const history = createHistory({ ...durable, classes, overseer, bans, limits });
  const service = startPresence({ ...options, classes, node_id: foundation.node_id });
  const { page_members } = config.presence;
  const frames = new PresenceFrames({ now, random, page_members });
  const attendance = { presence: service.presence, frames, flushes, limits, stats };
  const operations = {
    path,
    hub,
    flushes,
    authenticator,
    overseer,
    attendance,
    limits,
    stats,
    history: history.command,
  };
  const connections = new ConnectionTable();
  return {
    ...foundation,
    authenticator,
    stats,
    counters: createConnectionCounters(limits, options.registry),
    hub,
    durable,
    history,
    policies,
    bans,
    signals: startSignals({
      ...options,
      connections,
      stats,
      leave: (connection, room_id) => leave(operations, connection, room_id),
    }),
    presence: service,
    operations,
    connections,
    sockets: new Set(),
    started_ms: now(),
    draining_ms: 0,
  };
}

function upgradeContext(options: ShieldOptions, parts: Parts): UpgradeContext {
  const { operations } = parts;
  return {
    ...options,
    ...parts,
    overseer: parts.policies.overseer,
    pump: new Pump(),
    prepare: (connection, operation) => prepareOperation(operations, connection, operation),
    requireNotBanned: (identity) => parts.bans.requireEntry(identity),
    isDraining: () => parts.draining_ms > 0,
    leaveAll: (connection, code) => leaveAll(operations, connection, code),
  };
}

function httpContext(options: ShieldOptions, parts: Parts): HttpContext {
  const { config, log } = options;
  const { authenticator, stats, counters, operations } = parts;
  const upgrades = upgradeContext(options, parts);
  return {
    authenticator,
    allowed_origins: config.server.allowed_origins,
    query_token: config.auth.query_token,
    stats,
    log,
    upgrade: (request, identity) => upgrade(upgrades, request, identity),
    publish: createHttpPublish({ ...operations, stats }),
    history: createHttpHistory({
      history: parts.history,
      stats,
      rates: new HttpRates(config.limits, options.now),
      query_token: config.auth.query_token,
    }),
    requireOpen() {
      if (parts.draining_ms > 0) throw new ArqonError("draining", "", { retry_after_ms: 1_000 });
    },
    requireCapacity: () => counters.requireRoom(),
    requireNotBanned: (identity) => parts.bans.requireEntry(identity),
  };
}

/** Resolves once what tenants have set is known, and its schemas. Rejects with `spine-unavailable`. */
async function lay(options: ShieldOptions): Promise<Foundation> {
  const { config, random } = options;
  const node_id = config.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const settings = await openSettings(options);
  await settings.ready;
  const mirroring = startMirror({ ...options, settings, node_id });
  const { candidates } = mirroring;
  const log = options.registry_log;
  const schemas = await startSchemas({ ...options, settings, candidates, log });
  const rooms = startRoomClasses({ ...options, settings, node_id });
  return { node_id, settings, mirroring, schemas, rooms };
}

/** What answers on the admin listener besides the status. */
function adminParts({ policies, mirroring, schemas, rooms }: Parts): AdminPart[] {
  return [
    { isPath: isPolicyPath, answer: policies.admin },
    { isPath: isMirrorPath, answer: mirroring.admin },
    { isPath: isSchemaPath, answer: schemas.admin },
    { isPath: isRoomsPath, answer: rooms.admin },
  ];
}

/**
 * Resolves once policies and bans are known. Rejects with a start error when keys cannot be loaded or
 * the config asks for what is not there, and with `spine-unavailable`.
 */
export async function startShield(options: ShieldOptions): Promise<Shield> {
  const { config, spine, log, now } = options;
  announcePlatform(config.platform, log);
  const { auth, limits } = config;
  const authenticator = await createAuthenticator({ ...options, auth, limits });
  const foundation = await lay(options);
  const { candidates } = foundation.mirroring;
  const overseer = { ...options, candidates, log: options.overseer_log };
  const policies = await startOverseer(overseer);
  const bans = await spine.keyValue(BANS_BUCKET);
  const parts = assemble(options, foundation, authenticator, policies, bans);
  parts.bans.start((ban) => parts.signals.onBan(ban));
  const http = httpContext(options, parts);
  const status = () => statusOf(options, parts);
  const admin = { authenticator, log, status, parts: adminParts(parts) };
  await Promise.all([authenticator.warm(), parts.bans.ready, spine.flush()]);
  const sweeper = setInterval(() => sweep(parts.connections, config, now()), SWEEP_MS);
  const warmer = setInterval(() => {
    if (authenticator.keyStatus().some(({ keys }) => keys === 0)) authenticator.warm();
  }, WARM_MS);
  return {
    node_id: parts.node_id,
    client: (request, info) => handleRequest(http, request, info.remoteAddr.hostname),
    admin: (request) => handleAdmin(admin, request),
    checks: () => checksOf(options, parts),
    status,
    async drain() {
      if (parts.draining_ms > 0) return;
      parts.draining_ms = now();
      clearInterval(sweeper);
      clearInterval(warmer);
      await sendAway(options, parts);
    },
  };
}

async function sendAway({ config, spine, log }: ShieldOptions, parts: Parts): Promise<void> {
  // First, so that others hear of it once, and not of each connection.
  parts.presence.presence.drain();
  // What was accepted is confirmed before its publisher is sent away.
  await spine.flush().catch((error) => log.warn("the last flush failed", { error }));
  for (const connection of [...parts.connections]) connection.sendAway(config.server.drain_ms);
  parts.signals.close();
  parts.bans.close();
  parts.hub.close();
  parts.durable.close();
  parts.authenticator.close();
  await allClosed(parts.sockets);
  parts.presence.close();
  await parts.policies.close();
  parts.schemas.close();
  parts.rooms.close();
  await parts.mirroring.close();
  parts.settings.close();
}

/** Ends what has expired, pings what is quiet. One pass for all connections instead of their timers. */
function sweep(connections: ConnectionTable, config: Config, now_ms: number): void {
  for (const connection of [...connections]) {
    if (!connection.opened) {
      if (now_ms - connection.created_ms > OPEN_MS) connection.end(1006);
    } else if (now_ms >= connection.identity.expires_ms) {
      connection.fail(new ArqonError("token-expired"));
    } else if (now_ms - connection.sent_ms >= config.server.heartbeat_ms) {
      connection.ping();
    }
  }
}

/**
 * Until every peer has answered its close frame; a listener that shuts down earlier would tell them
 * 1001 instead. A peer that does not answer is not waited for longer than `CLOSE_MS`.
 */
async function allClosed(sockets: Set<WebSocket>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, CLOSE_MS);
  const closed = [...sockets].map((socket) =>
    new Promise<void>((done) => socket.addEventListener("close", () => done(), { once: true }))
  );
  await Promise.race([Promise.all(closed), late]);
  clearTimeout(timer);
}
