/**
 * Read-only routes about rooms with reducers, for clients that fold a room's log themselves: the record of a room's
 * snapshots, and the bytes of snapshots, programs and modules. The log itself is the history of the room
 * `ROOM~reducer`. It also lists the rooms whose reducers are cut off.
 */
import { ArqonError } from "@arqon/proto";
import { CUT_OFF_MAX, CutOffAnswer, StateAnswer } from "../../../shared/cluster/cluster_room.ts";
import {
  decodeRecord,
  REDUCER_OBJECTS,
  REDUCERS_BUCKET,
} from "../../../shared/records/reducer_record.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import { decodePoints, snapshotName } from "../../../shared/records/reducer_points.ts";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Env } from "../../../shared/env.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, readQuery, wholeNumber } from "../routing/query.ts";
import { type Answer, type ListContext, type StoredRoomsContext, trimStored } from "./lists.ts";
import { z } from "zod";
import { about, integer, TEXT } from "../../openapi/openapi_parts.ts";
import {
  PAST_COMMAND,
  PAST_VALUES,
  PAST_VALUES_MAX,
} from "../../../shared/records/reducer_past.ts";
import type { PastAsk } from "../../../shared/records/reducer_past.ts";
import { askOwner, type OrderContext } from "./room_orders.ts";
import type { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { History } from "../../durable/history/history.ts";
import { rangeOfParams } from "../../durable/history/history_query.ts";

/** What reading rooms with reducers needs of the process. */
interface ReducedRoomContext extends Pick<Env, "log"> {
  readonly spine: Pick<Spine, "keyValue" | "objects">;
  readonly classes: {
    of(tenant_id: string, room_id: string): Pick<RoomClass, "reducer" | "pattern">;
  };
}

/** A room with a reducer. */
interface Reduced {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly reducer: string;
}

/** A snapshot, and the position in the log that follows it. */
interface Snapshot {
  readonly name: string;
  /** The last entry in it. */
  readonly offset: number;
  /** The room's clock then; 0: unknown. */
  readonly at_ms: number;
  /** The message of the log with that entry. */
  readonly position: number;
  readonly size_bytes: number;
}

/** Names that are digests: only readers of a room's log know the names that it contains. */
const PROGRAM = /^(?:program|module)-[0-9a-f]{64}$/;

/** Throws `not-found` for a room without a reducer, before anything is opened. */
function reducedOf(
  { classes }: Pick<ReducedRoomContext, "classes">,
  { tenant, room: room_id }: AdminCall,
): Reduced {
  const { reducer } = classes.of(tenant, room_id);
  if (reducer !== undefined && reducerRoomOf(room_id) !== undefined) {
    return { tenant_id: tenant, room_id, reducer };
  }
  throw new ArqonError("not-found", `${room_id} has no reducer`);
}

async function recordOf(
  { spine }: ReducedRoomContext,
  { tenant_id, room_id }: Reduced,
): Promise<RoomRecord | undefined> {
  const stored = await (await spine.keyValue(REDUCERS_BUCKET)).get([tenant_id, room_id]);
  if (stored === undefined) return undefined;
  const record = decodeRecord(stored.value);
  if (record !== undefined) return record;
  throw new ArqonError("log-unavailable", `the record of ${room_id} cannot be read`);
}

/** The snapshots of a room that its record names, in the order of their entries. */
async function snapshotsOf(
  { spine }: ReducedRoomContext,
  { tenant_id, room_id }: Reduced,
  record: RoomRecord | undefined,
): Promise<Snapshot[]> {
  if (record === undefined || record.snapshot === "") return [];
  const { snapshot: name, offset, position, points, stream } = record;
  const bytes = await (await spine.objects(REDUCER_OBJECTS)).get(points);
  const known = bytes && decodePoints(bytes);
  // Its points are lost, or of another incarnation of the log.
  if (known?.stream !== stream) return [{ name, offset, at_ms: 0, position, size_bytes: 0 }];
  return known.points.map((point) => ({
    name: snapshotName(tenant_id, room_id, point),
    offset: point.offset,
    at_ms: point.time_ms,
    position: point.position,
    size_bytes: point.size_bytes,
  }));
}

/** Answers `GET /v1/rooms/{tenant}/{room}/reducer`. Rejects with `spine-unavailable`. */
export async function reducedRoom(
  context: ReducedRoomContext,
  call: AdminCall,
): Promise<Answer> {
  const at = reducedOf(context, call);
  const record = await recordOf(context, at);
  const log_room_id = reducerRoomOf(at.room_id)!;
  const epoch = record === undefined ? "" : roomEpoch(record.stream, log_room_id);
  const snapshots = await snapshotsOf(context, at, record);
  const { offset = 0, fork = null, lost = [], program, refused = null } = record ?? {};
  const { pattern } = context.classes.of(at.tenant_id, at.room_id);
  return {
    ...at,
    class: pattern,
    log_room_id,
    epoch,
    offset,
    snapshots,
    fork,
    lost,
    module: program?.module ?? null,
    refused,
  };
}

/** Answers `GET /v1/tenants/{tenant}/rooms/cut-off`. Rejects with `brain-unavailable` when no Brain answers. */
export async function cutOffRooms(
  { asker }: ListContext,
  { tenant }: AdminCall,
): Promise<Answer> {
  const options = { params: { tenant }, of: "brain" } as const;
  const { answers, nodes } = await asker.ask("cut_off", CutOffAnswer, options);
  if (answers.length === 0) {
    throw new ArqonError("brain-unavailable", "no Brain answered which rooms are cut off", {
      retry_after_ms: 1_000,
    });
  }
  const rooms = answers.flatMap(({ node_id: brain_id, value }) =>
    value.rooms.map((room) => ({ ...room, brain_id }))
  );
  const total = answers.reduce((sum, { value }) => sum + value.total, 0);
  return { tenant_id: tenant, rooms: rooms.slice(0, CUT_OFF_MAX), total, nodes };
}

/** Answers `GET /v1/rooms/{tenant}/{room}/reducer/{object}`. Rejects with `spine-unavailable`. */
export async function reducedObject(
  context: ReducedRoomContext,
  call: AdminCall,
): Promise<Response> {
  const at = reducedOf(context, call);
  const { object = "" } = call.names;
  if (!PROGRAM.test(object)) {
    // Snapshots belong to a tenant: only those in the room's record are served.
    const known = await snapshotsOf(context, at, await recordOf(context, at));
    if (!known.some(({ name }) => name === object)) throw notStored(at);
  }
  const bytes = await (await context.spine.objects(REDUCER_OBJECTS)).get(object);
  if (bytes === undefined) throw notStored(at);
  const { tenant_id, room_id } = at;
  context.log.info("an operator reads a room with a reducer", {
    tenant_id,
    room: room_id,
    object,
    by: call.by,
  });
  const headers = { "content-type": "application/octet-stream" };
  return new Response(new Uint8Array(bytes), { headers });
}

const notStored = ({ room_id }: Reduced) =>
  new ArqonError("not-found", `${room_id} has no such snapshot, and there is no such program`);

/** What these routes need of the process. */
export type ReducedPastContext = ReducedRoomContext & Pick<OrderContext, "path" | "config">;

const Whole = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const BOTH = "expected either offset or time_ms";

/** The body of a fork. */
export const ForkBody = z.strictObject({
  /** The new room, which begins with the past of this one. */
  to: Id,
  offset: Whole.optional(),
  time_ms: Whole.optional(),
  with_timers: z.boolean().default(true),
}).refine(({ offset, time_ms }) => offset === undefined || time_ms === undefined, { error: BOTH });

/** The body of a trim: entries up to this one are deleted; absent: all entries that are not needed. */
export const TrimBody = z.strictObject({ before: Whole.optional() });

/** The body of a repair: it accepts that the lost entries stay lost. */
export const RepairBody = z.strictObject({ accept_loss: z.literal(true) });

async function ask(
  context: ReducedPastContext,
  { tenant_id, room_id }: Pick<Reduced, "tenant_id" | "room_id">,
  { by }: AdminCall,
  request: PastAsk,
): Promise<Answer> {
  const data = { ask: request };
  const own = { tenant_id, room_id, by, name: PAST_COMMAND, data } as const;
  return { tenant_id, room_id, ...await askOwner(context, own) };
}

/** The query of a room's past. */
export const PAST_QUERY = {
  offset: wholeNumber("the values after this entry; 0: before the first"),
  time_ms: wholeNumber("the values at this time, by the room's clock"),
  prefix: z.string().max(256).default("").meta(
    about("only values whose keys have this prefix", TEXT),
  ),
  after: z.base64().max(512).default("").meta(
    about("only values after this key, which is `next` of the previous page", TEXT),
  ),
  limit: z.string().regex(/^[0-9]{1,4}$/).transform(Number)
    .refine((limit) => limit >= 1 && limit <= PAST_VALUES_MAX, {
      error: `expected a whole number from 1 to ${PAST_VALUES_MAX}`,
    }).default(PAST_VALUES).meta(about("number of values", integer(1, 1_000, 200))),
};

/** Answers `GET /v1/rooms/{tenant}/{room}/past`. */
export async function roomPast(context: ReducedPastContext, call: AdminCall): Promise<Answer> {
  const at = reducedOf(context, call);
  const { offset, time_ms, prefix, after, limit } = readQuery(call.url, PAST_QUERY);
  if (offset !== undefined && time_ms !== undefined) {
    throw new ArqonError("invalid-settings", BOTH);
  }
  const request = { action: "show", offset, time_ms, prefix, after, limit } as const;
  const { tenant_id, room_id: room } = at;
  context.log.info("an operator reads the past of a room", { tenant_id, room, by: call.by });
  return await ask(context, at, call, request);
}

/** Answers `POST /v1/rooms/{tenant}/{room}/fork`. */
export async function forkRoom(
  context: ReducedPastContext,
  call: AdminCall,
  { to, ...place }: z.output<typeof ForkBody>,
): Promise<Answer> {
  const { tenant_id, room_id: source } = reducedOf(context, call);
  if (to === source) throw new ArqonError("invalid-settings", "to: expected another room");
  const request = { action: "fork", source, ...place } as const;
  const done = await ask(context, { tenant_id, room_id: to }, call, request);
  context.log.info("an operator forks a room", { tenant_id, room: source, to, by: call.by });
  return done;
}

/** Answers `POST /v1/rooms/{tenant}/{room}/trim`. */
export async function trimRoom(
  context: ReducedPastContext & StoredRoomsContext,
  call: AdminCall,
  body: z.output<typeof TrimBody>,
): Promise<Answer> {
  const { tenant: tenant_id, room } = call;
  const done = context.classes.of(tenant_id, room).reducer === undefined
    ? await trimStored(context, call, body)
    : await ask(context, reducedOf(context, call), call, { action: "trim", ...body });
  context.log.info("an operator removes the past of a room", { tenant_id, room, by: call.by });
  return done;
}

/** Answers `POST /v1/rooms/{tenant}/{room}/repair`. */
export async function repairRoom(
  context: ReducedPastContext,
  call: AdminCall,
  _accepted: z.output<typeof RepairBody>,
): Promise<Answer> {
  const at = reducedOf(context, call);
  const done = await ask(context, at, call, { action: "repair" });
  const { tenant_id, room_id: room } = at;
  const { lost } = done as { lost?: unknown };
  context.log.warn("an operator repairs a room", { tenant_id, room, lost, by: call.by });
  return done;
}

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
  { url, tenant, room, by }: AdminCall,
): Promise<Response> {
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
  { url, tenant, room, by }: AdminCall,
): Promise<Response> {
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
