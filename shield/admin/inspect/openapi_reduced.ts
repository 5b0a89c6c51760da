/** What the routes that are about rooms with reducers say of themselves. */
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  list,
  object,
  ref,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";

const tag = "cluster";
const IN_ROOM = { tenant_id: ID, room_id: ID };
/** Beside the usual ones: what a Brain may refuse with. */
const BRAIN_REFUSALS = [404, 408, 429];

const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: "null" }] });
const BYTES = {
  ...object({ text: TEXT, base64: TEXT, size_bytes: COUNT }, ["text", "base64"]),
  description: "as text, or in base64 where they are none; cut where there are more than 8,192",
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

/** Routes of rooms with reducers. */
export const REDUCED_ABOUT = abouts({
  getReducedRoom: {
    tag,
    summary: "what is stored of a room with a reducer: its log's room, and its snapshots",
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
        description: "the program that could not migrate the room, and the number of its deploy",
      },
      log_room_id: ID,
      epoch: { ...TEXT, description: "of the log that the positions are in; empty: none yet" },
      offset: { ...COUNT, description: "the last entry in the newest snapshot; 0: there is none" },
      snapshots: list(object({
        name: TEXT,
        offset: { ...COUNT, description: "the last entry in it" },
        at_ms: { ...UNIX_MS, description: "the room's clock then, Unix ms; 0: not known" },
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
  },
  listCutOffRooms: {
    tag,
    summary: "rooms of a tenant that are cut off because their reducers keep failing",
    answer: object({
      tenant_id: ID,
      rooms: list(object({
        room_id: ID,
        brain_id: ID,
        module: { ...TEXT, description: "SHA-256 of the module that fails" },
        since_ms: UNIX_MS,
        until_ms: {
          ...UNIX_MS,
          description: "the next call or timer from then on is tried, Unix ms",
        },
        fault: {
          ...object({ entry: COUNT, at_ms: UNIX_MS, reason: TEXT, detail: TEXT }),
          description: "the last one: the entry of the room's log, and its outcome",
        },
      })),
      total: COUNT,
      nodes: ref("Nodes"),
    }),
  },
  getReducedObject: {
    tag,
    summary: "the bytes of a snapshot of a room, or of a program or module that its log names",
    answer: { type: "string", format: "binary" },
    type: "application/octet-stream",
    refusals: [404],
  },
});

/** Routes of their past. */
export const REDUCED_PAST_ABOUT = abouts({
  getRoomPast: {
    tag,
    summary:
      "what a room with a reducer was after an entry of its log, or at a time, and what the entry changed",
    query: [
      inQuery("offset", "after this entry; 0: before the first", { type: "integer", minimum: 0 }),
      inQuery("time_ms", "then, by the room's clock", { type: "integer", minimum: 0 }),
      inQuery("prefix", "only values whose keys begin with this", TEXT),
      inQuery("after", "values behind this key, as `next` of the page before has it", TEXT),
      inQuery("limit", "how many values", {
        ...{ type: "integer", minimum: 1, maximum: 1_000, default: 200 },
      }),
    ],
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
      next: { ...orNull(TEXT), description: "the key to go on behind; null: there are no more" },
    }),
    refusals: BRAIN_REFUSALS,
  },
  forkRoom: {
    tag,
    summary: "begins another room with the past of this one, up to an entry or a time",
    answer: object({ ...IN_ROOM, source: ID, offset: COUNT, with_timers: BOOLEAN }),
    refusals: BRAIN_REFUSALS,
  },
  trimRoom: {
    tag,
    summary:
      "removes messages of a durable room up to one; of a room with a reducer its log up to a snapshot, and all snapshots before it",
    answer: object({
      ...IN_ROOM,
      offset: { ...COUNT, description: "the entry behind which the past is kept" },
      messages: { ...COUNT, description: "of the log, that were removed" },
      snapshots: { ...COUNT, description: "that were removed" },
    }),
    refusals: BRAIN_REFUSALS,
  },
  repairRoom: {
    tag,
    summary:
      "lets a room with a reducer go on that has lost entries of its log; one that has not stays as it is",
    answer: object({
      ...IN_ROOM,
      lost: orNull(object({ from: COUNT, to: COUNT, at_ms: UNIX_MS })),
      offset: { ...COUNT, description: "the entry that it goes on behind" },
      from_snapshot: { ...COUNT, description: "the last entry that its values still have" },
    }, ["offset", "from_snapshot"]),
    refusals: BRAIN_REFUSALS,
  },
});
