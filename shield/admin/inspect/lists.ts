/**
 * The lists of the admin API: they ask all Shields, or all processes, and merge the answers. The answering side is
 * `start.ts`; paths and methods are in `capability.ts`.
 */
import type { Env } from "../../../shared/env.ts";
import { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import type { ClusterAsker, Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { NodeSamples, SAMPLE_MS } from "../../../shared/cluster/cluster_samples.ts";
import { about, ID } from "../../openapi/openapi_parts.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, Limit, OneNode, readQuery } from "../routing/query.ts";
import { topOf, visitAll } from "../../../shared/containers/top.ts";
import { z } from "zod";
import { ArqonError, isId } from "@arqon/proto";
import { reservedRoom } from "../../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";

/** What lists need of the process. */
export interface ListContext extends Pick<Env, "now"> {
  readonly asker: ClusterAsker;
}

/** What lists read of a request. */
type ListCall = Pick<AdminCall, "url" | "only_tenant">;

/** A JSON answer. */
export type Answer = Readonly<Record<string, unknown>>;

/** How a list is sorted: by one of these names, the first by default. */
const sortBy = <const Names extends readonly [string, ...string[]]>(...names: Names) =>
  z.enum(names).default(names[0] as never).describe("sort order, largest first");
/** The query of what every process answers. */
export const NODE_QUERY = { node: OneNode };

/** The filter of questions for the admin of a single tenant: only that tenant. */
export const ownOf = (only_tenant: string | undefined): { readonly tenant?: string } =>
  only_tenant === undefined ? {} : { tenant: only_tenant };

/** Answers `GET /v1/cluster`. */
export async function cluster(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, NODE_QUERY);
  const { answers, nodes } = await context.asker.askAt(node, "node", ClusterNode);
  // A node's id is the sender's, whatever its answer contains.
  const shown = answers.map(({ node_id, kind, value }) => ({ ...value, node_id, kind }));
  return { now_ms: context.now(), nodes: shown, silent: nodes.silent };
}

/** Answers `GET /v1/cluster/history`. */
export async function clusterHistory(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, NODE_QUERY);
  const schema = NodeSamples.nullable();
  const { answers, nodes } = await context.asker.askAt(node, "samples", schema);
  const shown = answers.flatMap(({ node_id, kind, value }) =>
    value === null ? [] : [{ ...value, node_id, kind }]
  );
  return { now_ms: context.now(), every_ms: SAMPLE_MS, nodes: shown, silent: nodes.silent };
}

const CONNECTION_SCORES: Record<"unsent" | "age" | "messages", (one: ConnectionRow) => number> = {
  unsent: ({ unsent_bytes }) => unsent_bytes,
  age: ({ connected_ms }) => -connected_ms,
  messages: ({ received_messages, sent_messages }) => received_messages + sent_messages,
};

const sumOf = (answers: readonly { readonly value: { readonly total: number } }[]) =>
  answers.reduce((sum, { value }) => sum + value.total, 0);

/** Answers `GET /v1/connections`. */
export async function connections(
  context: ListContext,
  { url, only_tenant }: ListCall,
): Promise<Answer> {
  const query = readQuery(url, CONNECTION_QUERY);
  const { node, ...filter } = query;
  const options = { params: { ...filter, ...ownOf(only_tenant) }, of: "shield" } as const;
  const { asker } = context;
  const { answers, nodes } = await asker.askAt(node, "connections", ConnectionAnswer, options);
  // A row belongs to the node that sent it, whatever it contains.
  const rows = answers.flatMap(({ node_id, value }) =>
    value.rows.map((row) => ({ ...row, node_id }))
  );
  const { items } = await topOf(rows, {
    limit: query.limit,
    score: CONNECTION_SCORES[query.sort],
    name: ({ connection_id }) => connection_id,
  });
  const total = sumOf(answers);
  return { connections: items, total, truncated: total > items.length, nodes };
}

interface MergedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  subscribers: number;
  durable: boolean;
  messages: number;
  readonly nodes: string[];
}

function* rowsOf<R>(
  answers: readonly { readonly node_id: string; readonly value: { readonly rows: readonly R[] } }[],
): Iterable<readonly [row: R, node_id: string]> {
  for (const { node_id, value } of answers) for (const row of value.rows) yield [row, node_id];
}

async function mergeRooms(
  answers: Gathered<{ rows: readonly RoomRow[] }>["answers"],
): Promise<Map<string, MergedRoom>> {
  const merged = new Map<string, MergedRoom>();
  await visitAll(rowsOf(answers), ([row, node_id]) => {
    const [tenant_id, room_id, subscribers, durable, messages] = row;
    const key = `${tenant_id}/${room_id}`;
    const before = merged.get(key);
    if (before === undefined) {
      const nodes = [node_id];
      merged.set(key, { tenant_id, room_id, subscribers, durable, messages, nodes });
      return;
    }
    before.subscribers += subscribers;
    before.durable ||= durable;
    // Each Shield with subscribers receives every message of the room, so the largest count is the room's.
    before.messages = Math.max(before.messages, messages);
    before.nodes.push(node_id);
  });
  return merged;
}

/** Whether some node's answer is truncated. */
function isCut(
  answers: readonly {
    readonly value: { readonly rows: readonly unknown[]; readonly total: number };
  }[],
): boolean {
  return answers.some(({ value }) => value.total > value.rows.length);
}

/** Answers `GET /v1/rooms`. */
export async function rooms(context: ListContext, { url, only_tenant }: ListCall): Promise<Answer> {
  const { node, limit, ...filter } = readQuery(url, ROOM_QUERY);
  const options = { params: { ...filter, ...ownOf(only_tenant) }, of: "shield" } as const;
  const { answers, nodes } = await context.asker.askAt(node, "rooms", RoomAnswer, options);
  const merged = await mergeRooms(answers);
  const { items } = await topOf(merged.values(), {
    limit,
    score: (room) => filter.sort === "messages" ? room.messages : room.subscribers,
    name: ({ tenant_id, room_id }) => `${tenant_id}/${room_id}`,
  });
  const truncated = merged.size > items.length || isCut(answers);
  return { rooms: items, truncated, nodes };
}

/** Subscribers of up to 1,000 rooms on all Shields, in the order of the rooms; the sums exclude `silent` nodes. */
export async function subscriberCounts(
  { asker }: Pick<ListContext, "asker">,
  tenant: string,
  rooms: readonly string[],
): Promise<{ readonly counts: readonly number[]; readonly silent: readonly string[] }> {
  const options = { params: { tenant, rooms }, of: "shield" } as const;
  const { answers, nodes: { silent } } = await asker.ask("room_counts", CountsAnswer, options);
  const sumAt = (at: number) => answers.reduce((sum, { value }) => sum + (value[at] ?? 0), 0);
  return { counts: rooms.map((_, at) => sumAt(at)), silent };
}

/** The figures of each tenant. */
export const TENANT_COLUMNS = [
  "connections",
  "users",
  "rooms",
  "ingress_messages",
  "ingress_bytes",
  "egress_messages",
  "rejects",
] as const;
type MergedTenant = { tenant_id: string } & Record<typeof TENANT_COLUMNS[number], number>;

async function mergeTenants(
  answers: Gathered<{ rows: readonly TenantRow[] }>["answers"],
): Promise<Map<string, MergedTenant>> {
  const merged = new Map<string, MergedTenant>();
  await visitAll(rowsOf(answers), ([[tenant_id, ...figures]]) => {
    const before = merged.get(tenant_id);
    const sums = TENANT_COLUMNS.map((
      name,
      at,
    ) => [name, (before?.[name] ?? 0) + (figures[at] ?? 0)]);
    merged.set(tenant_id, { tenant_id, ...Object.fromEntries(sums) });
  });
  return merged;
}

const TENANT_SCORES: Record<
  "messages" | "connections" | "rejects",
  (tenant: MergedTenant) => number
> = {
  messages: ({ ingress_messages, egress_messages }) => ingress_messages + egress_messages,
  connections: ({ connections }) => connections,
  rejects: ({ rejects }) => rejects,
};

/** Answers `GET /v1/tenants`. */
export async function tenants(
  context: ListContext,
  { url, only_tenant }: ListCall,
): Promise<Answer> {
  const { node, limit, sort } = readQuery(url, TENANT_QUERY);
  const options = { params: { sort, ...ownOf(only_tenant) }, of: "shield" } as const;
  const { answers, nodes } = await context.asker.askAt(node, "tenants", TenantAnswer, options);
  const merged = await mergeTenants(answers);
  const { items } = await topOf(merged.values(), {
    limit,
    score: TENANT_SCORES[sort],
    name: ({ tenant_id }) => tenant_id,
  });
  const truncated = merged.size > items.length || isCut(answers);
  return { tenants: items, truncated, nodes };
}

/** The most rooms, and tenants, that one Shield reports: more than an answer shows, so that sums are right. */
export const REPORTED_MAX = 2_000;
/** The most rooms of one connection that are shown. */
export const CONNECTION_ROOMS_MAX = 1_000;

const Count = z.number().min(0);
const Text = z.string().max(1_024);

/** One connection, as `GET /v1/connections` shows it. */
export const ConnectionRow = z.strictObject({
  connection_id: Id,
  node_id: Id,
  tenant_id: Id,
  user_id: Text,
  issuer: Text,
  role: z.enum(["user", "service", "admin"]),
  remote_ip: Text,
  protocol: z.enum(["arqon.v1", "arqon.v1.json"]),
  connected_ms: z.number(),
  token_expires_ms: z.number(),
  subscriptions: Count,
  pending_operations: Count,
  unsent_bytes: Count,
  received_messages: Count,
  sent_messages: Count,
});
export type ConnectionRow = z.output<typeof ConnectionRow>;

/** A filter of connections, sorted by most unsent bytes, oldest, or most messages first. */
export const ConnectionFilter = {
  tenant: Id.optional().describe("only of this tenant"),
  user: z.string().min(1).max(256).optional().describe("only of users with this id"),
  room: Id.optional().describe("only clients that are subscribed to this room"),
  sort: sortBy("unsent", "age", "messages"),
};
/** The query of connections. */
export const CONNECTION_QUERY = { ...ConnectionFilter, node: OneNode, limit: Limit };

/** A Shield's connections. */
const ConnectionAnswer = z.strictObject({
  rows: z.array(ConnectionRow).max(1_000),
  total: Count,
  truncated: z.boolean().optional(),
});

/** One connection and its rooms; null on Shields that do not have it. */
export const ConnectionDetail = ConnectionRow.extend({
  rooms: z.array(z.strictObject({
    room_id: Text,
    presence: z.boolean(),
    no_echo: z.boolean(),
    filter: z.string().optional(),
    batch: z.boolean(),
  })).max(CONNECTION_ROOMS_MAX),
}).nullable();
/** One connection and its rooms; null on Shields that do not have it. */
export type ConnectionDetail = z.output<typeof ConnectionDetail>;

/** The answer to an action: whether its object existed and the action was done. */
export const Done = z.strictObject({ done: z.boolean() });

/** A filter of rooms. */
export const RoomFilter = {
  tenant: Id.optional().describe("only of this tenant"),
  prefix: Id.optional().describe("only rooms whose id has this prefix"),
  sort: sortBy("subscribers", "messages"),
};
/** The query of rooms. */
export const ROOM_QUERY = { ...RoomFilter, node: OneNode, limit: Limit };

/** `[tenant_id, room_id, subscribers, durable, messages]`. */
export const RoomRow = z.tuple([Id, Id, Count, z.boolean(), Count]);
/** `[tenant_id, room_id, subscribers, durable, messages]`. */
export type RoomRow = z.output<typeof RoomRow>;

/** A Shield's rooms. */
const RoomAnswer = z.strictObject({
  rows: z.array(RoomRow).max(REPORTED_MAX),
  total: Count,
  truncated: z.boolean().optional(),
});

/** Rooms whose subscribers are counted. */
export const CountsQuestion = z.strictObject({ tenant: Id, rooms: z.array(Id).max(1_000) });
/** The subscribers of each room on one Shield. */
const CountsAnswer = z.array(Count).max(1_000);

/** How lists of tenants are sorted. */
export const TenantSort = sortBy("messages", "connections", "rejects");
/** The query of tenants. */
export const TENANT_QUERY = { sort: TenantSort, node: OneNode, limit: Limit };

/** `[tenant_id, connections, users, rooms, ingress_messages, ingress_bytes, egress_messages, rejects]`. */
export const TenantRow = z.tuple([
  z.string().max(64),
  Count,
  Count,
  Count,
  Count,
  Count,
  Count,
  Count,
]);
/** `[tenant_id, connections, users, rooms, ingress_messages, ingress_bytes, egress_messages, rejects]`. */
export type TenantRow = z.output<typeof TenantRow>;

/** A Shield's tenants. */
export const TenantAnswer = z.strictObject({
  rows: z.array(TenantRow).max(REPORTED_MAX),
  total: Count,
  truncated: z.boolean().optional(),
});

/** The query of stored rooms. */
export const STORED_QUERY = {
  tenant: Id.optional().describe("the tenant; absent: the token's tenant"),
  prefix: z.string().refine((text) => text === "" || isId(text), {
    error: "expected a prefix of room ids",
  }).default("").meta(
    about("only rooms whose id has this prefix; empty: all", {
      ...ID,
      pattern: "^[A-Za-z0-9_~:=-]{0,64}$",
    }),
  ),
  after: Id.optional().describe("`next` of the previous answer: only rooms after this one"),
  limit: Limit,
};

/** What listing stored rooms needs of the process. */
export interface StoredRoomsContext {
  readonly logs: {
    of(tenant_id: string): Promise<Pick<DurableLog, "rooms" | "head" | "count" | "trim">>;
  };
  readonly classes: Pick<RoomClasses, "of"> & { retentionOf(tenant_id: string): unknown };
}

/** Answers `GET /v1/rooms/stored`. Rejects with `log-unavailable` and `spine-unavailable`. */
export async function storedRooms(
  { logs, classes }: StoredRoomsContext,
  { url, only_tenant, tenant_id: own }: AdminCall,
): Promise<Answer> {
  const { tenant = only_tenant ?? own, prefix, after = "", limit } = readQuery(url, STORED_QUERY);
  // Without a durable class there is no log to ask.
  const { rooms, more } = classes.retentionOf(tenant) === undefined
    ? { rooms: [], more: false }
    : await (await logs.of(tenant)).rooms({ prefix, after, limit });
  return { tenant_id: tenant, rooms, next: more ? rooms.at(-1) ?? null : null };
}

/** Trims the log of a durable room. Rejects with `not-found` for a room without a log, and as `storedRooms` does. */
export async function trimStored(
  { logs, classes }: StoredRoomsContext,
  { tenant, room: room_id }: AdminCall,
  { before }: { readonly before?: number | undefined },
): Promise<Answer> {
  if (!classes.of(tenant, room_id).durable || reservedRoom(room_id) !== undefined) {
    throw new ArqonError("not-found", `${room_id} is not a durable room`);
  }
  const log = await logs.of(tenant);
  const last = (await log.head(room_id)).last?.offset ?? 0;
  const through = Math.min(before ?? last, last);
  const kept = await log.count(room_id, through + 1);
  const messages = await log.count(room_id, 1) - kept;
  if (messages > 0) await log.trim(room_id, { through });
  return { tenant_id: tenant, room_id, offset: messages > 0 ? through : 0, messages, snapshots: 0 };
}
