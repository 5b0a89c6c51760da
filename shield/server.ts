/**
 * One Shield, assembled: handlers for its listeners, health, drain. It opens no listener and reads no file or clock;
 * `main.ts` and the dev bus pass everything in.
 */
import { BANS_BUCKET } from "../shared/records/bans.ts";
import { operatorTenants } from "../shared/config/operators.ts";
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { KeyValue } from "../shared/spine/contract/spine.ts";
import { handleAdmin } from "./admin/admin.ts";
import { openFoundation } from "./foundation.ts";
import { AdminRouter } from "./admin/routing/admin_router.ts";
import { openAdminGates } from "./admin/admin_rates.ts";
import { type ShieldStatus, STATUS_ROUTES } from "./admin/admin_status.ts";
import { type Authenticator, createAuthenticator } from "./auth/authenticate.ts";
import type { Claims } from "./auth/claims.ts";
import { Bans } from "./auth/bans.ts";
import { actionsOf, documentsOf, fileOf, switchedOff } from "./capability.ts";
import { Cluster } from "./cluster.ts";
import { ConnectionTable } from "./connection/connection_table.ts";
import { drain } from "./drain.ts";
import { handleRequest } from "./http/http.ts";
import { Hub } from "./fanout/hub.ts";
import { createConnectionCounters } from "./connection/limits.ts";
import { type OperationContext, Operations } from "./connection/operations.ts";
import { checksOf, registerParts, statusOf } from "./report.ts";
import type { Ground, Parts, RunningCapabilities, ShieldOptions } from "./capability.ts";
import { RATE_KEYS, RateTable } from "./rates/rates.ts";
import { refusingRevoked } from "./auth/revocations.ts";
import { observersOf } from "./message/observers.ts";
import type { MessagePath } from "./message/pipeline.ts";
import { orderOn } from "./message/room_order.ts";
import { Removals } from "./connection/removals.ts";
import type { SocketServer } from "./socket/client_socket.ts";
import { openSockets } from "./socket/open.ts";
import { leave } from "./connection/subscribe.ts";
import { SWEEP_MS, Sweeper } from "./connection/sweep.ts";
import { httpContext } from "./client_context.ts";

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
