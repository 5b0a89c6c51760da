/** What a document's room holds, in parts where it is large, and how it is published. */
import type { Message, Published, Room } from "@arqon/sdk";

/** How long one message may take, in ms: much shorter than readers wait for a set to be whole. */
const PUBLISH_MS = 30_000;

/** The part of a room that stores messages. */
type WritableRoom = Pick<Room, "publish">;

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

/** An update of Yjs, version 1, or a part of one. */
export const UPDATE = "yjs.update";
/** A part of a snapshot. It counts only with its mark, and nobody is sent it unasked. */
const SNAPSHOT = "yjs.snapshot";
/** Says that a snapshot is whole, where it is and what it holds. */
const MARK = "yjs.mark";
/** Everything but snapshots: who was there has what they hold. */
export const LIVE_FILTER = `type != "${SNAPSHOT}"`;
/** Snapshots alone. */
export const SNAPSHOT_FILTER = `type == "${SNAPSHOT}"`;
/** Names the set that a part belongs to. */
const SET_HEADER = "x-yjs-set";
/** The part's place in its set: `0/3` is the first of three. */
const PART_HEADER = "x-yjs-part";
/** Most parts of one set, so that a header cannot ask for endless memory. */
const MAX_PARTS = 4_096;

/** A message's place in the log. Two logs may use one offset; no two messages have one id. */
export interface LogPlace {
  readonly offset: number;
  readonly id: string;
}

/** The place of a message. */
export const placeOf = (message: Message): LogPlace => ({
  offset: Number(message.offset),
  id: message.id,
});

/** What a mark says. */
export interface Mark {
  /** The snapshot holds this message and every one before it. */
  readonly upto: LogPlace;
  /** The offset of the snapshot's first part. */
  readonly from: number;
  readonly parts: number;
  readonly set: string;
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) > 0;

/** Reads a mark; undefined for a message that is none that can be true. */
export function markOf(message: Message): Mark | undefined {
  if (message.type !== MARK) return undefined;
  try {
    const { upto, from, parts, set } = message.json<Mark>();
    const is_mark = isCount(upto.offset) && isCount(from) && isCount(parts) &&
      parts <= MAX_PARTS && typeof upto.id === "string" && typeof set === "string";
    const before = from < Number(message.offset) && upto.offset < Number(message.offset);
    return is_mark && before ? { upto, from, parts, set } : undefined;
  } catch {
    return undefined;
  }
}

/** One part of a set. */
interface Part {
  readonly set: string;
  readonly index: number;
  readonly count: number;
}

/** Which part a message is; undefined for one that is whole, or whose headers say nothing sensible. */
export function partOf({ headers }: Message): Part | undefined {
  const set = headers[SET_HEADER];
  const [, index = "", count = ""] = /^(\d{1,4})\/(\d{1,4})$/.exec(headers[PART_HEADER] ?? "") ??
    [];
  if (set === undefined || index === "") return undefined;
  const part = { set, index: Number(index), count: Number(count) };
  return part.index < part.count && part.count <= MAX_PARTS ? part : undefined;
}

/** Bytes in pieces of at most `part_bytes`; at least one. */
export function split(bytes: Uint8Array, part_bytes: number): Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.length / part_bytes));
  return Array.from({ length: count }, (_, at) => {
    return bytes.subarray(at * part_bytes, (at + 1) * part_bytes);
  });
}

/** The bytes of which these are the pieces. */
export function join(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
