/**
 * Publishes updates and snapshots into a document's room, in parts where they are large. Sends each once;
 * who repeats, and what a refusal means, is the caller's.
 */
import type { Published, Room } from "@arqon/sdk";
import {
  type LogPlace,
  MARK,
  PART_HEADER,
  SET_HEADER,
  SNAPSHOT,
  split,
  UPDATE,
} from "./records.ts";

/** How long one message may take, in ms: much shorter than readers wait for a set to be whole. */
const PUBLISH_MS = 30_000;

/** The part of a room that stores messages. */
export type WritableRoom = Pick<Room, "publish">;

/** A name that nobody else gives: 96 random bits. It goes with every message to every reader, so it is short. */
export function newName(): string {
  const text = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(12))));
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

/** Stores data as messages of a type; resolves when all are stored, with what the bus said of each. */
async function publishParts(
  room: WritableRoom,
  type: string,
  data: Uint8Array,
  { set, part_bytes, always_parts, signal }: {
    readonly set: string;
    readonly part_bytes: number;
    readonly always_parts: boolean;
    readonly signal: AbortSignal;
  },
): Promise<Published[]> {
  const pieces = split(data, part_bytes);
  const sent = pieces.map((piece, at) =>
    room.publish(type, piece, {
      message_id: `${set}.${at}`,
      timeout_ms: PUBLISH_MS,
      signal,
      ...(pieces.length > 1 || always_parts
        ? { headers: { [SET_HEADER]: set, [PART_HEADER]: `${at}/${pieces.length}` } }
        : {}),
    })
  );
  // A set of which a part was refused is none: wait for all, so that nothing of it is under way later.
  await Promise.allSettled(sent);
  return await Promise.all(sent);
}

/** Stores an update. `set` begins the ids of its messages, and no others. Rejects with the refusal. */
export async function publishUpdate(
  room: WritableRoom,
  update: Uint8Array,
  options: { readonly set: string; readonly part_bytes: number; readonly signal: AbortSignal },
): Promise<void> {
  await publishParts(room, UPDATE, update, { ...options, always_parts: false });
}

/**
 * Stores a snapshot that holds everything up to a place, and then the mark by which readers believe it.
 * Rejects with the refusal; what was stored until then is nothing to anybody.
 */
export async function publishSnapshot(
  room: WritableRoom,
  snapshot: Uint8Array,
  upto: LogPlace,
  options: { readonly part_bytes: number; readonly signal: AbortSignal },
): Promise<void> {
  const set = newName();
  const sent = await publishParts(room, SNAPSHOT, snapshot, {
    ...options,
    set,
    always_parts: true,
  });
  const from = Math.min(...sent.map(({ offset }) => Number(offset)));
  const mark = { upto: { ...upto }, from, parts: sent.length, set };
  const { signal } = options;
  await room.publish(MARK, mark, { message_id: `${set}.mark`, timeout_ms: PUBLISH_MS, signal });
}
