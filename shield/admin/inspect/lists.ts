/**
 * The lists of the admin API: they ask all Shields, or all processes, and merge the answers. The answering side is
 * `answers.ts`; paths and methods are in `api.ts`.
 */
import type { Env } from "../../../shared/env.ts";
import { ClusterNode } from "../../../shared/cluster/cluster_node.ts";
import type { ClusterAsker, Gathered } from "../../../shared/cluster/cluster_asker.ts";
import { NodeSamples, SAMPLE_MS } from "../../../shared/cluster/cluster_samples.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, Limit, readQuery } from "../routing/query.ts";
import {
  ConnectionAnswer,
  ConnectionFilter,
  CountsAnswer,
  RoomAnswer,
  RoomFilter,
  TenantAnswer,
  TenantSort,
} from "./rows.ts";
import type { ConnectionRow, RoomRow, TenantRow } from "./rows.ts";
import { topOf, visitAll } from "../../../shared/containers/top.ts";

/** What lists need of the process. */
export interface ListContext extends Pick<Env, "now"> {
  readonly asker: ClusterAsker;
}

/** What lists read of a request. */
type ListCall = Pick<AdminCall, "url" | "only_tenant">;

/** A JSON answer. */
export type Answer = Readonly<Record<string, unknown>>;

const Node = { node: Id.optional() };

/** The filter of questions for the admin of a single tenant: only that tenant. */
export const ownOf = (only_tenant: string | undefined): { readonly tenant?: string } =>
  only_tenant === undefined ? {} : { tenant: only_tenant };

/** Answers `GET /v1/cluster`. */
export async function cluster(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, Node);
  const { answers, nodes } = await context.asker.ask("node", ClusterNode, { to: node });
  context.asker.require(node, nodes);
  // A node's id is the sender's, whatever its answer contains.
  const shown = answers.map(({ node_id, kind, value }) => ({ ...value, node_id, kind }));
  return { now_ms: context.now(), nodes: shown, silent: nodes.silent };
}

/** Answers `GET /v1/cluster/history`. */
export async function clusterHistory(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, Node);
  const schema = NodeSamples.nullable();
  const { answers, nodes } = await context.asker.ask("samples", schema, { to: node });
  context.asker.require(node, nodes);
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
  const query = readQuery(url, { ...Node, ...ConnectionFilter, limit: Limit });
  const { node, ...filter } = query;
  const params = { ...filter, ...ownOf(only_tenant) };
  const options = { params, to: node, of: "shield" } as const;
  const { answers, nodes } = await context.asker.ask("connections", ConnectionAnswer, options);
  context.asker.require(node, nodes);
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
  const { node, limit, ...filter } = readQuery(url, { ...Node, ...RoomFilter, limit: Limit });
  const params = { ...filter, ...ownOf(only_tenant) };
  const options = { params, to: node, of: "shield" } as const;
  const { answers, nodes } = await context.asker.ask("rooms", RoomAnswer, options);
  context.asker.require(node, nodes);
  const merged = await mergeRooms(answers);
  const { items } = await topOf(merged.values(), {
    limit,
    score: (room) => params.sort === "messages" ? room.messages : room.subscribers,
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
  const { node, limit, sort } = readQuery(url, { ...Node, sort: TenantSort, limit: Limit });
  const options = { params: { sort, ...ownOf(only_tenant) }, to: node, of: "shield" } as const;
  const { answers, nodes } = await context.asker.ask("tenants", TenantAnswer, options);
  context.asker.require(node, nodes);
  const merged = await mergeTenants(answers);
  const { items } = await topOf(merged.values(), {
    limit,
    score: TENANT_SCORES[sort],
    name: ({ tenant_id }) => tenant_id,
  });
  const truncated = merged.size > items.length || isCut(answers);
  return { tenants: items, truncated, nodes };
}
