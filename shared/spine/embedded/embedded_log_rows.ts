/**
 * The rows of the embedded engine's logs: statements and their results. Every statement on the message path uses a
 * primary key. `embedded_log_write.ts` decides about retention.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { LogMessage, Retention, RoomsRead } from "../contract/durable_log.ts";
import type { Life, Lives } from "../contract/lives.ts";
import { prepareAll } from "./embedded_database.ts";
import type { SpineHeaders } from "../contract/spine_message.ts";

/** What a log keeps; the embedded engine has no replicas. */
export type Retained = Omit<Retention, "replicas">;

/** The stored row of a tenant's log. */
export interface LogRow extends Retained {
  readonly id: number;
  /** Stored: the name of its first life. In an open log: that of its newest life. */
  readonly stream: string;
  readonly last: number;
  /** Offsets up to here may have been assigned, even if a power cut lost their messages. */
  readonly reserved: number;
  /** The time of its newest message. */
  readonly time_ms: number;
}

/** The stored row of a room; a working copy until it is saved. */
export interface RoomRow {
  readonly id: number;
  readonly log: number;
  /** Offset of the newest message; 0: none. */
  last: number;
  /** Nothing above this offset was ever removed. Saving a lower one changes nothing. */
  floor: number;
  messages: number;
  bytes: number;
  /** Time of the oldest message, Unix ms. */
  oldest_ms: number;
  /** Time of the newest message ever stored, Unix ms. */
  newest_ms: number;
  /** Its share of `LogRows.usage` when it was read or last saved. */
  weighed: number;
}

/** Approximate overhead of a message in the file, in bytes: its key, its headers, its share of pages. */
export const MESSAGE_BYTES = 128;

/** Approximate bytes of a room's messages in the file. */
export const weightOf = ({ messages, bytes }: Pick<RoomRow, "messages" | "bytes">): number =>
  bytes + messages * MESSAGE_BYTES;

const MESSAGES = "FROM message WHERE room = ?";
const SQL = {
  pages: "PRAGMA page_count",
  free_pages: "PRAGMA freelist_count",
  log: `SELECT id, stream, last, reserved, time_ms, history_size, history_ttl_seconds FROM log
    WHERE tenant = ?`,
  add_log: `INSERT INTO log (tenant, stream, history_size, history_ttl_seconds)
    VALUES (?, ?, ?, ?)`,
  retain: "UPDATE log SET history_size = ?, history_ttl_seconds = ? WHERE id = ?",
  save_log: "UPDATE log SET last = ?, time_ms = ? WHERE id = ?",
  reserve: "UPDATE log SET reserved = ? WHERE id = ?",
  settle: "UPDATE log SET reserved = last WHERE id = ? AND reserved <> last",
  lives: "SELECT name, first FROM life WHERE log = ? ORDER BY id",
  forget_lives: "DELETE FROM life WHERE log = ?",
  add_life: "INSERT INTO life (log, name, first) VALUES (?, ?, ?)",
  logs: "SELECT count(*) AS logs FROM log",
  newest: "SELECT max(time_ms) AS time_ms FROM log",
  floor: "SELECT floor FROM log WHERE id = ?",
  raise_floor: "UPDATE log SET floor = max(floor, ?) WHERE id = ?",
  totals: `SELECT coalesce(sum(messages), 0) AS messages, coalesce(sum(bytes), 0) AS bytes FROM room
    WHERE log = ?`,
  room: "SELECT * FROM room WHERE log = ? AND name = ?",
  rooms: `SELECT room.*, history_size, history_ttl_seconds FROM room JOIN log ON log.id = room.log
    WHERE room.id > ? ORDER BY room.id LIMIT ?`,
  empty_rooms: "SELECT * FROM room WHERE log = ? AND messages = 0 LIMIT ?",
  names: `SELECT name FROM room WHERE log = ? AND name > ? AND name >= ? AND name < ?
    AND messages > 0 ORDER BY name LIMIT ?`,
  // No id is used twice: idempotency keys name their room by it, and outlive a forgotten one.
  add_room: `INSERT INTO room (id, log, name, last, floor, messages, bytes, oldest_ms, newest_ms)
    SELECT 1 + max((SELECT coalesce(max(id), 0) FROM room), (SELECT coalesce(max(offset), 0)
    FROM erased WHERE room = 0)), id, ?2, 0, floor, 0, 0, 0, 0 FROM log WHERE id = ?1 RETURNING *`,
  // A floor never goes down: what is trimmed may be older than what was erased.
  save_room: `UPDATE room SET last = ?, floor = max(floor, ?), messages = ?, bytes = ?,
    oldest_ms = ?, newest_ms = ? WHERE id = ?`,
  forget_room: "DELETE FROM room WHERE id = ?",
  insert: "INSERT INTO message (room, offset, time_ms, headers, payload) VALUES (?, ?, ?, ?, ?)",
  after: `SELECT offset, time_ms, headers, payload ${MESSAGES} AND offset > ?
    ORDER BY offset LIMIT ?`,
  before: `SELECT offset, time_ms, headers, payload ${MESSAGES} AND offset < ?
    ORDER BY offset DESC LIMIT ?`,
  oldest: `SELECT offset, time_ms, length(payload) AS bytes ${MESSAGES} AND offset > ?
    ORDER BY offset LIMIT ?`,
  first: `SELECT count(*) AS messages, max(offset) AS offset, sum(bytes) AS bytes FROM
    (SELECT offset, length(payload) AS bytes ${MESSAGES} ORDER BY offset LIMIT ?)`,
  count: `SELECT count(*) AS messages ${MESSAGES} AND offset >= ?`,
  remove: "DELETE FROM message WHERE room = ? AND offset <= ?",
  erase: "DELETE FROM message WHERE room = ? AND offset = ? RETURNING length(payload) AS bytes",
  ends: `SELECT (SELECT max(offset) ${MESSAGES}) AS last,
    (SELECT time_ms ${MESSAGES} ORDER BY offset LIMIT 1) AS oldest_ms`,
  note_erased: `INSERT INTO erased (room, offset) VALUES (?, ?)
    ON CONFLICT (room) DO UPDATE SET offset = max(offset, excluded.offset)`,
  erased: "SELECT offset FROM erased WHERE room = ?",
  forget_erased: "DELETE FROM erased WHERE room = ?",
  repeat: "SELECT offset, time_ms FROM repeat WHERE key = ?",
  add_repeat: "INSERT OR REPLACE INTO repeat (key, offset, time_ms) VALUES (?, ?, ?)",
  // Ids are in the order of time: a replaced key gets a new id.
  old_repeats: `SELECT max(id) AS id FROM (SELECT id, time_ms FROM repeat ORDER BY id LIMIT ?)
    WHERE time_ms < ?`,
  remove_repeats: "DELETE FROM repeat WHERE id <= ?",
};

function prepare(database: DatabaseSync) {
  const sql = prepareAll(database, SQL);
  for (const statement of [sql.after, sql.before]) {
    // Rows as arrays: objects take twice as long to make. Deno's types lack it.
    (statement as StatementSync & { setReturnArrays(on: boolean): void }).setReturnArrays(true);
  }
  return sql;
}

const number = (row: Record<string, unknown> | undefined, name: string): number =>
  Number(row?.[name] ?? 0);

// The tables are STRICT: each column has its type.
function roomRow(row: object): RoomRow {
  const room = { ...row, weighed: 0 } as RoomRow;
  room.weighed = weightOf(room);
  return room;
}

/** A message as it is trimmed. */
type Oldest = Pick<LogMessage, "offset" | "time_ms"> & { readonly bytes: number };

/** The most rows of messages read at once, and about how many bytes of them: large ones may be read in vain. */
const ROWS_AT_ONCE = 256;
const BYTES_AT_ONCE = 65_536;
const NO_HEADERS: SpineHeaders = Object.freeze(Object.create(null));

function message(row: unknown): LogMessage {
  const [offset, time_ms, headers, payload] = row as [number, number, string | null, Uint8Array];
  return { offset, time_ms, payload, headers: headers === null ? NO_HEADERS : JSON.parse(headers) };
}

/** Reads on from an offset: many rows at once take half the time of as many single ones, and few are read in vain. */
function* inPages(
  limit: number,
  offset: number,
  read: (last: number, some: number) => readonly unknown[],
): Generator<LogMessage> {
  for (let [last, left, some] = [offset, limit, 4]; left > 0;) {
    const page = read(last, Math.min(some, left)).map(message);
    yield* page;
    if (page.length < some) return;
    last = page.at(-1)!.offset;
    left -= page.length;
    const bytes = page.reduce((sum, { payload }) => sum + payload.length, 0);
    some = Math.min(2 * some, ROWS_AT_ONCE, Math.ceil(BYTES_AT_ONCE * some / bytes));
  }
}

/** The rows of the tables of `embedded_log_file.ts`. */
export class LogRows {
  readonly #sql;
  /** Bytes of the messages of each log, cached by log. */
  readonly #usage = new Map<number, number>();

  constructor(database: DatabaseSync) {
    this.#sql = prepare(database);
  }

  pages(): number {
    return number(this.#sql.pages.get(), "page_count");
  }

  freePages(): number {
    return number(this.#sql.free_pages.get(), "freelist_count");
  }

  log(tenant_id: string): LogRow | undefined {
    const row = this.#sql.log.get(tenant_id);
    return row && { ...row } as unknown as LogRow;
  }

  addLog(tenant_id: string, stream: string, retention: Retained): void {
    const { history_size, history_ttl_seconds } = retention;
    this.#sql.add_log.run(tenant_id, stream, history_size, history_ttl_seconds);
  }

  retain(log: number, { history_size, history_ttl_seconds }: Retained): void {
    this.#sql.retain.run(history_size, history_ttl_seconds, log);
  }

  saveLog(log: number, last: number, time_ms: number): void {
    this.#sql.save_log.run(last, time_ms, log);
  }

  reserve(log: number, offset: number): void {
    this.#sql.reserve.run(offset, log);
  }

  /** Records an orderly close: no offset beyond the assigned ones is reserved. */
  settle(log: number): void {
    this.#sql.settle.run(log);
  }

  /** The saved lives of a log. */
  lives(log: number): Lives {
    return this.#sql.lives.all(log).map((row) => ({ ...row }) as unknown as Life);
  }

  saveLives(log: number, lives: Lives): void {
    this.#sql.forget_lives.run(log);
    for (const { name, first } of lives) this.#sql.add_life.run(log, name, first);
  }

  /** The time of the newest message of all logs, Unix ms; 0 without any. */
  newestTime(): number {
    return number(this.#sql.newest.get(), "time_ms");
  }

  /** Approximate bytes of a log's messages in the file. */
  usage(log: number): number {
    const known = this.#usage.get(log);
    if (known !== undefined) return known;
    const usage = weightOf(this.totals(log));
    this.#usage.set(log, usage);
    return usage;
  }

  /** Call it after a rollback: usage is read again. */
  forgetUsage(): void {
    this.#usage.clear();
  }

  logs(): number {
    return number(this.#sql.logs.get(), "logs");
  }

  totals(log: number): { messages: number; bytes: number } {
    return { ...this.#sql.totals.get(log) } as { messages: number; bytes: number };
  }

  room(log: number, room_id: string): RoomRow | undefined {
    const row = this.#sql.room.get(log, room_id);
    return row && roomRow(row);
  }

  /** Names of rooms that have messages, in their order. */
  roomNames(log: number, { prefix, after, limit }: RoomsRead): string[] {
    // No id has such a high character.
    const rows = this.#sql.names.all(log, after, prefix, `${prefix}\u{10ffff}`, limit);
    return rows.map((row) => String(row["name"]));
  }

  addRoom(log: number, room_id: string): RoomRow {
    const room = roomRow(this.#sql.add_room.get(log, room_id) ?? {});
    const erased = this.erasedNames(log);
    if (erased > 0) this.noteErased(room.id, erased);
    return room;
  }

  /** The rooms after this id, each with the retention of its log. */
  rooms(after: number, limit: number): { room: RoomRow; retained: Retained }[] {
    return this.#sql.rooms.all(after, limit).map((row) => ({
      room: roomRow(row),
      retained: row as unknown as Retained,
    }));
  }

  saveRoom(room: RoomRow): void {
    const { last, floor, messages, bytes, oldest_ms, newest_ms, id, log } = room;
    this.#sql.save_room.run(last, floor, messages, bytes, oldest_ms, newest_ms, id);
    const usage = this.#usage.get(log);
    const weight = weightOf(room);
    if (usage !== undefined) this.#usage.set(log, usage + weight - room.weighed);
    room.weighed = weight;
  }

  /** Forgets an empty room; its floor is merged into the log's floor for unknown rooms. */
  forgetRoom({ id, log, floor }: RoomRow): void {
    this.#sql.raise_floor.run(floor, log);
    this.#sql.forget_erased.run(id);
    // Its id is not used again: see `add_room`.
    this.noteErased(0, id);
    this.#sql.forget_room.run(id);
  }

  /**
   * Forgets some rooms without messages, whose erasures are then recorded for the whole log; false: there were none.
   */
  forgetEmpty(log: number, limit: number): boolean {
    const rooms = this.#sql.empty_rooms.all(log, limit).map(roomRow);
    for (const room of rooms) {
      this.noteErased(-log, this.erased(room.id));
      this.forgetRoom(room);
    }
    return rooms.length > 0;
  }

  /** The offset above which nothing was removed from any unknown room. */
  floor(log: number): number {
    return number(this.#sql.floor.get(log), "floor");
  }

  insert(room: number, { offset, time_ms, headers, payload }: LogMessage): void {
    const stored = Object.keys(headers).length === 0 ? null : JSON.stringify(headers);
    this.#sql.insert.run(room, offset, time_ms, stored, payload);
  }

  /** A room's messages in order, one by one, until the caller stops. */
  after(room: number, offset: number, limit: number): Iterable<LogMessage> {
    return inPages(limit, offset, (last, some) => this.#sql.after.all(room, last, some));
  }

  /** A room's messages, the newest first. */
  before(room: number, offset: number, limit: number): Iterable<LogMessage> {
    return inPages(limit, offset, (last, some) => this.#sql.before.all(room, last, some));
  }

  /** Offset, time and bytes of a room's oldest messages above an offset. */
  oldest(room: number, after: number, limit: number): Oldest[] {
    return this.#sql.oldest.all(room, after, limit) as unknown as Oldest[];
  }

  /** The number of a room's oldest messages, at most `limit`, with the last one's offset and their bytes. */
  first(room: number, limit: number): { messages: number; offset: number; bytes: number } {
    const row = this.#sql.first.get(room, limit);
    const count = { messages: number(row, "messages"), offset: number(row, "offset") };
    return { ...count, bytes: number(row, "bytes") };
  }

  count(room: number, offset: number): number {
    return number(this.#sql.count.get(room, offset), "messages");
  }

  remove(room: number, offset: number): void {
    this.#sql.remove.run(room, offset);
  }

  /** Removes one message; returns the bytes of its payload, undefined if there is no message. */
  erase(room: number, offset: number): number | undefined {
    const row = this.#sql.erase.get(room, offset);
    return row && number(row, "bytes");
  }

  /** The offset of a room's newest message, and the time of its oldest; 0 without messages. */
  ends(room: number): { last: number; oldest_ms: number } {
    const row = this.#sql.ends.get(room, room);
    return { last: number(row, "last"), oldest_ms: number(row, "oldest_ms") };
  }

  noteErased(room: number, offset: number): void {
    this.#sql.note_erased.run(room, offset);
  }

  /** The highest erased offset of a room; 0: none. */
  erased(room: number): number {
    return number(this.#sql.erased.get(room), "offset");
  }

  /** The same for forgotten rooms. */
  erasedNames(log: number): number {
    return this.erased(-log);
  }

  repeat(key: Uint8Array): Omit<Oldest, "bytes"> | undefined {
    return this.#sql.repeat.get(key) as Omit<Oldest, "bytes"> | undefined;
  }

  addRepeat(key: Uint8Array, offset: number, time_ms: number): void {
    this.#sql.add_repeat.run(key, offset, time_ms);
  }

  /** Removes the keys that are older than `cutoff_ms`, at most `limit`. */
  removeRepeats(cutoff_ms: number, limit: number): void {
    const last = number(this.#sql.old_repeats.get(limit, cutoff_ms), "id");
    if (last > 0) this.#sql.remove_repeats.run(last);
  }
}
