/**
 * The durable logs of the embedded engine. Appends of one turn of the event loop are one transaction,
 * which is as fast as the file and no slower for a single one; then they go to their subscribers, and
 * then their senders hear of it. Time comes from `log_clock.ts`. Not for several processes.
 */
import { setImmediate } from "node:timers";
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../log.ts";
import { roomSubject, tenantLogPattern } from "../subject.ts";
import type { Subject } from "../subject.ts";
import { assertSize, headerBytes } from "./check.ts";
import {
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "./durable_log.ts";
import type { Appended, DurableLog, LogLimits, Retention } from "./durable_log.ts";
import type { LogFile } from "./embedded_log_file.ts";
import { LogRows } from "./embedded_log_rows.ts";
import type { LogRow } from "./embedded_log_rows.ts";
import { EmbeddedLog } from "./embedded_log_tenant.ts";
import { LogWriter, RESERVED_OFFSETS, sweepRooms } from "./embedded_log_write.ts";
import type { Append, Taken } from "./embedded_log_write.ts";
import { LogClock } from "./log_clock.ts";
import type { Clocks } from "./log_clock.ts";
import type { SpineHeaders } from "./spine.ts";

/** One transaction takes at most so much; the rest is the next turn's. */
const BATCH_MESSAGES = 1_024;
const BATCH_BYTES = 4_194_304;
/** What the headers of a delivery take that the log adds. */
const HEADER_BYTES = 512;
const SWEEP_MS = 1_000;
/** With `synchronous` `normal` a power cut costs at most what came in this time. */
const CHECKPOINT_MS = 5_000;

/** What the logs need of their engine. */
export interface EmbeddedLogsOptions {
  readonly file: LogFile;
  readonly limits: LogLimits;
  readonly clocks: Clocks;
  readonly log: Logger;
  readonly payload_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
  /** Brings a message to its subscribers; throws when too many bytes wait for them. */
  readonly deliver: (subject: Subject, payload: Uint8Array, headers: SpineHeaders) => void;
  /** Messages of this tenant were stored and not delivered. */
  readonly onUndelivered: (tenant_id: string) => void;
}

interface Pending {
  readonly log: EmbeddedLog;
  readonly append: Append;
  readonly subject: Subject;
  resolve(appended: Appended): void;
  reject(error: unknown): void;
}

/** All logs of an engine, in one file. */
export class EmbeddedLogs {
  readonly options: EmbeddedLogsOptions;
  readonly rows: LogRows;
  readonly clock: LogClock;
  readonly #logs = new Map<string, EmbeddedLog>();
  #queue: Pending[] = [];
  #queue_bytes = 0;
  #scheduled = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #swept_room = 0;
  #checkpoint_ms = 0;
  #written = false;
  #failing = false;
  /** Those whose last message could not be delivered, so that one overflow is one event. */
  readonly #undelivered = new Set<string>();

  constructor(options: EmbeddedLogsOptions) {
    this.options = options;
    this.rows = new LogRows(options.file.database);
    this.clock = new LogClock(options.clocks, this.rows.newestTime());
  }

  /** The tenant's log; makes it, and grows what it keeps, where needed. */
  open(tenant_id: string, retention: Retention): DurableLog {
    tenantLogPattern(tenant_id);
    const log = this.#logs.get(tenant_id) ?? this.#open(tenant_id, retention);
    log.grow(retention, false);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
    return log;
  }

  /** Takes one append into the next transaction. Throws, or resolves once it is stored. */
  append(log: EmbeddedLog, append: Append): Promise<Appended> {
    const { pending_messages, pending_bytes } = this.options.limits;
    const { payload, headers, room_id } = append;
    const subject = roomSubject("in", log.tenant_id, room_id);
    const bytes = payload.length + headerBytes(headers) + HEADER_BYTES;
    assertSize(bytes, this.options.payload_bytes_max);
    if (
      this.#queue.length >= pending_messages || this.#queue_bytes + payload.length > pending_bytes
    ) {
      throw new ArqonError("log-unavailable", "too many publishes wait", { retry_after_ms: 100 });
    }
    const { promise, resolve, reject } = Promise.withResolvers<Appended>();
    this.#queue_bytes += payload.length;
    const copy = { ...append, payload: payload.slice(), headers: { ...headers } };
    this.#queue.push({ log, append: copy, subject, resolve, reject });
    this.#schedule();
    return promise;
  }

  /** Stores everything that waits, now. */
  flush(): void {
    while (this.#queue.length > 0) this.#commit(this.#take());
  }

  /** Stores what waits and closes the file. */
  close(): void {
    this.flush();
    clearInterval(this.#timer);
    const { file } = this.options;
    this.#guarded(() => file.transaction(() => this.rows.settle()));
    file.close();
  }

  #open(tenant_id: string, retention: Retention): EmbeddedLog {
    const { file } = this.options;
    const row = file.transaction(() => {
      const stored = this.rows.log(tenant_id);
      if (stored !== undefined) return stored;
      const incarnation = this.clock.now().toString(36) +
        crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36);
      this.rows.addLog(tenant_id, `LOG_${tenant_id}_${incarnation}`, retention);
      return this.rows.log(tenant_id);
    });
    if (row === undefined) throw new ArqonError("log-unavailable", "the log was not made");
    const log = new EmbeddedLog(tenant_id, row, this);
    this.#logs.set(tenant_id, log);
    return log;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#queue.length > 0) this.#commit(this.#take());
      if (this.#queue.length > 0) this.#schedule();
    });
  }

  #take(): Pending[] {
    let count = 0;
    let bytes = 0;
    for (const { append } of this.#queue) {
      if (count === BATCH_MESSAGES || bytes > BATCH_BYTES) break;
      count++;
      bytes += append.payload.length;
    }
    this.#queue_bytes -= bytes;
    return this.#queue.splice(0, count);
  }

  #commit(batch: readonly Pending[]): void {
    let taken: Taken[];
    try {
      taken = this.#store(batch);
      this.#healthy();
    } catch (error) {
      this.#failed(error);
      for (const { reject } of batch) reject(error);
      return;
    }
    batch.forEach(({ log, append, subject, resolve }, at) => {
      const { appended, time_ms, previous } = taken[at] ?? unstored();
      if (!appended.duplicate) {
        this.#deliver(log.tenant_id, subject, append.payload, {
          ...append.headers,
          [LOG_STREAM_HEADER]: appended.stream,
          [LOG_OFFSET_HEADER]: String(appended.offset),
          [LOG_PREVIOUS_HEADER]: String(previous),
          [LOG_TIME_HEADER]: new Date(time_ms).toISOString(),
        });
      }
      resolve(appended);
    });
  }

  /** All of them, or none and it throws. */
  #store(batch: readonly Pending[]): Taken[] {
    const now_ms = this.clock.now();
    this.#reserve(batch);
    const stored = new Map<EmbeddedLog, LogRow>();
    const taken = this.options.file.transaction(() => {
      const writers = new Map<EmbeddedLog, LogWriter>();
      const all = batch.map(({ log, append }) => {
        const writer = writers.get(log) ?? new LogWriter(this.rows, log.row, now_ms);
        writers.set(log, writer);
        return writer.take(append);
      });
      for (const [log, writer] of writers) stored.set(log, writer.finish());
      return all;
    });
    for (const [log, row] of stored) log.row = row;
    this.#written = true;
    return taken;
  }

  /**
   * After a power cut the file may lack messages whose offsets clients have. So that these are not
   * given again, to others, what may be given is on the disk before, for many at once.
   */
  #reserve(batch: readonly Pending[]): void {
    const { file, limits } = this.options;
    if (limits.synchronous === "full" || !file.persistent) return;
    for (const log of new Set(batch.map(({ log }) => log))) {
      if (log.row.last + batch.length <= log.row.reserved) continue;
      const reserved = log.row.last + batch.length + RESERVED_OFFSETS;
      file.lasting(() => this.rows.reserve(log.row.id, reserved));
      log.row = { ...log.row, reserved };
    }
  }

  #deliver(tenant_id: string, subject: Subject, payload: Uint8Array, headers: SpineHeaders): void {
    try {
      this.options.deliver(subject, payload, headers);
      this.#undelivered.delete(tenant_id);
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      // It is stored. Who subscribes finds the hole, by the next message or because it is told here.
      if (this.#undelivered.has(tenant_id)) return;
      this.#undelivered.add(tenant_id);
      this.options.onUndelivered(tenant_id);
    }
  }

  #sweep(): void {
    this.#guarded(() => {
      const { file, limits } = this.options;
      const now_ms = this.clock.now();
      file.transaction(() => {
        this.#swept_room = sweepRooms(this.rows, this.#swept_room, now_ms);
      });
      if (limits.synchronous !== "normal" || !this.#written || now_ms < this.#checkpoint_ms) return;
      file.checkpoint();
      this.#written = false;
      this.#checkpoint_ms = now_ms + CHECKPOINT_MS;
    });
  }

  /** What nobody waits for: a failure is logged. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    this.options.log.error("the log of the durable rooms cannot be written", { error });
  }

  #healthy(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.options.log.info("the log of the durable rooms is written again");
  }
}

function unstored(): never {
  throw new Error("an append of a committed transaction has no offset");
}
