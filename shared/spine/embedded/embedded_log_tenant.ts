// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * One tenant's log in the embedded engine. It validates arguments, reads rows, and passes appends to `embedded_log.ts`,
 * which writes those of all tenants together.
 */
import { turn } from "../../turns/next_turn.ts";
import type { JobQueue } from "../contract/job_queue.ts";
import { roomSubject } from "../../subjects/subject.ts";
import type {
  Appended,
  AppendOptions,
  DurableLog,
  Kept,
  LogPage,
  LogRead,
  LogReadBack,
  LogStatus,
  NewMessage,
  Retention,
  RoomHead,
  RoomsPage,
  RoomsRead,
} from "../contract/durable_log.ts";
import type { LogFile } from "./embedded_log_file.ts";
import type { LogRow, LogRows, RoomRow } from "./embedded_log_rows.ts";
import { type Append, eraseFrom, page, trimRoom } from "./embedded_log_write.ts";
import type { Lives } from "../contract/lives.ts";

/** Messages that `trim` and `erase` remove in one transaction. */
const TRIM_MESSAGES = 500;
const FORGET_ROOMS = 500;

/** What the logs of all tenants share. */
interface AllLogs {
  readonly options: { readonly file: LogFile; readonly turns: JobQueue };
  readonly clock: { now(): number };
  /** Adds an append to the next transaction. Throws, or resolves once it is stored. */
  append(log: EmbeddedLog, append: Append): Promise<Appended>;
  /** Stores every queued append now. */
  flush(): void;
  /** As those of `DurableLog`. */
  shownTime(): number;
  deletionTime(age_ms: number): number;
}

/** The log of one tenant. */
export class EmbeddedLog implements DurableLog {
  readonly tenant_id: string;
  /** The log's row as of the last transaction; `embedded_log.ts` sets it. */
  row: LogRow;
  /** True if its lives are saved in the file. */
  is_saved = true;
  readonly lives: Lives;
  /** Always true: no other process writes to the file while this one locks it. */
  readonly is_proven = true;
  readonly #logs: AllLogs;

  constructor(tenant_id: string, row: LogRow, lives: Lives, logs: AllLogs) {
    this.tenant_id = tenant_id;
    this.row = row;
    this.lives = lives;
    this.#logs = logs;
  }

  get stream(): string {
    return this.row.stream;
  }

  lifeOf(stream: string): string {
    return stream;
  }

  now(): number {
    return this.#logs.clock.now();
  }

  shownTime(): number {
    return this.#logs.shownTime();
  }

  deletionTime(age_ms: number): number {
    return this.#logs.deletionTime(age_ms);
  }

  async append(
    room_id: string,
    payload: Uint8Array,
    options: AppendOptions = {},
  ): Promise<Appended> {
    const { key, headers = {}, expected_last } = options;
    return this.#logs.append(this, { room_id, payload, headers, key, expected_last });
  }

  async appendAll(
    room_id: string,
    messages: readonly NewMessage[],
    expected_last: number,
  ): Promise<Appended> {
    const chain = { last: expected_last };
    const under_way: Promise<Appended>[] = [];
    try {
      for (const { payload, headers = {} } of messages) {
        const append = { room_id, payload, headers, key: undefined, chain };
        under_way.push(this.#logs.append(this, append));
      }
    } catch (error) {
      // Later messages of the batch must not be stored.
      under_way.push(Promise.reject(error));
    }
    let last: Appended | undefined;
    for (const ended of await Promise.allSettled(under_way)) {
      if (ended.status === "rejected") throw ended.reason;
      last = ended.value;
    }
    if (last === undefined) throw new TypeError("no message to append");
    return last;
  }

  async head(room_id: string): Promise<RoomHead> {
    return this.#reading(room_id, (room, rows) => {
      const { stream, last: log_offset } = this.row;
      const [last] = room ? rows.before(room.id, room.last + 1, 1) : [];
      return { stream, last, log_offset, erased: this.#erased(room, rows) };
    });
  }

  async heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#ask((rows) => {
      const heads = new Map<string, number>();
      for (const room_id of room_ids) {
        const last = rows.room(this.row.id, room_id)?.last ?? 0;
        if (last > 0) heads.set(room_id, last);
      }
      return heads;
    });
  }

  async rooms({ prefix, after, limit }: RoomsRead): Promise<RoomsPage> {
    const wish = { prefix, after, limit: limit + 1 };
    const names = await this.#ask((rows) => rows.roomNames(this.row.id, wish));
    return { rooms: names.slice(0, limit), more: names.length > limit };
  }

  async read(room_id: string, { after, limit, max_bytes }: LogRead): Promise<LogPage> {
    return this.#reading(room_id, (room, rows) => {
      const found = room ? rows.after(room.id, after, limit + 1) : [];
      const { taken: messages, more } = page(found, limit, max_bytes);
      const complete = after >= (room?.floor ?? rows.floor(this.row.id));
      const read = { stream: this.stream, messages, complete, more };
      const erased = this.#erased(room, rows);
      return after < erased ? { ...read, erased } : read;
    });
  }

  async readBack(room_id: string, { before, limit, max_bytes }: LogReadBack): Promise<LogPage> {
    return this.#reading(room_id, (room, rows) => {
      const below = before === 0 ? Number.MAX_SAFE_INTEGER : before;
      const found = room ? rows.before(room.id, below, limit + 1) : [];
      const { taken, more } = page(found, limit, max_bytes);
      return { stream: this.stream, messages: taken.reverse(), complete: false, more };
    });
  }

  async oldest(room_id: string): Promise<number> {
    return this.#reading(room_id, (room, rows) => {
      const [oldest] = room ? rows.after(room.id, 0, 1) : [];
      return oldest?.offset ?? 0;
    });
  }

  async count(room_id: string, from: number): Promise<number> {
    return this.#reading(room_id, (room, rows) => room ? rows.count(room.id, from) : 0);
  }

  async trim(room_id: string, keep: Kept): Promise<void> {
    roomSubject("in", this.tenant_id, room_id);
    await this.#inSteps((rows) => {
      const room = rows.room(this.row.id, room_id);
      if (room === undefined) return false;
      const kept = typeof keep === "number" ? keep : rows.count(room.id, keep.through + 1);
      if (room.messages <= kept) return false;
      const removed = trimRoom(rows, room, kept, 0, TRIM_MESSAGES);
      rows.saveRoom(room);
      return removed === TRIM_MESSAGES;
    });
  }

  async erase(room_id: string, offsets: readonly number[]): Promise<number> {
    roomSubject("in", this.tenant_id, room_id);
    let erased = 0;
    let at = 0;
    await this.#inSteps((rows) => {
      const room = rows.room(this.row.id, room_id);
      if (room) erased += eraseFrom(rows, room, offsets.slice(at, at + TRIM_MESSAGES));
      at += TRIM_MESSAGES;
      return at < offsets.length;
    });
    return erased;
  }

  async erased(room_id: string): Promise<number> {
    return this.#reading(room_id, (room, rows) => this.#erased(room, rows));
  }

  async forgetNames(): Promise<void> {
    await this.#inSteps((rows) => rows.forgetEmpty(this.row.id, FORGET_ROOMS));
  }

  async retain(retention: Retention, shrink = false): Promise<void> {
    this.#logs.options.file.assertOpen();
    this.grow(retention, shrink);
  }

  async status(): Promise<LogStatus> {
    const { id, stream, last, history_size, history_ttl_seconds } = this.row;
    const totals = await this.#ask((rows) => rows.totals(id));
    const kept = { history_size, history_ttl_seconds, replicas: undefined };
    return { stream, log_offset: last, ...totals, ...kept };
  }

  /** As `retain`, but synchronous. */
  grow({ history_size, history_ttl_seconds }: Retention, shrink: boolean): void {
    const kept = shrink ? { history_size, history_ttl_seconds } : {
      history_size: Math.max(history_size, this.row.history_size),
      history_ttl_seconds: Math.max(history_ttl_seconds, this.row.history_ttl_seconds),
    };
    const { row } = this;
    if (
      kept.history_size === row.history_size &&
      kept.history_ttl_seconds === row.history_ttl_seconds
    ) return;
    const { file } = this.#logs.options;
    file.transaction(() => file.rows.retain(row.id, kept));
    this.row = { ...row, ...kept };
  }

  #erased(room: RoomRow | undefined, rows: LogRows): number {
    return room === undefined ? rows.erasedNames(this.row.id) : rows.erased(room.id);
  }

  /** Runs a read of one room; undefined: the log never had a message of it, or has forgotten it. */
  #reading<T>(
    room_id: string,
    run: (room: RoomRow | undefined, rows: LogRows) => T,
  ): Promise<T> {
    roomSubject("in", this.tenant_id, room_id);
    return this.#ask((rows) => run(rows.room(this.row.id, room_id), rows));
  }

  async #ask<T>(run: (rows: LogRows) => T): Promise<T> {
    const { file, turns } = this.#logs.options;
    const found = file.ask(run);
    await turns.rest();
    return found;
  }

  /** Runs transactions, each in a turn of its own, while one returns true. Earlier appends take effect before. */
  async #inSteps(step: (rows: LogRows) => boolean): Promise<void> {
    const { file } = this.#logs.options;
    file.assertOpen();
    this.#logs.flush();
    while (file.transaction(() => step(file.rows))) {
      await turn();
      file.assertOpen();
    }
  }
}
