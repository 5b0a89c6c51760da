/**
 * One Shield, assembled: handlers for its listeners, health, drain. It opens no listener and reads no file or clock;
 * `main.ts` and the dev bus pass everything in.
 */
import { BANS_BUCKET } from "../shared/records/bans.ts";
import { operatorTenants } from "../shared/config/operators.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { KeyValue, Spine } from "../shared/spine/contract/spine.ts";
import { handleAdmin } from "./admin/admin.ts";
import { AdminRouter } from "./admin/routing/admin_router.ts";
import { openAdminGates } from "./admin/admin_rates.ts";
import { type ShieldStatus, STATUS_ROUTES } from "./admin/admin_status.ts";
import { type Authenticator, createAuthenticator } from "./auth/authenticate.ts";
import type { Claims } from "./auth/claims.ts";
import { Bans } from "./auth/bans.ts";
import { actionsOf, documentsOf, fileOf, RunningCapabilities, switchedOff } from "./capability.ts";
import type { Ground, Parts, ShieldOptions } from "./capability.ts";
import { Cluster } from "./cluster.ts";
import { ConnectionTable } from "./connection/connection_table.ts";
import { drain } from "./drain.ts";
import { handleRequest } from "./http/http.ts";
import { Hub } from "./fanout/hub.ts";
import { createConnectionCounters } from "./connection/limits.ts";
import { type OperationContext, Operations } from "./connection/operations.ts";
import { RATE_KEYS, RateTable } from "./rates/rates.ts";
import { openRevocations, refusingRevoked } from "./auth/revocations.ts";
import { observersOf } from "./message/observers.ts";
import type { MessagePath } from "./message/pipeline.ts";
import { orderOn } from "./message/room_order.ts";
import { Removals } from "./connection/removals.ts";
import type { SocketServer } from "./socket/client_socket.ts";
import { openSockets } from "./socket/open.ts";
import { leave } from "./connection/subscribe.ts";
import { SWEEP_MS, Sweeper } from "./connection/sweep.ts";
import { httpContext } from "./client_context.ts";
import { connectionId } from "../shared/ids.ts";
import { Forwarding } from "./http/forwarding.ts";
import { Lives } from "../shared/lives/lives.ts";
import { StoreTime } from "../shared/spine/contract/store_time.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { FlushQueue } from "./connection/flush_queue.ts";
import { signatureDemands } from "./message/signature.ts";
import { startRoomClasses } from "./settings/room_classes.ts";
import { openSettings } from "./settings/settings.ts";
import { createStats, registerStats } from "./stats/stats.ts";
import { TenantTable } from "./stats/tenant_stats.ts";
import type { Env } from "../shared/env.ts";
import { plural } from "../shared/plural.ts";
import { Gauge, type Registry, scrapedGauge } from "../shared/metrics/metrics.ts";

/** A node without an issuer's keys is not ready and receives no tokens, so it fetches keys by timer. */
const WARM_MS = 5_000;

/** A running Shield. */
export interface Shield {
  readonly node_id: string;
  client(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response>;
  turnAway: Shield["client"];
  admin(request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response>;
  checks(): Record<string, HealthCheck>;
  status(): ShieldStatus;
  /**
   * Asks every client to move to another node, serves them meanwhile, then ends within `[server] drain_timeout_ms`. The
   * caller closes listeners and the Spine. If `hurried`, it closes clients at once and waits only for their close
   * frames.
   */
  drain(hurried?: boolean): Promise<void>;
  /** Adds the listener's check to readiness, once there is a listener. */
  watch(listener: () => HealthCheck): void;
  /** The part of a capability for its process; undefined if it is absent or switched off. */
  of: RunningCapabilities["of"];
}

function hubOf(
  { config: { limits }, spine, now, random }: ShieldOptions,
  { stats, tenants, running: { given } }: Ground,
): Hub {
  return new Hub({
    spine: given.traces?.traced(spine, stats) ?? spine,
    durable: given.durable,
    patterns: given.patterns?.of,
    ledger: given.ledger,
    filters: given.filters,
    deltas: given.deltas,
    deduplication_entries: limits.deduplication_entries,
    stats,
    tenants,
    now,
    random,
  });
}

/** The path of messages, made of the parts that capabilities have given. */
function pathOf(
  { capabilities, spine, now, random }: ShieldOptions,
  { flushes, rooms, running: { given }, signatures }: Ground,
  { hub, bans, observers }: Pick<Parts, "hub" | "bans" | "observers">,
): MessagePath {
  const { ledger, presence, traces } = given;
  const sends = traces?.sending(spine, given.logs, flushes) ?? { spine, logs: given.logs };
  return {
    ...sends,
    signatures,
    overseer: given.policies,
    bans,
    actions: actionsOf(capabilities),
    schemas: given.schemas,
    quota: given.quota,
    shares: given.shares,
    journal: given.journal,
    receipts: given.receipts,
    observers,
    order: orderOn(spine, random),
    classes: rooms.classes,
    traces,
    flushes,
    commands: given.commands?.(sends.spine),
    announce: () => presence.announce(),
    callerOf: given.callerOf,
    subscribersOf: ledger && ((tenant_id, room_id) => hub.subscribersOf(tenant_id, room_id)),
    now,
    random,
  };
}

function assemble(
  options: ShieldOptions,
  ground: Ground,
  authenticator: Authenticator,
  bans_bucket: KeyValue,
  socket_server: SocketServer,
): Parts {
  const { config, config: { limits }, registry, log, now, random } = options;
  const { stats, flushes, revocations, running, running: { given } } = ground;
  const { ledger, policies, presence } = given;
  const hub = hubOf(options, ground);
  const bans = new Bans({ ...options, bucket: bans_bucket, bans_max: limits.bans, stats });
  const observers = observersOf(running.observers());
  const context: OperationContext = {
    path: pathOf(options, ground, { hub, bans, observers }),
    hub,
    flushes,
    authenticator,
    overseer: policies,
    filters: given.filters,
    deltas: given.deltas,
    patterns: given.patterns,
    ledger,
    marks: given.marks,
    sendMissed: given.sendMissed,
    attending: presence.attending({ flushes, limits, stats }),
    limits,
    stats,
    now,
    own: (name) => running.command(name),
    requireNotRevoked: (identity) => revocations.held.requireValid(identity),
  };
  const connections = new ConnectionTable();
  const removals = new Removals({
    connections,
    hub,
    stats,
    log,
    random,
    now: () => ground.time.now(),
    leave: (connection, room_id, why) => leave(context, connection, room_id, why),
  });
  const parts: Parts = {
    ...ground,
    authenticator,
    counters: createConnectionCounters(limits, registry),
    rates: new RateTable(limits, registry, now()),
    cluster: new Cluster(options, ground, ledger),
    hub,
    observers,
    logs: given.logs,
    presence,
    policies,
    bans,
    bans_bucket,
    checks: () => checksOf(options, parts),
    removals,
    operations: new Operations(context, config.policy.connection_window),
    connections,
    sockets: new Map(),
    socket_server,
    started_ms: now(),
    draining_ms: 0,
    hurried: false,
  };
  for (const part of [authenticator, hub, revocations.held, bans]) {
    ground.ends.defer(() => part.close());
  }
  return parts;
}

/**
 * Resolves once policies and bans are known. Rejects with a start error if keys cannot be loaded or the config needs
 * something that is missing, and with `spine-unavailable`.
 */
export async function startShield(options: ShieldOptions): Promise<Shield> {
  const { config, config: { auth, limits }, spine, log, now } = options;
  const off = switchedOff(options);
  const grantsOf = (claims: Claims) =>
    options.capabilities.map((one) => one.grantsOf?.(options, claims)).find((one) => one);
  const [openRemote] = options.capabilities.flatMap((one) => one.keys?.(options) ?? []);
  const keys = await createAuthenticator({ ...options, auth, limits, grantsOf, openRemote });
  const ground = await openFoundation(options);
  const revocations = ground.revocations.held;
  const authenticator = refusingRevoked(keys, revocations);
  const bans = await spine.keyValue(BANS_BUCKET, { leaves_stream: true });
  const sockets = openSockets(config, options.registry);
  const parts = assemble(options, ground, authenticator, bans, sockets);
  registerParts(parts, options.registry);
  options.reloading?.follow(RATE_KEYS, () => parts.rates.renew());
  if (options.reloading !== undefined) parts.rooms.follow(options.reloading);
  parts.bans.start((ban) => {
    parts.removals.ban(ban);
    parts.presence.endGrace(ban.tenant_id, ban.room_id, ban.user_id);
  });
  revocations.start(() => {
    void authenticator.forget((identity) => revocations.find(identity) !== undefined);
    parts.removals.revoke((identity) => revocations.find(identity));
  });
  const http = parts.http = httpContext(options, parts);
  const status = () => statusOf(options, parts);
  const { cluster, running } = parts;
  await running.start(options.capabilities, options, parts);
  cluster.start(running.questions());
  const gates = openAdminGates(options.registry, limits, now);
  const reach = { names: config.admin, operators: () => operatorTenants(config) };
  const kernel = STATUS_ROUTES.serve({ status, log, off, room_cards: running.roomCards() });
  const router = new AdminRouter([...kernel, ...running.routes()]);
  const documents = documentsOf(options.capabilities, "admin");
  const file = fileOf(options.capabilities);
  const { requireNotRevoked } = parts.operations.context;
  const door = { authenticator, now, requireNotRevoked, ...reach, log, router, documents, file };
  const admin = { ...door, audit: running.trail(), ...gates };
  const known = [parts.bans.ready, revocations.ready, parts.presence.known()];
  await Promise.all([authenticator.warm(), ...known, spine.flush()]);
  cluster.hello();
  await running.begin();
  const sweeper = new Sweeper(parts.connections, config.server, now());
  const sweeps = setInterval(() => sweeper.pass(now()), SWEEP_MS);
  const warmer = setInterval(() => {
    if (authenticator.keyStatus().some(({ keys }) => keys === 0)) void authenticator.warm();
  }, WARM_MS);
  return {
    node_id: parts.node_id,
    client: (request, info) => handleRequest(http, request, info.remoteAddr.hostname),
    turnAway: (request, info) => handleRequest(http, request, info.remoteAddr.hostname, true),
    admin: (request, info) => handleAdmin(admin, request, info.remoteAddr.hostname),
    checks: parts.checks,
    status,
    watch: (listener) => void (parts.listener = listener),
    of: (capability) => running.of(capability),
    async drain(hurried = false) {
      if (parts.draining_ms > 0) return;
      parts.draining_ms = now();
      parts.hurried = hurried;
      clearInterval(warmer);
      running.drain();
      await Promise.all([running.close(), drain(options, parts, () => clearInterval(sweeps))]);
      cluster.close();
      await running[Symbol.asyncDispose]();
    },
  };
}

// The base parts: settings of tenants, room classes, revocations, and the heartbeat; then capabilities open their parts
// of the message path.

const DAY_MS = 86_400_000;

async function layGround(options: ShieldOptions): Promise<Ground> {
  const { config, random, spine } = options;
  const node_id = config.server.node_id ?? connectionId(random).replace(/^c/, "shield-");
  const ends = new AsyncDisposableStack();
  const settings = await openSettings(options);
  ends.defer(() => settings.close());
  await settings.ready;
  const stats = createStats();
  registerStats(stats, options.registry);
  const lives = new Lives(spine);
  const revocations = await openRevocations(options);
  const time = new StoreTime({ ...options, bucket: revocations.bucket });
  await time.ask();
  const rooms = startRoomClasses({ ...options, settings });
  ends.defer(() => rooms.close());
  const life = new OwnLife({ ...options, lives, node_id, kept_ms: keptMs(config) });
  // The heartbeat ends after all writers: other Shields then consider unwritten data lost.
  ends.defer(() => life.end());
  return {
    node_id,
    forwarding: new Forwarding(spine, node_id),
    settings,
    stats,
    tenants: new TenantTable(),
    flushes: new FlushQueue(spine),
    rooms,
    revocations,
    time,
    life,
    ends,
    signatures: signatureDemands(config.auth, settings),
    running: new RunningCapabilities(),
  };
}

/** Resolves once everything is loaded and open. Rejects with `spine-unavailable`. */
async function openFoundation(options: ShieldOptions): Promise<Ground> {
  const ground = await layGround(options);
  ground.ends.defer(() => ground.running.closeOpened());
  await ground.running.open(options.capabilities, options, ground);
  return ground;
}

/** The longest retention of all that Shields record, in ms. */
function keptMs({ journal, usage, ledger }: ShieldOptions["config"]): number {
  return Math.max(
    DAY_MS * Math.max(journal.retention_days, usage.retention_days),
    1_000 * ledger.seconds,
  );
}

// Reports about itself: its status for admins, its checks for probes, gauges of its parts.

/** What a report needs besides the parts. */
interface ReportOptions extends Pick<Env, "now"> {
  readonly spine: Pick<Spine, "status">;
  /** Whether the Spine can store data; absent: it is not checked. */
  readonly storage?: () => HealthCheck;
  readonly version: string;
}

/** The answer of `GET /v1/status`. */
function statusOf({ version, now, spine }: ReportOptions, parts: Parts): ShieldStatus {
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
function checksOf(
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
function registerParts(
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
