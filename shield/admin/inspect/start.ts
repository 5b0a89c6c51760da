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
import type { InspectContext } from "./rooms_api.ts";
import { Id, ROWS_MAX } from "../routing/query.ts";
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
import type { Connection } from "../../connection/connection.ts";
import type { Channel } from "../../fanout/hub.ts";
import { OTHER_TENANTS, type TenantTotals } from "../../stats/tenant_stats.ts";
import {
  CONNECTION_ROOMS_MAX,
  ConnectionFilter,
  CountsQuestion,
  REPORTED_MAX,
  RoomFilter,
  TenantSort,
} from "./lists.ts";
import type { ConnectionDetail, ConnectionRow, RoomRow, TenantRow } from "./lists.ts";
import { topOf, visitAll } from "../../../shared/containers/top.ts";

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

/** The parts of a Shield that are read. */
export type InspectedParts = Pick<
  Parts,
  "node_id" | "connections" | "hub" | "counters" | "tenants" | "operations"
>;

const RowLimit = z.int().min(1).max(ROWS_MAX);
const ConnectionParams = z.strictObject({ ...ConnectionFilter, limit: RowLimit });
const RoomParams = z.strictObject(RoomFilter);
const TenantParams = z.strictObject({ sort: TenantSort, tenant: Id.optional() });
const RoomParam = z.strictObject({ tenant: Id, room: Id });
const ConnectionParam = z.strictObject({ connection_id: Id });

function connectionRow(
  { node_id, hub: { patterns } }: Pick<Parts, "node_id" | "hub">,
  connection: Connection,
): ConnectionRow {
  const { identity, caller, outbox } = connection;
  return {
    connection_id: connection.id,
    node_id,
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    issuer: identity.issuer.slice(0, 1_024),
    role: identity.role,
    remote_ip: caller.remote_ip,
    protocol: connection.text ? "arqon.v1.json" : "arqon.v1",
    connected_ms: connection.created_ms,
    token_expires_ms: identity.expires_ms,
    subscriptions: connection.subscriptions.size + (patterns?.of(connection)?.size ?? 0),
    pending_operations: connection.pending,
    unsent_bytes: outbox?.unsent_bytes ?? 0,
    received_messages: connection.liveness.received,
    sent_messages: outbox?.sent ?? 0,
  };
}

const CONNECTION_SCORES: Record<"unsent" | "age" | "messages", (one: Connection) => number> = {
  unsent: ({ outbox }) => outbox?.unsent_bytes ?? 0,
  age: ({ created_ms }) => -created_ms,
  messages: ({ liveness, outbox }) => liveness.received + (outbox?.sent ?? 0),
};

async function connections(
  parts: Pick<Parts, "node_id" | "connections" | "hub">,
  params: unknown,
) {
  const { connections, hub: { patterns } } = parts;
  const { tenant, user, room, sort, limit } = ConnectionParams.parse(params);
  const all = tenant !== undefined && user !== undefined
    ? connections.ofUser(tenant, user)
    : connections;
  const { items, total } = await topOf(all, {
    limit,
    accept: (one) =>
      !one.ended && (tenant === undefined || one.identity.tenant_id === tenant) &&
      (user === undefined || one.identity.user_id === user) &&
      (room === undefined || one.subscriptions.has(room) ||
        patterns?.of(one)?.covers(room) === true),
    score: CONNECTION_SCORES[sort],
    name: ({ id }) => id,
  });
  return { rows: items.map((one) => connectionRow(parts, one)), total };
}

function connectionDetail(parts: InspectedParts, params: unknown): ConnectionDetail {
  const { connection_id } = ConnectionParam.parse(params);
  const connection = parts.connections.get(connection_id);
  if (connection === undefined || connection.ended) return null;
  const { attending } = parts.operations.context;
  const batch = connection.outbox?.has_batches ?? false;
  const rooms: NonNullable<ConnectionDetail>["rooms"] = [];
  for (const [room_id, { no_echo, filter }] of connection.subscriptions) {
    if (rooms.length === CONNECTION_ROOMS_MAX) break;
    rooms.push({
      room_id,
      presence: attending.of(connection, room_id) !== undefined,
      no_echo,
      batch,
      ...(filter === undefined ? {} : { filter: filter.text }),
    });
  }
  for (const { pattern, no_echo } of parts.hub.patterns?.of(connection)?.patterns ?? []) {
    if (rooms.length === CONNECTION_ROOMS_MAX) break;
    rooms.push({ room_id: pattern, presence: false, no_echo, batch });
  }
  return { ...connectionRow(parts, connection), rooms };
}

function roomRow({ tenant_id, room_id, subscribers, room_class, messages }: Channel): RoomRow {
  return [tenant_id, room_id, subscribers.size, room_class?.durable ?? false, messages];
}

async function rooms({ hub }: Pick<Parts, "hub">, params: unknown) {
  const { tenant, prefix = "", sort } = RoomParams.parse(params);
  const { items, total } = await topOf(hub.channels.values(), {
    limit: REPORTED_MAX,
    accept: ({ tenant_id, room_id, subscribers }) =>
      subscribers.size > 0 && (tenant === undefined || tenant_id === tenant) &&
      room_id.startsWith(prefix),
    score: sort === "messages" ? ({ messages }) => messages : ({ subscribers }) => subscribers.size,
    name: ({ tenant_id, room_id }) => `${tenant_id}/${room_id}`,
  });
  return { rows: items.map(roomRow), total };
}

/** What this Shield knows of one room. */
function room({ hub }: Pick<Parts, "hub">, params: unknown) {
  const { tenant, room } = RoomParam.parse(params);
  const channel = hub.find(tenant, room);
  if (channel === undefined) return { kind: "shield", subscribers: 0, messages: 0 };
  return { kind: "shield", subscribers: channel.subscribers.size, messages: channel.messages };
}

/** Subscribers of rooms, by their names: who receives a room by a pattern may not receive it yet. */
function roomCounts({ hub }: Pick<Parts, "hub">, params: unknown): number[] {
  const { tenant, rooms } = CountsQuestion.parse(params);
  const size = (room: string) => hub.find(tenant, room)?.subscribers.size ?? 0;
  return rooms.map((room) => size(room) - (hub.patterns?.receivers(tenant, room) ?? 0));
}

interface TenantUse {
  readonly tenant_id: string;
  readonly totals: TenantTotals | undefined;
  readonly users: number;
  readonly rooms: number;
}

const TENANT_SCORES: Record<
  "messages" | "connections" | "rejects",
  (use: TenantUse, connections: number) => number
> = {
  messages: ({ totals }) => (totals?.ingress_messages ?? 0) + (totals?.egress_messages ?? 0),
  connections: (_, connections) => connections,
  rejects: ({ totals }) => totals?.rejects ?? 0,
};

/** The number of items by tenant. */
async function countByTenant(tenants: Iterable<string>): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  await visitAll(tenants, (tenant_id) => {
    counts.set(tenant_id, (counts.get(tenant_id) ?? 0) + 1);
  });
  return counts;
}

function* tenantsOfUsers({ connections }: Pick<Parts, "connections">): Iterable<string> {
  for (const [tenant_id] of connections.users()) yield tenant_id;
}

function* tenantsOfRooms({ hub }: Pick<Parts, "hub">): Iterable<string> {
  for (const { tenant_id } of hub.channels.values()) yield tenant_id;
}

/** The tenants with totals, then those that only have connections or rooms. */
function* tenantUses(
  parts: InspectedParts,
  users: Map<string, number>,
  rooms: Map<string, number>,
): Iterable<TenantUse> {
  const use = (tenant_id: string, totals: TenantTotals | undefined): TenantUse => {
    const found = { users: users.get(tenant_id) ?? 0, rooms: rooms.get(tenant_id) ?? 0 };
    users.delete(tenant_id);
    rooms.delete(tenant_id);
    return { tenant_id, totals, ...found };
  };
  for (const [tenant_id, totals] of parts.tenants.entries()) yield use(tenant_id, totals);
  for (const tenant_id of users.keys()) yield use(tenant_id, undefined);
  for (const tenant_id of rooms.keys()) yield use(tenant_id, undefined);
}

async function tenants(parts: InspectedParts, params: unknown) {
  const { sort, tenant } = TenantParams.parse(params);
  const [users, rooms] = await Promise.all([
    countByTenant(tenantsOfUsers(parts)),
    countByTenant(tenantsOfRooms(parts)),
  ]);
  const open = ({ tenant_id }: TenantUse) => parts.counters.open(tenant_id);
  const { items, total } = await topOf(tenantUses(parts, users, rooms), {
    limit: REPORTED_MAX,
    // The shared row of several tenants is not shown to a single tenant, even one with the same name.
    accept: ({ tenant_id }) =>
      tenant === undefined || (tenant_id === tenant && tenant_id !== OTHER_TENANTS),
    score: (use) => TENANT_SCORES[sort](use, open(use)),
    name: ({ tenant_id }) => tenant_id,
  });
  const row = (use: TenantUse): TenantRow => {
    const { tenant_id, totals, users, rooms } = use;
    const { ingress_messages = 0, ingress_bytes = 0, egress_messages = 0, rejects = 0 } = totals ??
      {};
    const counted = [ingress_messages, ingress_bytes, egress_messages, rejects] as const;
    return [tenant_id, open(use), users, rooms, ...counted];
  };
  return { rows: items.map(row), total };
}

/** Answers to questions that only read. */
export function shieldAnswers(parts: InspectedParts): AnswerHandlers {
  return {
    connections: (params) => connections(parts, params),
    connection: (params) => connectionDetail(parts, params),
    rooms: (params) => rooms(parts, params),
    room: (params) => room(parts, params),
    room_counts: (params) => roomCounts(parts, params),
    tenants: (params) => tenants(parts, params),
  };
}
