/**
 * The content of a room, for operators: the history of a durable room, and the state of any room. Like a tail, reading
 * neither subscribes nor asks policies. The log records who read which room.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import { StateAnswer } from "../../../shared/cluster/cluster_room.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Env } from "../../../shared/env.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import type { History } from "../../durable/history/history.ts";
import { rangeOfParams } from "../../durable/history/history_query.ts";
import { readQuery, requireId } from "../routing/query.ts";

/** What reading rooms needs of the process. */
export interface ContentsContext extends Pick<Env, "log"> {
  readonly asker: Pick<ClusterAsker, "ask">;
  /** Undefined: this Shield has no durable rooms. */
  readonly history: Pick<History, "read" | "limits"> | undefined;
  readonly config: Pick<Config, "limits">;
}

/** The room and, optionally, one key of its state. */
interface StateWish {
  readonly tenant: string;
  readonly room: string;
  readonly key?: string | undefined;
}

/** What the owning Brain reports about the room's state; undefined if no Brain answers. */
export async function askState(
  { asker }: { readonly asker: Pick<ClusterAsker, "ask"> },
  { tenant, room, key }: StateWish,
): Promise<NonNullable<StateAnswer> | undefined> {
  const params = { tenant, room, ...(key === undefined ? {} : { key }) };
  const { answers } = await asker.ask("room_state", StateAnswer, { params, of: "brain" });
  return answers.find(({ value }) => value !== null)?.value ?? undefined;
}

/** Answers `GET /v1/rooms/{tenant}/{room}/messages`, with the same parameters as for clients. */
export async function roomHistory(
  { history, log }: ContentsContext,
  { url, tenant, names, by }: AdminCall,
): Promise<Response> {
  const room = requireId(names.room ?? "", "room");
  if (history === undefined) throw new ArqonError("not-durable", room);
  const page = await history.read(tenant, room, rangeOfParams(url.searchParams, history.limits));
  log.info("an operator reads the history of a room", { tenant_id: tenant, room, by });
  const headers = { "content-type": "application/json" };
  return new Response(new Uint8Array(await page.json()), { headers });
}

const NO_STATE: NonNullable<NonNullable<StateAnswer>["document"]> = {
  version: 0,
  epoch: "",
  created_ms: 0,
  keys: [],
  key_count: 0,
  size_bytes: 0,
};

/** Answers `GET /v1/rooms/{tenant}/{room}/state` with all keys, and with `?key=` the value of one. */
export async function roomState(
  context: ContentsContext,
  { url, tenant, names, by }: AdminCall,
): Promise<Response> {
  const room = requireId(names.room ?? "", "room");
  const { key } = readQuery(url, {
    key: z.string().min(1).max(context.config.limits.field_bytes).optional(),
  });
  const answer = await askState(context, { tenant, room, key });
  if (answer === undefined) {
    throw new ArqonError("brain-unavailable", "no Brain answered with the room's state", {
      retry_after_ms: 1_000,
    });
  }
  context.log.info("an operator reads the state of a room", { tenant_id: tenant, room, by });
  const { value, lock = null, ...document } = answer.document ?? NO_STATE;
  const about = { tenant_id: tenant, room_id: room, version: document.version };
  if (key !== undefined) {
    if (value === undefined) throw new ArqonError("not-found", `the room has no key ${shown(key)}`);
    // The value is sent as stored, as JavaScript cannot represent every JSON number.
    const rest = JSON.stringify({ ...about, epoch: document.epoch, key }).slice(0, -1);
    const headers = { "content-type": "application/json" };
    return new Response(`${rest},"value":${value}}`, { headers });
  }
  const truncated = document.key_count > document.keys.length;
  return Response.json({ ...about, ...document, lock, truncated });
}

const shown = (key: string) => JSON.stringify(key.slice(0, 64));
