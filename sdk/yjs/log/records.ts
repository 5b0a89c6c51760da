/** The messages of a document's room, large ones in parts, and how they are published. */
import type { Message, Published, Room } from "@arqon/sdk";

/** The timeout of one message, in ms: much shorter than readers wait for a complete set. */
const PUBLISH_MS = 30_000;

/** The part of a room that stores messages. */
type WritableRoom = Pick<Room, "publish">;

/** A unique name of 96 random bits, short because every message contains it. */
export function newName(): string {
  const text = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(12))));
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

/** Stores data as messages of a type; resolves when all are stored, with their answers. */
async function publishParts(
  room: WritableRoom,
  type: string,
  data: Uint8Array,
  { set, part_bytes, signal }: {
    readonly set: string;
    readonly part_bytes: number;
    readonly signal: AbortSignal;
  },
): Promise<Published[]> {
  const pieces = split(data, part_bytes);
  const sent = pieces.map((piece, at) =>
    room.publish(type, piece, {
      message_id: `${set}.${at}`,
      timeout_ms: PUBLISH_MS,
      signal,
      ...(pieces.length > 1 || type === SNAPSHOT
        ? { headers: { [SET_HEADER]: set, [PART_HEADER]: `${at}/${pieces.length}` } }
        : {}),
    })
  );
  // A set with a refused part is invalid: wait for all parts, so that none is under way later.
  await Promise.allSettled(sent);
  return await Promise.all(sent);
}

/**
 * Stores an update, and resolves with the answers for its messages. `set` is a unique prefix of their ids. Rejects with
 * the refusal.
 */
export async function publishUpdate(
  room: WritableRoom,
  update: Uint8Array,
  options: { readonly set: string; readonly part_bytes: number; readonly signal: AbortSignal },
): Promise<Published[]> {
  return await publishParts(room, UPDATE, update, options);
}

/**
 * Stores a snapshot with everything up to a position, and then the mark that makes it valid. Rejects with the refusal;
 * readers ignore a snapshot without a mark.
 */
export async function publishSnapshot(
  room: WritableRoom,
  snapshot: Uint8Array,
  upto: LogPlace,
  options: { readonly part_bytes: number; readonly signal: AbortSignal },
): Promise<void> {
  const set = newName();
  const sent = await publishParts(room, SNAPSHOT, snapshot, { ...options, set });
  const from = Math.min(...sent.map(({ offset }) => Number(offset)));
  const mark = { upto: { ...upto }, from, parts: sent.length, set };
  const { signal } = options;
  await room.publish(MARK, mark, { message_id: `${set}.mark`, timeout_ms: PUBLISH_MS, signal });
}

/** An update of Yjs, version 1, or a part of one. */
export const UPDATE = "yjs.update";
/** A part of a snapshot. It counts only with its mark, and is only delivered on request. */
const SNAPSHOT = "yjs.snapshot";
/** A mark: a snapshot is complete, with its position and its content. */
const MARK = "yjs.mark";
/** A filter without snapshots: present readers already have their content. */
export const LIVE_FILTER = `type != "${SNAPSHOT}"`;
/** A filter for snapshots only. */
export const SNAPSHOT_FILTER = `type == "${SNAPSHOT}"`;
const SET_HEADER = "x-yjs-set";
/** Header with the part's index in its set: `0/3` is the first of three. */
const PART_HEADER = "x-yjs-part";
/** The most parts of one set, so that a header cannot demand unbounded memory. */
const MAX_PARTS = 4_096;

/** A message's position in the log. Two logs may use the same offset; ids are unique. */
export interface LogPlace {
  readonly offset: number;
  readonly id: string;
}

/** The position of a message. */
export const placeOf = (message: Message): LogPlace => ({
  offset: Number(message.offset),
  id: message.id,
});

/** The content of a mark. */
export interface Mark {
  /** The snapshot contains this message and every one before it. */
  readonly upto: LogPlace;
  /** The offset of the snapshot's first part. */
  readonly from: number;
  readonly parts: number;
  readonly set: string;
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) > 0;

/** Reads a mark; undefined for other messages, and for an impossible mark. */
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

interface Part {
  readonly set: string;
  readonly index: number;
  readonly count: number;
}

/** The part in a message; undefined for a complete message, or invalid headers. */
export function partOf({ headers }: Message): Part | undefined {
  const set = headers[SET_HEADER];
  const [, index = "", count = ""] = /^(\d{1,4})\/(\d{1,4})$/.exec(headers[PART_HEADER] ?? "") ??
    [];
  if (set === undefined || index === "") return undefined;
  const part = { set, index: Number(index), count: Number(count) };
  return part.index < part.count && part.count <= MAX_PARTS ? part : undefined;
}

/** Splits bytes into parts of at most `part_bytes`; at least one part. */
export function split(bytes: Uint8Array, part_bytes: number): Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.length / part_bytes));
  return Array.from({ length: count }, (_, at) => {
    return bytes.subarray(at * part_bytes, (at + 1) * part_bytes);
  });
}

/** Joins the parts, by their index. */
export function join(pieces: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const ordered = [...pieces].sort(([one], [other]) => one - other).map(([, piece]) => piece);
  const bytes = new Uint8Array(ordered.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of ordered) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
