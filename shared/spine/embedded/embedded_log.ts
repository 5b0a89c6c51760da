/**
 * The durable logs of the embedded engine. Appends of one turn of the event loop are one transaction; then the messages
 * are delivered to subscribers, and the senders are acknowledged. Time comes from `log_clock.ts`. Only for one process.
 */
import { setImmediate } from "node:timers";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import { nextTurn } from "../../turns/next_turn.ts";
import { roomSubject, type Subject, tenantLogPattern } from "../../subjects/subject.ts";
import { assertSize, headerBytes } from "../contract/check.ts";
import type { JobQueue } from "../contract/job_queue.ts";
import {
  LEAST_RETENTION,
  LOG_DEDUPLICATION_MS,
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_REMEDY,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "../contract/durable_log.ts";
import type { Appended, DurableLog, LogLimits, Retention } from "../contract/durable_log.ts";
import { PendingAppends } from "../contract/pending.ts";
import type { LogFile } from "./embedded_log_file.ts";
import type { LogRow, LogRows, Retained } from "./embedded_log_rows.ts";
import { EmbeddedLog } from "./embedded_log_tenant.ts";
import { LogWriter, RESERVED_OFFSETS, spaceOf, sweepRooms } from "./embedded_log_write.ts";
import type { Append, NotTaken, Taken } from "./embedded_log_write.ts";
import { lifeAt, newestLife, newLifeId, withLife } from "../contract/lives.ts";
import type { Clocks, ClockSteps } from "../../clock_steps.ts";
import { isoOf, LogClock, steadyTime } from "../contract/log_clock.ts";
import type { StorageReport } from "../contract/spine.ts";
import type { SpineHeaders } from "../contract/spine_message.ts";

/** The most messages of one transaction, 2 to 6 ms; the rest is queued, in order, for the next turn. */
const BATCH_MESSAGES = 256;
const BATCH_BYTES = 4_194_304;
/** Bytes of the headers that the log adds to a delivery. */
const HEADER_BYTES = 512;
/** With `synchronous = "normal"` a power cut loses at most the messages of this time, in ms. */
const CHECKPOINT_MS = 5_000;

/** The most keys that one sweep removes. */
const SWEEP_KEYS = 2_000;

/** A tenant counts as full until none of its messages was refused for this long, in ms. */
const FULL_MS = 10_000;
const TENANT_FULL = `the tenant's messages have their share of it; ${LOG_REMEDY}`;
const MOVED = "of another message: the room's newest is not the expected one";

/** The engine's parts that the logs need. */
export interface EmbeddedLogsOptions extends Pick<Env, "log"> {
  readonly file: LogFile;
  readonly turns: JobQueue;
  readonly limits: LogLimits;
  readonly clocks: Clocks;
  readonly steps: ClockSteps;
  readonly payload_bytes_max: number;
  /** Delivers a message to its subscribers; throws when too many bytes are queued. */
  readonly deliver: (subject: Subject, payload: Uint8Array, headers: SpineHeaders) => void;
  /** Called when messages of this tenant were stored but not delivered. */
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
  readonly #began_ms: number;
  /** Follows the wall clock from when it was believed first: a process may start with a wrong one. */
  #believed: (() => number) | undefined;
  readonly #logs = new Map<string, EmbeddedLog>();
  readonly #pending: PendingAppends;
  /** The waiting appends of each tenant; the next one comes first. */
  readonly #queues = new Map<string, Pending[]>();
  #scheduled = false;
  #swept_room = 0;
  #checkpoint_ms = 0;
  #written = false;
  #failing = false;
  /** Tenants whose last message could not be delivered, so that one overflow is one event. */
  readonly #undelivered = new Set<string>();
  /** Tenants that have used up their share of the file, and when a message was last refused, by the log's clock. */
  readonly #full = new Map<string, number>();

  constructor(options: EmbeddedLogsOptions) {
    const { file, clocks } = options;
    this.options = options;
    this.#pending = new PendingAppends(options.limits);
    this.rows = file.rows;
    this.#began_ms = clocks.monotonic_ms();
    this.clock = new LogClock(clocks, file.guard(() => this.rows.newestTime()));
  }

  /** Opens the tenant's log; creates it if missing, and raises its retention if needed. */
  open(tenant_id: string, retention: Retention): DurableLog {
    tenantLogPattern(tenant_id);
    this.options.file.assertOpen();
    const log = this.#logs.get(tenant_id) ?? this.#open(tenant_id, retention);
    log.grow(retention, false);
    return log;
  }

  /** The tenant's log; undefined: it has none. */
  existing(tenant_id: string): DurableLog | undefined {
    tenantLogPattern(tenant_id);
    const row = this.options.file.ask((rows) => rows.log(tenant_id));
    return row && this.open(tenant_id, LEAST_RETENTION);
  }

  /** Adds an append to the next transaction. Throws, or resolves once it is stored. */
  append(log: EmbeddedLog, append: Append): Promise<Appended> {
    this.options.file.assertOpen();
    const { payload, headers, room_id } = append;
    const { tenant_id } = log;
    const subject = roomSubject("in", tenant_id, room_id);
    const bytes = payload.length + headerBytes(headers) + HEADER_BYTES;
    assertSize(bytes, this.options.payload_bytes_max);
    this.#pending.take(tenant_id, payload.length);
    const { promise, resolve, reject } = Promise.withResolvers<Appended>();
    const copy = { ...append, payload: payload.slice(), headers: { ...headers } };
    const pending = { log, append: copy, subject, resolve, reject };
    const queue = this.#queues.get(tenant_id);
    if (queue === undefined) this.#queues.set(tenant_id, [pending]);
    else queue.push(pending);
    this.#schedule();
    return promise;
  }

  report(): StorageReport {
    const { file, limits: { log_bytes } } = this.options;
    const used_bytes = file.usedBytes();
    return {
      used_bytes,
      promised_bytes: used_bytes,
      limit_bytes: log_bytes,
      logs: this.rows.logs(),
      shared_streams: 0,
      unbounded: [],
    };
  }

  /** Stores every queued append now. */
  flush(): void {
    while (this.#queues.size > 0) this.#commit(this.#take());
  }

  /** Throws `log-unavailable` if this many bytes cannot be written. */
  prove(size_bytes: number): void {
    const { file, limits } = this.options;
    file.prove(Math.min(size_bytes, limits.log_bytes / 16));
  }

  /** Stores what is queued and closes the file. */
  close(): void {
    this.flush();
    const { file } = this.options;
    this.#guarded(() =>
      file.transaction(() => {
        for (const { row } of this.#logs.values()) this.rows.settle(row.id);
      })
    );
    file.close();
  }

  #open(tenant_id: string, retention: Retention): EmbeddedLog {
    const { file } = this.options;
    const row = file.guard(() => this.rows.log(tenant_id));
    const log = row ? continueLog(this, tenant_id, row) : this.#make(tenant_id, retention);
    this.#logs.set(tenant_id, log);
    return log;
  }

  #make(tenant_id: string, retention: Retention): EmbeddedLog {
    const incarnation = this.clock.now().toString(36) + newLifeId(Math.random);
    const stream = `LOG_${tenant_id}_${incarnation}`;
    const lives = [{ name: stream, first: 0 }];
    const row = this.options.file.transaction(() => {
      this.rows.addLog(tenant_id, stream, retention);
      const made = this.rows.log(tenant_id)!;
      this.rows.saveLives(made.id, lives);
      return made;
    });
    return new EmbeddedLog(tenant_id, row, lives, this);
  }

  #schedule(later: (job: () => void) => void = setImmediate): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    later(() => {
      this.#scheduled = false;
      if (this.#queues.size > 0) this.#commit(this.#take());
      if (this.#queues.size > 0) this.#schedule(nextTurn);
    });
  }

  /** The next batch: each waiting tenant has an equal part, in the order of its appends, and then goes to the end. */
  #take(): Pending[] {
    const batch: Pending[] = [];
    const part = Math.ceil(BATCH_MESSAGES / this.#queues.size);
    let bytes = 0;
    for (const [tenant_id, queue] of this.#queues) {
      const most = Math.min(part, BATCH_MESSAGES - batch.length, queue.length);
      let count = 0;
      while (count < most && bytes <= BATCH_BYTES) bytes += queue[count++]!.append.payload.length;
      if (count === 0) break;
      for (const one of queue.splice(0, count)) {
        this.#pending.release(tenant_id, one.append.payload.length);
        batch.push(one);
      }
      this.#queues.delete(tenant_id);
      if (queue.length > 0) this.#queues.set(tenant_id, queue);
    }
    return batch;
  }

  #commit(batch: readonly Pending[]): void {
    let taken: readonly (Taken | NotTaken)[];
    try {
      taken = this.#store(batch);
      this.#healthy();
    } catch (error) {
      // One tenant's overflow must not refuse another's messages.
      const logs = Map.groupBy(batch, ({ log }) => log);
      if (logs.size > 1) return logs.forEach((part) => this.#commit(part));
      this.#failed(error);
      for (const { reject } of batch) reject(error);
      return;
    }
    batch.forEach(({ log, append, subject, resolve, reject }, at) => {
      const stored = taken[at] as Taken | NotTaken;
      if (stored === "moved") return reject(new ArqonError("version-conflict", MOVED));
      this.#noteFull(log.tenant_id, stored === "full");
      if (stored === "full") return reject(new ArqonError("log-unavailable", TENANT_FULL));
      const { appended, time_ms, previous } = stored;
      if (!appended.duplicate) {
        this.#deliver(log.tenant_id, subject, append.payload, {
          ...append.headers,
          [LOG_STREAM_HEADER]: appended.stream,
          [LOG_OFFSET_HEADER]: String(appended.offset),
          [LOG_PREVIOUS_HEADER]: String(previous),
          [LOG_TIME_HEADER]: isoOf(time_ms),
        });
      }
      const { duplicate, offset } = appended;
      resolve(duplicate ? { ...appended, stream: lifeAt(log.lives, offset).name } : appended);
    });
  }

  /** Stores a batch: all of its appends except those of full tenants; if it throws, it stored none. */
  #store(batch: readonly Pending[]): readonly (Taken | NotTaken)[] {
    const { file, limits } = this.options;
    const now_ms = this.clock.now();
    const forgotten_ms = this.#forgottenTime();
    this.#reserve(batch);
    const space = spaceOf(file.freeBytes(), limits);
    const stored = new Map<EmbeddedLog, LogRow>();
    const unsaved = new Set(batch.map(({ log }) => log).filter(({ is_saved }) => !is_saved));
    const writers = new Map<EmbeddedLog, LogWriter>();
    const taken = file.transaction(() => {
      for (const { row, lives } of unsaved) this.rows.saveLives(row.id, lives);
      const all = batch.map(({ log, append }) => {
        const writer = writers.get(log) ??
          new LogWriter(this.rows, log.row, {
            now_ms,
            shown_ms: this.shownTime() - log.row.history_ttl_seconds * 1_000,
            cutoff_ms: this.#cutoffOf(log.row),
            forgotten_ms,
          }, space);
        writers.set(log, writer);
        return writer.take(append);
      });
      for (const [log, writer] of writers) stored.set(log, writer.finish());
      return all;
    });
    for (const [log, row] of stored) log.row = row;
    for (const writer of writers.values()) writer.settle();
    for (const log of unsaved) log.is_saved = true;
    this.#written = true;
    return taken;
  }

  /**
   * Reserves offsets. A power cut may lose messages whose offsets clients already know. To never reuse these offsets, a
   * range of offsets is written to the disk before any of them is assigned.
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
      // The message is stored. Subscribers detect the gap by the next message or by this report.
      if (this.#undelivered.has(tenant_id)) return;
      this.#undelivered.add(tenant_id);
      this.options.onUndelivered(tenant_id);
    }
  }

  shownTime(): number {
    return Math.min(this.clock.now(), this.options.clocks.now());
  }

  deletionTime(age_ms: number): number {
    const { clocks, steps } = this.options;
    if (this.#believed === undefined && steps.isBelieved()) this.#believed = steadyTime(clocks);
    const wall_ms = this.#believed?.() ?? (steps.isBelieved(age_ms) ? clocks.now() : 0);
    return Math.min(this.clock.now(), wall_ms);
  }

  /** Keys of earlier messages are forgotten: those of a former process only once this one runs for that long. */
  #forgottenTime(): number {
    const run_ms = this.options.clocks.monotonic_ms() - this.#began_ms;
    return run_ms < LOG_DEDUPLICATION_MS ? 0 : this.clock.now() - LOG_DEDUPLICATION_MS;
  }

  /** Unix ms: messages of a log that keeps them so long are removed if they are older. */
  readonly #cutoffOf = ({ history_ttl_seconds }: Retained): number => {
    const ttl_ms = history_ttl_seconds * 1_000;
    return this.deletionTime(ttl_ms) - ttl_ms;
  };

  /** Removes expired and surplus messages of some rooms. Failures are logged. */
  expire(): void {
    this.#guarded(() => {
      const { file, limits } = this.options;
      const now_ms = this.clock.now();
      file.transaction(() => {
        this.rows.removeRepeats(this.#forgottenTime(), SWEEP_KEYS);
        this.#swept_room = sweepRooms(this.rows, this.#swept_room, this.#cutoffOf);
      });
      if (limits.synchronous !== "normal" || !this.#written || now_ms < this.#checkpoint_ms) return;
      file.checkpoint();
      this.#written = false;
      this.#checkpoint_ms = now_ms + CHECKPOINT_MS;
    });
  }

  /** Runs background work: a failure is logged. */
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

  /**
   * Records whether a tenant is full. Near the bound some appends are stored and others refused, so it logs only the
   * beginning and the end.
   */
  #noteFull(tenant_id: string, is_full: boolean): void {
    const since_ms = this.#full.get(tenant_id);
    if (!is_full && since_ms === undefined) return;
    const { log } = this.options;
    const now_ms = this.clock.now();
    if (is_full) {
      this.#full.set(tenant_id, now_ms);
      if (since_ms !== undefined) return;
      log.warn("a tenant's durable rooms have their share of the log", { tenant_id });
    } else if (now_ms - (since_ms ?? 0) > FULL_MS) {
      this.#full.delete(tenant_id);
      log.info("a tenant's durable rooms take messages again", { tenant_id });
    }
  }

  #healthy(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.options.log.info("the log of the durable rooms is written again");
  }
}

/** Continues the tenant's log in a new life. */
function continueLog(logs: EmbeddedLogs, tenant_id: string, stored: LogRow): EmbeddedLog {
  const { rows, options: { file, log: logger } } = logs;
  const before = file.guard(() => rows.lives(stored.id));
  const lives = withLife(before, `${stored.stream}~${newLifeId(Math.random)}`, stored.last + 1);
  const { name: stream } = newestLife(lives);
  // Messages lost in a power cut had offsets up to `reserved`: not even a new life reuses them.
  const row = { ...stored, stream, last: Math.max(stored.last, stored.reserved) };
  const log = new EmbeddedLog(tenant_id, row, lives, logs);
  try {
    file.transaction(() => rows.saveLives(row.id, lives));
  } catch (error) {
    // A full disk must not prevent reads. The life is saved before the first message.
    log.is_saved = false;
    logger.warn("the life of a log is not written yet", { tenant_id, error });
  }
  return log;
}
