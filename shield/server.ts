/**
 * One Shield, assembled: handlers for its listeners, health, drain. Opens no listener, reads no
 * file and no clock itself; `main.ts` and the dev bus hand everything in.
 */
import { BANS_BUCKET } from "../shared/records/bans.ts";
import { operatorTenants } from "../shared/config/operators.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Config } from "../shared/config/schema.ts";
import type { Random } from "../shared/ids.ts";
import type { Logger } from "../shared/logs/log.ts";
import type { Logging } from "../shared/logs/logging.ts";
import type { Registry } from "../shared/metrics/metrics.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { KeyValue, Spine } from "../shared/spine/contract/spine.ts";
import { handleAdmin } from "./admin/admin.ts";
import { openFoundation } from "./foundation.ts";
import { adminOpenApi } from "./admin/openapi.ts";
import { kernelRoutes } from "./admin/route_list.ts";
import { AdminRouter } from "./admin/routing/admin_router.ts";
import { openAdminGates } from "./admin/admin_rates.ts";
import type { ShieldStatus } from "./admin/admin_status.ts";
import { createBackend } from "./backend/backend.ts";
import type { Backend, BackendIdentity } from "./backend/backend.ts";
import { createAuthenticator } from "./auth/authenticate.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Claims } from "./auth/claims.ts";
import { Bans } from "./auth/bans.ts";
import { type Capability, fileOf, RunningCapabilities } from "./capability.ts";
import { ConnectionTable } from "./connection/connection_table.ts";
import { drain } from "./drain.ts";
import { startDurable } from "./durable/start.ts";
import { DeltaBases } from "./deltas/deltas.ts";
import { startFilters } from "./filter/filters.ts";
import { FlushQueue } from "./connection/flush_queue.ts";
import { handleRequest } from "./http/http.ts";
import { Hub } from "./fanout/hub.ts";
import type { Identity } from "./auth/identity.ts";
import { createConnectionCounters } from "./connection/limits.ts";
import { withHooks } from "./hooks/with_hooks.ts";
import { type OperationContext, Operations } from "./connection/operations.ts";
import { announcePlatform, switchedOff } from "./platform.ts";
import { startOverseer } from "./policy/start.ts";
import { registerParts } from "./part_metrics.ts";
import type { Foundation, Parts } from "./parts.ts";
import { RATE_KEYS, RateTable } from "./rates/rates.ts";
import { checksOf, statusOf } from "./report.ts";
import { startPresence } from "./presence/service.ts";
import { refusingRevoked } from "./auth/revocations.ts";
import { CommandsUnderWay, type CommandsUnderWayOptions } from "./message/commands_under_way.ts";
import { observersOf } from "./message/observers.ts";
import { orderOn } from "./message/room_order.ts";
import { SignalWrites } from "./signals/signal_writes.ts";
import { startSignals } from "./signals/signals.ts";
import type { SocketServer } from "./socket/client_socket.ts";
import { openSockets } from "./socket/open.ts";
import { createStats, registerStats } from "./stats/stats.ts";
import type { ShieldStats } from "./stats/stats.ts";
import { leave } from "./connection/subscribe.ts";
import type { Traces } from "./traces/traces.ts";
import { SWEEP_MS, Sweeper } from "./connection/sweep.ts";
import { startNatsApi } from "./http/nats_api.ts";
import { httpContext } from "./client_context.ts";
import { createTap } from "./message/tap.ts";

/** A node without an issuer's keys is not ready, so no token will make it ask: it asks itself. */
const WARM_MS = 5_000;

/** What a Shield needs from its process. */
export interface ShieldOptions {
  /** What it has beside its kernel, in the order in which they start. */
  readonly capabilities: readonly Capability[];
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
  /**
   * The process has no memory left: drain it in a hurry and start it anew; `at_once`: end it at once.
   */
  readonly onExhausted: (detail: string, at_once: boolean) => void;
  /** The logs of the process, whose levels an operator may change; absent: they stay. */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reads the configuration again; absent: it stays as it is. */
  readonly reloading?: ConfigReloading | undefined;
  /** An operator drains this process: does what SIGTERM does. Absent: it cannot be. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine stores what it is given, for readiness; absent: it is not asked. */
  readonly storage?: () => HealthCheck;
  /** Absent: nothing is traced. */
  readonly traces?: Traces | undefined;
  /** Reads key files, at start only. */
  readonly readTextFile: (path: string) => string;
  readonly fetch: typeof fetch;
}

/** A running Shield. */
export interface Shield {
  readonly node_id: string;
  /** Handler of the client listener. */
  client(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response>;
  /** Answers a client that the client listener has turned away. */
  turnAway: Shield["client"];
  /** Handler of the admin listener. */
  admin(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response>;
  checks(): Record<string, HealthCheck>;
  status(): ShieldStatus;
  /**
   * Tells every client to move to another node, serves on while they do, then ends: within
   * `[server] drain_timeout_ms`, but for what the caller has to close. The Spine stays open: it is the
   * caller's. In a hurry, clients are told to go and nothing is waited for but their close frames.
   */
  drain(hurried?: boolean): Promise<void>;
  /** What else its readiness asks, once there is a listener. */
  watch(listener: () => HealthCheck): void;
  /** For what publishes in the same process. */
  backend(who: BackendIdentity): Backend;
}

/** How every Shield begins. */
const RUNNING = { draining_ms: 0, hurried: false };

/** Policies that ask hooks, and what tells these of refusals. */

function assemble(
  options: ShieldOptions,
  foundation: Foundation,
  authenticator: Authenticator,
  { policies, policies: { overseer }, events }: Pick<Parts, "policies" | "events">,
  bans_bucket: KeyValue,
  socket_server: SocketServer,
): Parts {
  const { config, config: { limits }, spine, log, now, random, traces } = options;
  const [stats, flushes] = [createStats(), new FlushQueue(spine)];
  registerStats(stats, options.registry);
  const { tenants, gate: quota, rooms: { classes }, noted, usage } = foundation;
  const ledger = noted?.ledger;
  const durable = startDurable({ ...options, classes, flushes });
  const { mirroring: { mirror }, journal: { journal }, schemas: { gate: schemas } } = foundation;
  const filters = startFilters(config.filters, options.registry, { stats, schemas, ledger });
  const deltas = new DeltaBases(limits, stats.deltas);
  const heard = { spine: traces?.hearing(spine, stats) ?? spine, durable: durable.rooms };
  const kept = { ledger, filters, deltas };
  const hub = new Hub({ ...limits, ...heard, ...kept, stats, tenants, now, random });
  const bans = new Bans({ bucket: bans_bucket, bans_max: limits.bans, spine, stats, log, now });
  const tap = createTap(spine, Number(config.brain.tap));
  const observers = observersOf([usage?.observer, noted?.observer, tap, mirror, traces, journal]);
  const checks = { signatures: foundation.signatures, overseer, bans, schemas, journal, observers };
  const sends = traces?.sending(spine, durable.logs, flushes) ?? { spine, logs: durable.logs };
  const order = orderOn(spine, random);
  const commands = commandsOn(sends.spine, options, stats, () => service);
  const announce = () => service.presence.announce();
  const own = { ...sends, ...checks, order, commands, announce, shares: filters.shares, flushes };
  const hearers = ledger &&
    ((tenant_id: string, room_id: string) => hub.hearers(tenant_id, room_id));
  const path = { ...own, classes, quota, traces, hearers, now, random };
  const reading = { ...checks, limits, filters, noteRead: noted?.noteRead, reads: usage?.reads };
  const history = durable.history(reading);
  const running = new RunningCapabilities();
  const service = startPresence({ ...options, classes, node_id: foundation.node_id });
  const context: OperationContext = {
    ...{ path, hub, flushes, authenticator, overseer, logs: durable.logs },
    attend: service.attending({ flushes, limits, stats }),
    ...{ limits, stats, ...kept },
    own: (name: string) => history.own(name) ?? running.command(name),
    requireNotRevoked: (identity: Identity) => foundation.revocations.held.requireValid(identity),
  };
  const connections = new ConnectionTable();
  const parts: Parts = {
    ...foundation,
    authenticator,
    stats,
    counters: createConnectionCounters(limits, options.registry),
    rates: new RateTable(limits, options.registry, now()),
    ...{ hub, observers, durable, history, running, policies, events, bans, bans_bucket },
    checks: () => checksOf(options, parts),
    signals: startSignals({
      ...options,
      connections,
      writes: new SignalWrites({ ...options, bans_bucket, bans, ...foundation.revocations, stats }),
      stats,
      leave: (connection, room_id, why) => leave(context, connection, room_id, why),
    }),
    presence: service,
    operations: new Operations(context, config.policy.connection_window),
    connections,
    sockets: new Map(),
    socket_server,
    started_ms: now(),
    ...RUNNING,
  };
  return parts;
}

/** Commands that wait for Brains; undefined beside an embedded Spine, where no Brain goes alone. */
function commandsOn(
  spine: CommandsUnderWayOptions["spine"],
  { config, monotonic_ms }: ShieldOptions,
  stats: Pick<ShieldStats, "commands_again">,
  members: () => Pick<Parts["presence"], "presence" | "hello">,
): CommandsUnderWay | undefined {
  if (config.nats === undefined) return undefined;
  return new CommandsUnderWay({
    ...{ spine, monotonic_ms },
    hello: () => members().hello,
    brains: () => members().presence.brains(),
    onGone: (brain_id) => members().presence.suspect(brain_id),
    onAgain: () => void stats.commands_again++,
  });
}

/** Asks for keys as long as an issuer has none. */
function keepWarm(authenticator: Authenticator): ReturnType<typeof setInterval> {
  return setInterval(() => {
    if (authenticator.keyStatus().some(({ keys }) => keys === 0)) authenticator.warm();
  }, WARM_MS);
}

/**
 * Resolves once policies and bans are known. Rejects with a start error when keys cannot be loaded or
 * the config asks for what is not there, and with `spine-unavailable`.
 */
export async function startShield(options: ShieldOptions): Promise<Shield> {
  const { config, config: { auth, limits }, spine, log, now } = options;
  announcePlatform(config.platform, log);
  const grantsOf = (claims: Claims) =>
    options.capabilities.map((one) => one.grantsOf?.(options, claims)).find((one) => one);
  const keys = await createAuthenticator({ ...options, auth, limits, grantsOf });
  const foundation = await openFoundation(options);
  const revocations = foundation.revocations.held;
  const authenticator = refusingRevoked(keys, revocations);
  const { mirroring: { candidates }, usage: { onUsed } = {} } = foundation;
  const { overseer_log } = options;
  const alone = await startOverseer({ ...options, candidates, onUsed, log: overseer_log });
  const hooked = withHooks(alone, foundation, options);
  const bans = await spine.keyValue(BANS_BUCKET, { leaves_stream: true });
  const sockets = openSockets(config, options.registry);
  const parts = assemble(options, foundation, authenticator, hooked, bans, sockets);
  registerParts(parts, config.telemetry, options.registry);
  options.reloading?.follow(RATE_KEYS, () => parts.rates.renew());
  options.reloading?.follow(["rooms"], () => parts.rooms.renew());
  parts.bans.start((ban) => parts.signals.onBan(ban));
  revocations.start(() => {
    authenticator.forget((identity) => revocations.find(identity) !== undefined);
    parts.signals.onRevocations((identity) => revocations.find(identity));
  });
  const http = httpContext(options, parts);
  const nats_api = startNatsApi(options, http);
  const status = () => statusOf(options, parts);
  const { running } = parts;
  await running.start(options.capabilities, options, parts);
  const gates = openAdminGates(options.registry, limits, now);
  const reach = { names: config.admin, operators: () => operatorTenants(config) };
  const kernel = kernelRoutes(
    { status, log, off: switchedOff(config) },
    { ...parts.rooms.admin, logs: parts.durable.logs },
  );
  const router = new AdminRouter([...kernel, ...running.routes()]);
  const description = adminOpenApi(options.capabilities);
  const file = fileOf(options.capabilities);
  const door = { authenticator, ...reach, log, router, description, file };
  const admin = { ...door, audit: running.trail(), ...gates };
  const known = [parts.bans.ready, revocations.ready, parts.presence.moving.known()];
  await Promise.all([authenticator.warm(), ...known, spine.flush()]);
  await running.begin();
  const sweeper = new Sweeper(parts.connections, config.server, now());
  const sweeps = setInterval(() => sweeper.pass(now()), SWEEP_MS);
  const warmer = keepWarm(authenticator);
  return {
    node_id: parts.node_id,
    client: (request, info) => handleRequest(http, request, info.remoteAddr.hostname),
    turnAway: (request, info) => handleRequest(http, request, info.remoteAddr.hostname, true),
    admin: (request, info) => handleAdmin(admin, request, info.remoteAddr.hostname),
    checks: parts.checks,
    status,
    watch: (listener) => void (parts.listener = listener),
    backend: (who) => createBackend(options, parts, who),
    async drain(hurried = false) {
      if (parts.draining_ms > 0) return;
      parts.draining_ms = now();
      parts.hurried = hurried;
      clearInterval(warmer);
      running.drain();
      nats_api.close();
      await Promise.all([running.close(), drain(options, parts, () => clearInterval(sweeps))]);
      await running[Symbol.asyncDispose]();
    },
  };
}
