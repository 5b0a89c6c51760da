/** Admin routes about one connection, one room, one Shield's limits, drain and logs. Lists are in `lists.ts`. */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { Draining, LevelChange, NodeLevels } from "../../../shared/cluster/cluster_control.ts";
import type { AskedNodes } from "../../../shared/cluster/cluster_asker.ts";
import { RoomAnswer } from "../../../shared/cluster/cluster_room.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { History } from "../../durable/history/history.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { ConnectionDetail, Done, NODE_QUERY, ownOf } from "./lists.ts";
import type { Answer, ListContext } from "./lists.ts";
import { Id, readQuery } from "../routing/query.ts";
import { askState } from "./reduced_room.ts";

/** What details need of the process. */
export interface DetailContext extends ListContext {
  readonly node_id: string;
  readonly classes: Pick<RoomClasses, "explain">;
  /** Undefined: this Shield has no durable rooms. */
  readonly history: Pick<History, "extent"> | undefined;
  readonly config: Pick<
    Config,
    "limits" | "presence" | "policy" | "durable" | "quota" | "brain" | "platform"
  >;
}

function noConnection(connection_id: string, { silent }: AskedNodes): ArqonError {
  const unsure = silent.length === 0 ? "" : `; no answer from ${silent.join(", ").slice(0, 500)}`;
  return new ArqonError("not-found", `no connection ${connection_id}${unsure}`);
}

/** Answers `GET /v1/connections/{id}`. Rejects with `not-found`, also for a connection of another tenant. */
export async function connection(
  { asker }: ListContext,
  { names: { connection: connection_id = "" }, only_tenant }: AdminCall,
): Promise<Answer> {
  const options = { params: { connection_id }, of: "shield" } as const;
  const { answers, nodes } = await asker.ask("connection", ConnectionDetail, options);
  for (const { node_id, value } of answers) {
    if (value === null || (only_tenant ?? value.tenant_id) !== value.tenant_id) continue;
    return { ...value, node_id };
  }
  throw noConnection(connection_id, nodes);
}

/** Answers `DELETE /v1/connections/{id}`. Rejects with `not-found`, also for a connection of another tenant. */
export async function disconnect(
  { asker }: ListContext,
  { names: { connection: connection_id = "" }, by, only_tenant }: AdminCall,
): Promise<void> {
  const params = { connection_id, by, ...ownOf(only_tenant) };
  const options = { params, of: "shield", is_order: true } as const;
  const { answers, nodes } = await asker.ask("disconnect", Done, options);
  if (!answers.some(({ value }) => value.done)) throw noConnection(connection_id, nodes);
}

/** The extent of a durable room's log, or why it is unknown; nothing for rooms that are not durable. */
async function storedOf(
  { classes, history }: DetailContext,
  tenant: string,
  room: string,
): Promise<Answer> {
  if (classes.explain(tenant, room)[0]?.durable !== true || history === undefined) {
    return {};
  }
  try {
    return { stored: await history.extent(tenant, room) };
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    return { stored_problem: error.message };
  }
}

/** Answers `GET /v1/rooms/{tenant}/{room}`; a room without subscribers has zeros. */
export async function room(context: DetailContext, { tenant, room }: AdminCall): Promise<Answer> {
  const { asker, classes } = context;
  const [{ answers, nodes }, state, stored] = await Promise.all([
    asker.ask("room", RoomAnswer, { params: { tenant, room } }),
    askState(context, { tenant, room }),
    storedOf(context, tenant, room),
  ]);
  const shields = answers.flatMap(({ node_id, value }) =>
    value?.kind === "shield" ? [{ node_id, ...value }] : []
  );
  const owner = answers.find(({ value }) => value?.kind === "brain");
  const known = owner?.value?.kind === "brain" ? owner.value : undefined;
  const { members = [], member_count = 0, user_count = 0, version } = known ?? {};
  const here = shields.filter(({ subscribers }) => subscribers > 0);
  const [room_class] = classes.explain(tenant, room);
  return {
    tenant_id: tenant,
    room_id: room,
    subscribers: shields.reduce((sum, { subscribers }) => sum + subscribers, 0),
    messages: Math.max(0, ...shields.map(({ messages }) => messages)),
    class: {
      ...room_class,
      replicas: room_class?.replicas ?? null,
      max_members: room_class?.max_members ?? null,
    },
    members,
    member_count,
    user_count,
    truncated: member_count > members.length,
    ...(version === undefined ? {} : { version }),
    ...(owner === undefined ? {} : { brain_id: owner.node_id }),
    // Null: the room has no lock; absent: no Brain answered.
    ...(state === undefined ? {} : { lock: state.document?.lock ?? null }),
    ...stored,
    shields: here.map(({ node_id }) => node_id),
    nodes,
  };
}

/** Answers `GET /v1/limits`: the limits of this Shield, without secrets. */
export function limits({ node_id, config }: DetailContext): Answer {
  const { limits, presence, policy, durable, quota, brain, platform: { overseer } } = config;
  const shown = { node_id, limits, presence, policy, overseer, durable, brain };
  if (quota === undefined) return shown;
  const { url: _secret, tenants, ...rest } = quota;
  return { ...shown, quota: { ...rest, tenants: tenants.length } };
}

/** Throws `process-unavailable` if that node has not answered. */
function requireAnswer(node_id: string, nodes: AskedNodes): void {
  if (nodes.answered.includes(node_id)) return;
  const detail = `no answer from ${node_id}; it may still drain within half a minute`;
  throw new ArqonError("process-unavailable", detail, { retry_after_ms: 1_000 });
}

/** The body of `POST /v1/drain`. */
export const DrainBody = z.strictObject({ node_id: Id });

/** Answers `POST /v1/drain`. Rejects with `not-found`, or `settings-conflict` if the process cannot be drained. */
export async function drain(
  context: ListContext,
  { by }: Pick<AdminCall, "by">,
  { node_id }: z.output<typeof DrainBody>,
): Promise<Answer> {
  const options = { params: { by }, is_order: true } as const;
  const { answers, nodes } = await context.asker.askAt(node_id, "drain", Draining, options);
  requireAnswer(node_id, nodes);
  if (answers[0]?.value.draining === true) return { node_id, draining: true };
  throw new ArqonError(
    "settings-conflict",
    `${node_id} can only be stopped by the process that started it`,
  );
}

/** Answers `GET /v1/log`. */
export async function log(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, NODE_QUERY);
  const { answers, nodes } = await context.asker.askAt(node, "log", NodeLevels);
  return { levels: answers.map(levelsOf), nodes };
}

function levelsOf(
  { node_id, kind, value: { level, levels, components } }: {
    node_id: string;
    kind: string;
    value: z.output<typeof NodeLevels>;
  },
) {
  return { node_id, kind, level, levels, components };
}

/** The body of `PUT /v1/log`. */
export const LogBody = LevelChange.extend({ node_id: Id.optional() });

/** Answers `PUT /v1/log`. Rejects with `invalid-settings` if no process has the component. */
export async function setLog(
  context: ListContext,
  { by }: Pick<AdminCall, "by">,
  { node_id, ...change }: z.output<typeof LogBody>,
): Promise<Answer> {
  const options = { params: { ...change, by }, is_order: true } as const;
  const { answers, nodes } = await context.asker.askAt(node_id, "set_log", NodeLevels, options);
  if (node_id !== undefined) requireAnswer(node_id, nodes);
  if (!answers.some(({ value }) => value.known === true)) {
    const known = [...new Set(answers.flatMap(({ value }) => value.components))].sort();
    const detail = `component: ${JSON.stringify(change.component)} writes no log; known: ` +
      known.join(", ");
    throw new ArqonError("invalid-settings", detail);
  }
  return { levels: answers.map(levelsOf), nodes };
}
