/** Rooms in the admin API: lists, contents, and orders of operators. */
import type { z } from "zod";
import type { Logger } from "../../../shared/logs/log.ts";
import { type AdminRoutes, jsonBody, withBody } from "../routing/admin_routes.ts";
import type { AdminCall, AdminHandler } from "../routing/admin_routes.ts";
import { readValue } from "../../../shared/listeners/request_body.ts";
import { withoutEnd } from "../routing/admin_safety.ts";
import { type DetailContext, room } from "./details.ts";
import {
  cutOffRooms,
  ForkBody,
  forkRoom,
  PAST_QUERY,
  reducedObject,
  reducedRoom,
  RepairBody,
  repairRoom,
  roomHistory,
  roomPast,
  roomState,
  TrimBody,
  trimRoom,
} from "./reduced_room.ts";
import type { ContentsContext, ReducedPastContext } from "./reduced_room.ts";
import { ban, BanBody, kick, KickBody, MESSAGE_BODY, publishTest } from "./room_orders.ts";
import type { OrderContext } from "./room_orders.ts";
import { ROOM_QUERY, rooms, STORED_QUERY, storedRooms } from "./lists.ts";
import type { Answer, StoredRoomsContext } from "./lists.ts";
import { checked } from "../routing/query.ts";
import type { Tails } from "./tail.ts";
import {
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  integer,
  list,
  object,
  ref,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";
import { RoomLock, RoomMember, RoomStateKey } from "../../../shared/cluster/cluster_room.ts";

const IN_ROOM = { tenant_id: ID, room_id: ID };
/** Refusals of a Brain, in addition to the usual ones. */
const BRAIN_REFUSALS = [404, 408, 429];

const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });
const BYTES = {
  ...object({ text: TEXT, base64: TEXT, size_bytes: COUNT }, ["text", "base64"]),
  description: "as text, or in base64 if it is not text; truncated to 8,192",
};
const ENTRY = object({
  offset: COUNT,
  timer: orNull(TEXT),
  command: orNull(TEXT),
  data: orNull(BYTES),
  user_id: TEXT,
  role: TEXT,
  verdict: { type: "string", enum: ["applied", "rejected", "fault"] },
  code: COUNT,
  reason: TEXT,
  detail: TEXT,
  answer: orNull(BYTES),
  repeats: orNull(COUNT),
  events: list(object({ type: TEXT, to: TEXT, data: orNull(BYTES) })),
});

const NODES = ref("Nodes");
const OBJECT: Schema = { type: "object" };
const OFFSET: Schema = integer(0, undefined, 0);
/** Refusals of a Brain for a command, in addition to the usual ones. */
const ORDER_REFUSALS = [408, 409, 429];

const ROOM = { ...IN_ROOM, subscribers: COUNT, durable: BOOLEAN, messages: COUNT, nodes: list(ID) };

/** The largest body, in bytes. */
const BODY_BYTES = 4_096;

/** What these routes need of the process. */
export type InspectContext =
  & DetailContext
  & ContentsContext
  & OrderContext
  & StoredRoomsContext
  & ReducedPastContext
  & {
    readonly tails: Pick<Tails, "open">;
    readonly log: Logger;
  };

/** A handler that answers with a value that is read. */
export const reading = (
  read: (context: InspectContext, call: AdminCall) => Answer | Promise<Answer>,
): AdminHandler<InspectContext> =>
async (context, call) => Response.json(await read(context, call));

/** A small body that names its subject, and the handler that answers with the result. */
export const doing = <Z extends z.ZodType>(
  schema: Z,
  act: (context: InspectContext, call: AdminCall, body: z.output<Z>) => Promise<Answer>,
  status = 200,
) =>
  withBody(
    jsonBody(
      schema,
      async (request: Request, schema) => checked(await readValue(request, BODY_BYTES), schema),
    ),
    async (context: InspectContext, call: AdminCall, body) =>
      Response.json(await act(context, call, body), { status }),
  );

/** The routes of rooms. */
export const CLUSTER_ROOM_ROUTES: AdminRoutes<InspectContext> = {
  "GET /v1/rooms": {
    id: "listRooms",
    summary: "lists rooms with subscribers on all Shields",
    query: ROOM_QUERY,
    answer: object({ rooms: list(object(ROOM)), truncated: BOOLEAN, nodes: NODES }),
    refusals: [404, 429],
    scope: "own",
    handle: reading(rooms),
  },
  "GET /v1/rooms/stored": {
    id: "listStoredRooms",
    summary: "lists durable rooms with messages by name, including rooms without subscribers",
    query: STORED_QUERY,
    answer: object({ tenant_id: ID, rooms: list(ID), next: orNull(ID) }),
    refusals: [503],
    scope: "own",
    handle: reading(storedRooms),
  },
  "GET /v1/rooms/{tenant}/{room}": {
    id: "getRoom",
    summary: "shows one room: its class, subscribers, members, lock and log",
    answer: object({
      tenant_id: ID,
      room_id: ID,
      subscribers: COUNT,
      messages: COUNT,
      class: { type: "object" },
      members: list(answerOf(RoomMember)),
      member_count: COUNT,
      user_count: COUNT,
      truncated: BOOLEAN,
      version: COUNT,
      brain_id: ID,
      shields: list(ID),
      lock: orNull(answerOf(RoomLock)),
      stored: object({
        messages: COUNT,
        first_offset: COUNT,
        last_offset: COUNT,
        epoch: TEXT,
      }, ["first_offset"]),
      stored_problem: TEXT,
      nodes: NODES,
    }, ["version", "brain_id", "lock", "stored", "stored_problem"]),
    refusals: [429],
    scope: "tenant-in-path",
    handle: reading(room),
  },
  "GET /v1/rooms/{tenant}/{room}/tail": {
    audit: "room.tail",
    id: "tailRoom",
    summary: "streams a room's messages as server-sent events, without end",
    answer: TEXT,
    type: "text/event-stream",
    refusals: [429],
    scope: "tenant-in-path",
    handle: tail,
  },
  "GET /v1/rooms/{tenant}/{room}/state": {
    audit: "room.read_state",
    id: "getRoomState",
    summary: "shows a room's keys and its lock, or with ?key= the value of one key",
    query: [inQuery("key", "only this key, with its value", TEXT)],
    answer: object({
      ...IN_ROOM,
      version: COUNT,
      epoch: TEXT,
      created_ms: UNIX_MS,
      lock: orNull(answerOf(RoomLock)),
      keys: list(answerOf(RoomStateKey)),
      key_count: COUNT,
      size_bytes: COUNT,
      truncated: BOOLEAN,
      key: TEXT,
      value: {},
    }, ["created_ms", "lock", "keys", "key_count", "size_bytes", "truncated", "key", "value"]),
    refusals: [404, 429],
    scope: "tenant-in-path",
    handle: roomState,
  },
  "GET /v1/rooms/{tenant}/{room}/messages": {
    audit: "room.read_messages",
    id: "readRoom",
    summary: "reads the history of a durable room, as clients do",
    query: [
      inQuery("after", "only messages after this offset", OFFSET),
      inQuery("before", "only messages before this offset", OFFSET),
      inQuery(
        "limit",
        "number of messages; at most limits.history_messages",
        integer(1, undefined, 100),
      ),
      inQuery("reverse", "newest first", { type: "boolean", default: false }),
    ],
    answer: object({ messages: list(OBJECT), offset: COUNT, epoch: TEXT, more: BOOLEAN }),
    scope: "tenant-in-path",
    is_query_strict: true,
    handle: roomHistory,
  },
  "POST /v1/rooms/{tenant}/{room}/messages": {
    audit: { private: "room.publish" },
    id: "publishInRoom",
    summary: "publishes a message in the admin's name, with the checks of every message",
    answer: object({ ...IN_ROOM, sender: TEXT, offset: COUNT, epoch: TEXT }, ["offset", "epoch"]),
    refusals: [409, 429],
    scope: "tenant-in-path",
    ...withBody(MESSAGE_BODY, publishTest),
  },
  "GET /v1/rooms/{tenant}/{room}/reducer": {
    id: "getReducedRoom",
    summary: "shows the stored data of a room with a reducer: its log's room, and its snapshots",
    answer: object({
      ...IN_ROOM,
      reducer: TEXT,
      class: TEXT,
      module: {
        ...orNull(TEXT),
        description: "SHA-256 of the module in force when the newest snapshot was stored",
      },
      refused: {
        ...orNull(object({ program: TEXT, deploy: COUNT })),
        description: "the program that could not migrate the room, and its deploy number",
      },
      log_room_id: ID,
      epoch: { ...TEXT, description: "the log of the positions; empty: none yet" },
      offset: { ...COUNT, description: "the last entry in the newest snapshot; 0: no snapshot" },
      snapshots: list(object({
        name: TEXT,
        offset: { ...COUNT, description: "the last entry in the snapshot" },
        at_ms: { ...UNIX_MS, description: "the room's clock then, Unix ms; 0: unknown" },
        position: { ...COUNT, description: "the message of the log with that entry" },
        size_bytes: COUNT,
      })),
      fork: {
        ...orNull(object({ room_id: ID, offset: COUNT, with_timers: BOOLEAN })),
        description: "the room whose past it shares, up to that entry",
      },
      lost: list(object({ from: COUNT, to: COUNT, at_ms: UNIX_MS })),
    }),
    refusals: [404],
    scope: "tenant-in-path",
    handle: reading(reducedRoom),
  },
  "GET /v1/rooms/{tenant}/{room}/reducer/{object}": {
    audit: "room.read_reducer",
    id: "getReducedObject",
    summary:
      "reads the bytes of a snapshot of a room, or of a program or module that its log names",
    answer: { type: "string", format: "binary" },
    type: "application/octet-stream",
    refusals: [404],
    scope: "tenant-in-path",
    handle: reducedObject,
  },
  "GET /v1/rooms/{tenant}/{room}/past": {
    audit: "room.read_past",
    id: "getRoomPast",
    summary:
      "shows the values of a room with a reducer after an entry of its log, or at a time, and what the entry changed",
    query: PAST_QUERY,
    answer: object({
      ...IN_ROOM,
      offset: COUNT,
      at_ms: UNIX_MS,
      last: { ...COUNT, description: "the last entry of its log" },
      entry: orNull(ENTRY),
      keys: COUNT,
      state_bytes: COUNT,
      timers: COUNT,
      values: list(object({ key: BYTES, value: BYTES })),
      changes: list(object({ key: BYTES, before: orNull(BYTES), after: orNull(BYTES) })),
      next: {
        ...orNull(TEXT),
        description: "the cursor of the next page; null: this is the last page",
      },
    }),
    refusals: BRAIN_REFUSALS,
    scope: "tenant-in-path",
    handle: reading(roomPast),
  },
  "POST /v1/rooms/{tenant}/{room}/fork": {
    audit: "room.fork",
    id: "forkRoom",
    summary:
      "forks a room: the new room begins with the past of this one, up to an entry or a time",
    answer: object({ ...IN_ROOM, source: ID, offset: COUNT, with_timers: BOOLEAN }),
    refusals: BRAIN_REFUSALS,
    scope: "tenant-in-path",
    ...doing(ForkBody, forkRoom),
  },
  "POST /v1/rooms/{tenant}/{room}/trim": {
    audit: "room.trim",
    id: "trimRoom",
    summary:
      "removes messages of a durable room up to one; of a room with a reducer, its log up to a snapshot, and all earlier snapshots",
    answer: object({
      ...IN_ROOM,
      offset: { ...COUNT, description: "the past is kept after this entry" },
      messages: { ...COUNT, description: "removed messages of the log" },
      snapshots: { ...COUNT, description: "removed snapshots" },
    }),
    refusals: BRAIN_REFUSALS,
    scope: "tenant-in-path",
    ...doing(TrimBody, trimRoom),
  },
  "POST /v1/rooms/{tenant}/{room}/repair": {
    audit: "room.repair",
    id: "repairRoom",
    summary: "repairs a room with a reducer whose log has lost entries; other rooms are unchanged",
    answer: object({
      ...IN_ROOM,
      lost: orNull(object({ from: COUNT, to: COUNT, at_ms: UNIX_MS })),
      offset: { ...COUNT, description: "the entry that the room continues after" },
      from_snapshot: { ...COUNT, description: "the last entry that its values include" },
    }, ["offset", "from_snapshot"]),
    refusals: BRAIN_REFUSALS,
    scope: "tenant-in-path",
    ...doing(RepairBody, repairRoom),
  },
  "POST /v1/rooms/{tenant}/{room}/kick": {
    audit: "room.kick",
    id: "kick",
    summary: "ends the subscriptions of a user, or of one connection, to the room",
    answer: object({ ...IN_ROOM, version: COUNT }),
    refusals: ORDER_REFUSALS,
    scope: "tenant-in-path",
    ...doing(KickBody, kick),
  },
  "POST /v1/rooms/{tenant}/{room}/ban": {
    audit: "room.ban",
    id: "ban",
    summary: "bans a user from the room, or from its whole tenant",
    answer: object({ ...IN_ROOM, version: COUNT, scope: TEXT, user_id: TEXT }),
    refusals: ORDER_REFUSALS,
    scope: "tenant-in-path",
    ...doing(BanBody, ban),
  },
  "GET /v1/tenants/{tenant}/rooms/cut-off": {
    id: "listCutOffRooms",
    summary: "lists rooms of a tenant that are cut off because their reducers keep failing",
    answer: object({
      tenant_id: ID,
      rooms: list(object({
        room_id: ID,
        brain_id: ID,
        module: { ...TEXT, description: "SHA-256 of the failing module" },
        since_ms: UNIX_MS,
        until_ms: {
          ...UNIX_MS,
          description: "time of the next attempt by a call or timer, Unix ms",
        },
        fault: {
          ...object({ entry: COUNT, at_ms: UNIX_MS, reason: TEXT, detail: TEXT }),
          description: "the last failure: the entry of the room's log, and its outcome",
        },
      })),
      total: COUNT,
      nodes: ref("Nodes"),
    }),
    scope: "tenant-in-path",
    handle: reading(cutOffRooms),
  },
};

async function tail(context: InspectContext, call: AdminCall): Promise<Response> {
  const { tenant: tenant_id, room: room_id, by, only_tenant } = call;
  const is_operator = only_tenant === undefined;
  const stream = await context.tails.open({ tenant_id, room_id, by, is_operator });
  return withoutEnd(new Response(stream, { headers: { "content-type": "text/event-stream" } }));
}
