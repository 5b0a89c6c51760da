/**
 * Appends of the embedded engine's logs in one transaction, trimming by number and age, and idempotency keys. Called
 * inside a transaction of `embedded_log_file.ts`. The queue of appends is in `embedded_log.ts`.
 */
import { createHash } from "node:crypto";
import type { Appended, LogLimits, LogMessage } from "../contract/durable_log.ts";
import { MESSAGE_BYTES, weightOf } from "./embedded_log_rows.ts";
import type { LogRow, LogRows, Retained, RoomRow } from "./embedded_log_rows.ts";
import type { SpineHeaders } from "../contract/spine_message.ts";

/**
 * How many messages above `history_size` a room may have before it is trimmed, so that not every message costs a
 * statement.
 */
const SLACK_MESSAGES = 16;
/** The same for the age, in ms. */
const SLACK_MS = 1_000;
/** The most old messages or keys that one append removes; the sweep removes the rest. */
const TRIM_PER_APPEND = 64;
/** The most rooms that one sweep visits, and messages that it removes. */
const SWEEP_ROOMS = 500;
const SWEEP_MESSAGES = 2_000;
/** How long an empty room is remembered after its messages expired, so that its reads stay exact, in ms. */
const FORGET_MS = 604_800_000;
/** Bytes of a key's digest; keys are compared by it, and collisions are infeasible. */
const KEY_BYTES = 16;

/** Chained appends in one room: the offset of the previous one, NaN if it was not stored. */
export interface Chain {
  last: number;
}

/** One append, checked. */
export interface Append {
  readonly room_id: string;
  /** The log's own copy. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
  readonly key: string | undefined;
  /** Expected offset of the room's newest message, 0 for none; undefined: any. */
  readonly expected_last?: number | undefined;
  /** The chain that it belongs to; undefined: none. */
  readonly chain?: Chain;
}

/** Why an append was not stored: the log is full, or another message was stored before it. */
export type NotTaken = "full" | "moved";

/** The outcome of one append, reported once the transaction is done. */
export interface Taken {
  readonly appended: Appended;
  readonly time_ms: number;
  /** Offset of the message before it in its room; 0: none. */
  readonly previous: number;
}

/** No tenant may use more than this many times the free space, so that others have room left. */
const FREE_SHARE = 3;
/** The part of the file that is reserved for tenants that use little, even if others flood it. */
const ASIDE_PART = 1 / 4;
/** A tenant below this part of the file uses little; the reserve guarantees it to sixteen tenants. */
const LITTLE_PART = 1 / 64;
/** The part of a small file that is kept free: a transaction may not fill it for all others. */
const KEPT_PART = 1 / 16;
const KEPT_BYTES = 8_388_608;
const PAGE_BYTES = 4_096;
/** Payloads up to this size share pages. */
const INLINE_BYTES = 900;

/** The space that a transaction may use. */
export interface Space {
  /** Bytes left for all tenants together; each message reduces it. */
  free_bytes: number;
  /** Bytes that one tenant's messages may take. */
  readonly tenant_bytes: number;
  /** Bytes reserved for tenants that use little, and the bound below which a tenant uses little. */
  readonly aside_bytes: number;
  readonly little_bytes: number;
}

/** A transaction's space in a file with this much free space. */
export function spaceOf(
  free_bytes: number,
  { log_bytes, tenant_bytes }: Pick<LogLimits, "log_bytes" | "tenant_bytes">,
): Space {
  const kept_bytes = Math.min(KEPT_BYTES, log_bytes * KEPT_PART);
  return {
    free_bytes: Math.max(0, free_bytes - kept_bytes),
    tenant_bytes,
    aside_bytes: log_bytes * ASIDE_PART,
    little_bytes: log_bytes * LITTLE_PART,
  };
}

/** The bytes that one tenant's messages may use now, if they are free. */
export function tenantBound(
  { free_bytes, tenant_bytes, aside_bytes, little_bytes }: Space,
): number {
  const shared_bytes = Math.max(0, free_bytes - aside_bytes);
  return Math.min(tenant_bytes, Math.max(little_bytes, FREE_SHARE * shared_bytes));
}

/** The largest size of a message in the file, in bytes: a large one has its own pages. */
function footprint(payload_bytes: number): number {
  if (payload_bytes <= INLINE_BYTES) return payload_bytes + MESSAGE_BYTES;
  return Math.ceil(payload_bytes / PAGE_BYTES + 1) * PAGE_BYTES;
}

/** How many offsets are reserved at once; see `LogRow.reserved`. */
export const RESERVED_OFFSETS = 10_000;

const digest = (room: number, key: string): Uint8Array =>
  createHash("sha256").update(`${room}/${key}`).digest().subarray(0, KEY_BYTES);

/**
 * Removes a room's oldest messages while there are more than `keep` or they are older than `cutoff_ms`; at most
 * `limit`. Returns how many. The caller saves the room.
 */
export function trimRoom(
  rows: LogRows,
  room: RoomRow,
  keep: number,
  cutoff_ms: number,
  limit: number,
): number {
  // Surplus messages are counted in one query; expired ones are read one by one.
  const many = Math.min(limit, room.messages - keep);
  const first = many > 0 ? rows.first(room.id, many) : { messages: 0, offset: 0, bytes: 0 };
  let removed = first.messages;
  let floor = first.offset;
  room.messages -= removed;
  room.bytes -= first.bytes;
  for (const { offset, time_ms, bytes } of rows.oldest(room.id, floor, limit - removed + 1)) {
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

/** Erases the messages of a room with these offsets, returns their number, and saves the room. */
export function eraseFrom(rows: LogRows, room: RoomRow, offsets: readonly number[]): number {
  let erased = 0;
  let highest = 0;
  for (const offset of offsets) {
    const bytes = rows.erase(room.id, offset);
    if (bytes === undefined) continue;
    erased++;
    room.messages--;
    room.bytes -= bytes;
    highest = Math.max(highest, offset);
  }
  if (erased === 0) return 0;
  room.floor = highest;
  const { last, oldest_ms } = rows.ends(room.id);
  room.last = last;
  if (last > 0) room.oldest_ms = oldest_ms;
  rows.noteErased(room.id, highest);
  rows.saveRoom(room);
  return erased;
}

/** The times of one log in a transaction, Unix ms. */
export interface WriteTimes {
  /** By the log's clock. */
  readonly now_ms: number;
  /** Messages from before are no longer shown. */
  readonly shown_ms: number;
  /** Messages from before may be deleted. */
  readonly cutoff_ms: number;
  /** Keys from before are forgotten. */
  readonly forgotten_ms: number;
}

/** The appends of one log within one transaction. */
export class LogWriter {
  readonly #rows: LogRows;
  readonly #log: LogRow;
  readonly #rooms = new Map<string, RoomRow>();
  /** By chain: the offset of its last message in this transaction, NaN if that was not stored. */
  readonly #chains = new Map<Chain, number>();
  readonly #space: Space;
  readonly #times: WriteTimes;
  #used_bytes: number;
  #last: number;
  #time_ms: number;

  /**
   * Times never decrease from message to message. `space` is shared by all logs of the transaction.
   */
  constructor(rows: LogRows, log: LogRow, times: WriteTimes, space: Space) {
    this.#rows = rows;
    this.#log = log;
    this.#space = space;
    this.#times = times;
    this.#used_bytes = rows.usage(log.id);
    this.#last = log.last;
    this.#time_ms = Math.max(times.now_ms, log.time_ms);
  }

  /** Stores one message, or finds the duplicate, or returns why it was refused. */
  take(append: Append): Taken | NotTaken {
    const { chain } = append;
    if (chain === undefined) return this.#take(append);
    const expected_last = this.#chains.get(chain) ?? chain.last;
    const taken = this.#take({ ...append, expected_last });
    this.#chains.set(chain, typeof taken === "string" ? NaN : taken.appended.offset);
    return taken;
  }

  /** The transaction is done. */
  settle(): void {
    for (const [chain, last] of this.#chains) chain.last = last;
  }

  #take({ room_id, payload, headers, key, expected_last }: Append): Taken | NotTaken {
    const { shown_ms, cutoff_ms, forgotten_ms } = this.#times;
    const room = this.#room(room_id);
    if (expected_last !== undefined && expected_last !== room.last) return "moved";
    const digested = key === undefined ? undefined : digest(room.id, key);
    const stored = digested && this.#rows.repeat(digested);
    if (stored !== undefined && stored.time_ms > forgotten_ms) {
      return this.#taken(stored.offset, true, 0);
    }
    this.#trim(room, SLACK_MESSAGES, cutoff_ms);
    // Before it refuses anything it trims surplus messages, and those that are no longer shown.
    if (!this.#fits(payload.length)) this.#trim(room, 0, shown_ms);
    if (!this.#fits(payload.length)) return "full";
    this.#used_bytes += payload.length + MESSAGE_BYTES;
    this.#space.free_bytes -= footprint(payload.length);
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

  /** Writes the transaction's changes to rooms and the log; returns the log's new row. */
  finish(): LogRow {
    const last = this.#last;
    const log = last === this.#log.last
      ? this.#log
      : { ...this.#log, last, time_ms: this.#time_ms };
    if (log !== this.#log) this.#rows.saveLog(log.id, last, this.#time_ms);
    for (const room of this.#rooms.values()) this.#rows.saveRoom(room);
    const limit = last - this.#log.last + TRIM_PER_APPEND;
    this.#rows.removeRepeats(this.#times.forgotten_ms, limit);
    return log;
  }

  #taken(offset: number, duplicate: boolean, previous: number): Taken {
    const appended = { offset, duplicate, stream: this.#log.stream };
    return { appended, time_ms: this.#time_ms, previous };
  }

  /** A room as this transaction sees it. */
  #room(room_id: string): RoomRow {
    const known = this.#rooms.get(room_id);
    if (known !== undefined) return known;
    const { id } = this.#log;
    const room = this.#rows.room(id, room_id) ?? this.#rows.addRoom(id, room_id);
    this.#rooms.set(room_id, room);
    return room;
  }

  #fits(payload_bytes: number): boolean {
    const space = this.#space;
    return this.#used_bytes + payload_bytes + MESSAGE_BYTES <= tenantBound(space) &&
      footprint(payload_bytes) <= space.free_bytes;
  }

  /** Trims before a message is added, so that a full file accepts messages while older ones are removed. */
  #trim(room: RoomRow, slack_messages: number, cutoff_ms: number): void {
    const { history_size } = this.#log;
    const many = room.messages > history_size + slack_messages;
    if (!many && (room.messages === 0 || room.oldest_ms >= cutoff_ms - SLACK_MS)) return;
    const before_bytes = weightOf(room);
    trimRoom(this.#rows, room, history_size, cutoff_ms, TRIM_PER_APPEND);
    this.#used_bytes += weightOf(room) - before_bytes;
  }
}

function sweepRoom(
  rows: LogRows,
  room: RoomRow,
  { history_size }: Retained,
  cutoff_ms: number,
  limit: number,
) {
  if (room.messages === 0) {
    if (room.newest_ms < cutoff_ms - FORGET_MS) rows.forgetRoom(room);
    return 0;
  }
  if (room.messages <= history_size && room.oldest_ms >= cutoff_ms) return 0;
  const removed = trimRoom(rows, room, history_size, cutoff_ms, limit);
  if (removed > 0) rows.saveRoom(room);
  return removed;
}

/**
 * Trims some rooms after the id `after`; returns the id to continue with, 0: from the start. It expires old messages of
 * rooms without new ones.
 */
export function sweepRooms(
  rows: LogRows,
  after: number,
  cutoffOf: (retained: Retained) => number,
): number {
  let left = SWEEP_MESSAGES;
  const rooms = rows.rooms(after, SWEEP_ROOMS);
  for (const { room, retained } of rooms) {
    left -= sweepRoom(rows, room, retained, cutoffOf(retained), left);
    // The rest of this room is trimmed next time.
    if (left <= 0) return room.id - 1;
  }
  return rooms.length < SWEEP_ROOMS ? 0 : rooms.at(-1)?.room.id ?? 0;
}

/** Messages up to `limit` and about `max_bytes`, at least one; and whether there are more. */
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
