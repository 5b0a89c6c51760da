/**
 * What the embedded engine's logs take and what they let go: appends in one transaction, trimming by
 * number and age, and keys against repetition. Called inside a transaction of `embedded_log_file.ts`;
 * not a queue: `embedded_log.ts` collects what comes together.
 */
import { createHash } from "node:crypto";
import { LOG_DEDUPLICATION_MS } from "./durable_log.ts";
import type { Appended, LogMessage } from "./durable_log.ts";
import type { LogRow, LogRows, Retained, RoomRow } from "./embedded_log_rows.ts";
import type { SpineHeaders } from "./spine.ts";

/** Messages above `history_size` after which a room is trimmed: not one statement a message. */
const SLACK_MESSAGES = 16;
/** As `SLACK_MESSAGES`, for the age. */
const SLACK_MS = 1_000;
/** Old messages, or keys, that go at most for one that comes; the sweep takes the rest. */
const TRIM_PER_APPEND = 64;
/** Rooms that one sweep looks at, and messages and keys that it removes at most. */
const SWEEP_ROOMS = 500;
const SWEEP_MESSAGES = 2_000;
/** An empty room is remembered for so long after its messages expired, so that its reads stay exact. */
const FORGET_MS = 604_800_000;
/** Keys are compared by so many bytes of their digest: nobody finds two alike. */
const KEY_BYTES = 16;

/** One append, checked. */
export interface Append {
  readonly room_id: string;
  /** The log's own copy. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
  readonly key: string | undefined;
}

/** What became of one: to be told once the transaction is done. */
export interface Taken {
  readonly appended: Appended;
  readonly time_ms: number;
  /** Offset of the message before it in its room; 0: none. */
  readonly previous: number;
}

/** Offsets that are reserved at once; see `LogRow.reserved`. */
export const RESERVED_OFFSETS = 10_000;

const digest = (room: number, key: string): Uint8Array =>
  createHash("sha256").update(`${room}/${key}`).digest().subarray(0, KEY_BYTES);

/**
 * Removes a room's oldest messages while there are more than `keep` or they are from before
 * `cutoff_ms`; at most `limit`. Returns how many. The caller saves the room.
 */
export function trimRoom(
  rows: LogRows,
  room: RoomRow,
  keep: number,
  cutoff_ms: number,
  limit: number,
): number {
  let removed = 0;
  let floor = 0;
  for (const { offset, time_ms, bytes } of rows.oldest(room.id, limit + 1)) {
    if (removed === limit || (room.messages <= keep && time_ms >= cutoff_ms)) {
      room.oldest_ms = time_ms;
      break;
    }
    removed++;
    room.messages--;
    room.bytes -= bytes;
    floor = offset;
  }
  if (removed === 0) return 0;
  room.floor = floor;
  if (room.messages === 0) room.last = 0;
  rows.remove(room.id, floor);
  return removed;
}

/** The appends of one log within one transaction. */
export class LogWriter {
  readonly #rows: LogRows;
  readonly #log: LogRow;
  readonly #rooms = new Map<string, RoomRow>();
  #last: number;
  #time_ms: number;

  /** `now_ms` by the log's clock; no message is older than the one before it. */
  constructor(rows: LogRows, log: LogRow, now_ms: number) {
    this.#rows = rows;
    this.#log = log;
    this.#last = log.last;
    this.#time_ms = Math.max(now_ms, log.time_ms);
  }

  /** Stores one message, or finds that it is. */
  take({ room_id, payload, headers, key }: Append): Taken {
    const room = this.#room(room_id);
    const digested = key === undefined ? undefined : digest(room.id, key);
    const stored = digested && this.#rows.repeat(digested);
    if (stored !== undefined && stored.time_ms > this.#time_ms - LOG_DEDUPLICATION_MS) {
      return this.#taken(stored.offset, true, 0);
    }
    this.#trim(room);
    const offset = ++this.#last;
    const previous = room.last;
    this.#rows.insert(room.id, { offset, time_ms: this.#time_ms, headers, payload });
    if (digested !== undefined) this.#rows.addRepeat(digested, offset, this.#time_ms);
    if (room.messages === 0) room.oldest_ms = this.#time_ms;
    room.last = offset;
    room.messages++;
    room.bytes += payload.length;
    room.newest_ms = this.#time_ms;
    return this.#taken(offset, false, previous);
  }

  /** Writes what the transaction has changed beside the messages; returns the log as it is then. */
  finish(): LogRow {
    const last = this.#last;
    const log = last === this.#log.last
      ? this.#log
      : { ...this.#log, last, time_ms: this.#time_ms };
    if (log !== this.#log) this.#rows.saveLog(log.id, last, this.#time_ms);
    for (const room of this.#rooms.values()) this.#rows.saveRoom(room);
    const limit = last - this.#log.last + TRIM_PER_APPEND;
    this.#rows.removeRepeats(this.#time_ms - LOG_DEDUPLICATION_MS, limit);
    return log;
  }

  #taken(offset: number, duplicate: boolean, previous: number): Taken {
    const appended = { offset, duplicate, stream: this.#log.stream };
    return { appended, time_ms: this.#time_ms, previous };
  }

  /** The room as this transaction sees it. */
  #room(room_id: string): RoomRow {
    const known = this.#rooms.get(room_id);
    if (known !== undefined) return known;
    const { id } = this.#log;
    const room = this.#rows.room(id, room_id) ?? this.#rows.addRoom(id, room_id);
    this.#rooms.set(room_id, room);
    return room;
  }

  /** Before something is added: so a full file takes messages as long as others go. */
  #trim(room: RoomRow): void {
    const { history_size, history_ttl_seconds } = this.#log;
    const cutoff_ms = this.#time_ms - history_ttl_seconds * 1_000;
    const many = room.messages > history_size + SLACK_MESSAGES;
    if (!many && (room.messages === 0 || room.oldest_ms >= cutoff_ms - SLACK_MS)) return;
    trimRoom(this.#rows, room, history_size, cutoff_ms, TRIM_PER_APPEND);
  }
}

function sweepRoom(rows: LogRows, room: RoomRow, kept: Retained, now_ms: number, limit: number) {
  const cutoff_ms = now_ms - kept.history_ttl_seconds * 1_000;
  if (room.messages === 0) {
    if (room.newest_ms < cutoff_ms - FORGET_MS) rows.forgetRoom(room);
    return 0;
  }
  if (room.messages <= kept.history_size && room.oldest_ms >= cutoff_ms) return 0;
  const removed = trimRoom(rows, room, kept.history_size, cutoff_ms, limit);
  if (removed > 0) rows.saveRoom(room);
  return removed;
}

/**
 * Trims some of the rooms, those after the id `after`; returns where to go on, 0: from the start. A
 * room that nobody publishes to loses what is too old here.
 */
export function sweepRooms(rows: LogRows, after: number, now_ms: number): number {
  let left = SWEEP_MESSAGES;
  rows.removeRepeats(now_ms - LOG_DEDUPLICATION_MS, SWEEP_MESSAGES);
  const rooms = rows.rooms(after, SWEEP_ROOMS);
  for (const { room, retained } of rooms) {
    left -= sweepRoom(rows, room, retained, now_ms, left);
    // What is left of this room comes next time.
    if (left <= 0) return room.id - 1;
  }
  return rooms.length < SWEEP_ROOMS ? 0 : rooms.at(-1)?.room.id ?? 0;
}

/** Messages up to `limit` and about `max_bytes`, at least one; and whether there are others. */
export function page(
  messages: Iterable<LogMessage>,
  limit: number,
  max_bytes: number,
): { taken: LogMessage[]; more: boolean } {
  const taken: LogMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    bytes += message.payload.length;
    if (taken.length === limit || (taken.length > 0 && bytes > max_bytes)) {
      return { taken, more: true };
    }
    taken.push(message);
  }
  return { taken, more: false };
}
