/** What the routes that are about one room say of themselves. */
import { RoomLock, RoomMember, RoomStateKey } from "../../../shared/cluster/cluster_room.ts";
import {
  abouts,
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  LIMIT,
  list,
  NODE,
  object,
  ref,
  sortBy,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";

const tag = "cluster";
const NODES = ref("Nodes");
const OBJECT: Schema = { type: "object" };
const OFFSET: Schema = { type: "integer", minimum: 0, default: 0 };
const IN_ROOM = { tenant_id: ID, room_id: ID };
/** Beside the usual ones: what a Brain may refuse a command with. */
const ORDER_REFUSALS = [408, 409, 429];

const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });

const ROOM = {
  tenant_id: ID,
  room_id: ID,
  subscribers: COUNT,
  durable: BOOLEAN,
  messages: COUNT,
  nodes: list(ID),
};

/** Routes of rooms. */
export const CLUSTER_ROOMS_ABOUT = abouts({
  listRooms: {
    tag,
    summary: "rooms with subscribers, over all Shields",
    query: [
      inQuery("tenant", "only of this tenant"),
      inQuery("prefix", "only rooms whose id begins with this"),
      sortBy("subscribers", "messages"),
      NODE,
      LIMIT,
    ],
    answer: object({ rooms: list(object(ROOM)), truncated: BOOLEAN, nodes: NODES }),
    refusals: [404, 429],
  },
  listStoredRooms: {
    tag,
    summary:
      "durable rooms that have messages, also those that nobody is subscribed to, by their names",
    query: [
      inQuery("tenant", "the tenant; absent: that of the token"),
      inQuery("prefix", "only rooms whose id begins with this; empty: all", {
        ...ID,
        pattern: "^[A-Za-z0-9_~:=-]{0,64}$",
      }),
      inQuery("after", "`next` of the answer before: rooms behind this one"),
      LIMIT,
    ],
    answer: object({ tenant_id: ID, rooms: list(ID), next: orNull(ID) }),
    refusals: [503],
  },
  getRoom: {
    tag,
    summary: "one room: its class, subscribers, members, lock, and what its log has",
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
  },
  tailRoom: {
    tag,
    summary: "messages of a room as they come: server-sent events, without end",
    answer: TEXT,
    type: "text/event-stream",
    refusals: [429],
  },
  readRoom: {
    tag,
    summary: "the history of a durable room, as clients get it",
    query: [
      inQuery("after", "messages above this offset", OFFSET),
      inQuery("before", "messages below this offset", OFFSET),
      inQuery("limit", "how many; at most limits.history_messages", {
        type: "integer",
        minimum: 1,
        default: 100,
      }),
      inQuery("reverse", "the newest first", { type: "boolean", default: false }),
    ],
    answer: object({ messages: list(OBJECT), offset: COUNT, epoch: TEXT, more: BOOLEAN }),
  },
  publishInRoom: {
    tag,
    summary: "publishes a message in the admin's name, on the way that every message takes",
    answer: object({ ...IN_ROOM, sender: TEXT, offset: COUNT, epoch: TEXT }, ["offset", "epoch"]),
    refusals: [409, 429],
  },
  getRoomState: {
    tag,
    summary: "a room's keys and its lock, or with ?key= the value of one key",
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
  },
  kick: {
    tag,
    summary: "ends the subscriptions of a user, or of one connection, to the room",
    answer: object({ ...IN_ROOM, version: COUNT }),
    refusals: ORDER_REFUSALS,
  },
  ban: {
    tag,
    summary: "keeps a user out of the room, or of its whole tenant",
    answer: object({ ...IN_ROOM, version: COUNT, scope: TEXT, user_id: TEXT }),
    refusals: ORDER_REFUSALS,
  },
});
