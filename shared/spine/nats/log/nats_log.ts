/**
 * The JetStream stream of a log, of one tenant or of several: knows its present name, finds it again when it is lost,
 * and queues the appends in order meanwhile. One tenant's view is in `nats_log_tenant.ts`, the requests are in the
 * other `nats_log_*.ts`, all logs of a connection in `nats_logs.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type {
  Appended,
  LogLimits,
  LogStatus,
  Retention,
  RoomHead,
} from "../../contract/durable_log.ts";
import { lifeAt, type Lives, newestLife } from "../../contract/lives.ts";
import type { Link } from "../connection/nats_link.ts";
import { insist, logError, StreamLost } from "../connection/nats_errors.ts";
import { fromStored } from "./nats_log_api.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import { HeldAppends, takesBatches } from "./nats_log_append.ts";
import type { Append, AppendLane, AppendLog, Missed } from "./nats_log_append.ts";
import { Samples, ServerClock } from "./nats_log_clock.ts";
import {
  changeStream,
  largerRetention,
  openStream,
  relied,
  retentionOf,
} from "./nats_log_stream.ts";
import type { LogPlace, StreamTools, StreamWish } from "./nats_log_stream.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import { StreamLives, type StreamLivesTools, type Tail } from "./nats_log_lives.ts";
import type { Reading } from "./nats_log_read.ts";
import { ALL, isLowered, Purges, type StreamLimits } from "./nats_log_erasures.ts";
import type { GuardedStreams } from "../stores/nats_guarded.ts";
import type { NatsStorage } from "./nats_storage.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";

/** What the streams of one connection share. */
export interface LogTools extends StreamTools, StreamLivesTools {
  readonly limits: LogLimits;
  readonly link: Link;
  readonly api: LogApi;
  readonly inbox: Inbox;
  readonly lane: AppendLane;
  readonly storage: NatsStorage;
  readonly guarded: GuardedStreams;
  /** Whether this process receives purge requests. */
  seesPurges(): boolean;
  /** Called when the log has moved to another stream. */
  onAnotherStream(log: StreamLog): void;
}

/** Interval between attempts to bound an unbounded stream while clients publish, in ms. */
const BOUND_AGAIN_MS = 5_000;
/** How old a shared answer for another tenant of the stream may be. */
const RECENT_MS = 1_000;

/** One stream, or its successor. */
export class StreamLog implements AppendLog {
  readonly place: LogPlace;
  readonly #tools: LogTools;
  readonly #clock: ServerClock;
  /** The largest retention requested here. */
  #retention: Retention;
  /** Whether the stream is still the known one. */
  readonly #lives: StreamLives;
  /** Live messages may have been missed, and subscribers have not been notified yet. */
  #is_unreported = false;
  #stream = "";
  /** Whether `#stream` accepts batches; undefined: not asked yet. */
  #batches: Promise<boolean> | undefined;
  #samples = new Samples();
  #sampled = "";
  readonly #purges = new Purges();
  /** The last reported limits. */
  #limits: StreamLimits | undefined;
  /** The bound of the stream; 0 or less: none. */
  #bound_bytes = 0;
  /** The last bound that was logged. */
  #logged_bytes: number | undefined;
  #bound_again_ms = 0;
  #recent: { readonly status: Promise<LogStatus>; readonly at_ms: number } | undefined;
  /** Set while the stream is being found; appends are queued meanwhile. */
  #opening: Promise<void> | undefined;
  /** Appends under way, and the callers that wait until there are none. */
  #underWay = 0;
  #whenNone: (() => void) | undefined;
  readonly #waiting = new HeldAppends();

  constructor(tools: LogTools, place: LogPlace, retention: Retention) {
    this.#tools = tools;
    this.place = place;
    this.#retention = retention;
    this.#clock = new ServerClock(tools.link.monotonic);
    this.#lives = new StreamLives(tools);
  }

  get stream_name(): string {
    return this.#stream;
  }

  get stream(): string {
    return newestLife(this.lives).name;
  }

  get lives(): Lives {
    return this.#lives.lives;
  }

  /** What this process knows of the stream, for other processes when this one ends; undefined: nothing. */
  get tail(): Tail | undefined {
    return this.#lives.is_proven ? this.#lives.tail : undefined;
  }

  get is_proven(): boolean {
    return this.#lives.is_proven;
  }

  lifeOf(stream: string, offset: number): string {
    return stream === this.#stream ? lifeAt(this.lives, offset).name : stream;
  }

  get held(): boolean {
    return this.#opening !== undefined || !this.is_proven;
  }

  /** The stream must be compared with the known one before any other use. */
  doubt(): void {
    this.#recent = undefined;
    this.#lives.doubt();
  }

  /** Another client purges those subjects; undefined: purges can no longer be observed. */
  purged(filter: string | undefined): void {
    if (filter === undefined) this.#purges.deafen();
    else this.#purges.noteRequest(filter, this.#tools.link.monotonic());
  }

  /** Records that purges are observed from the present end on. Rejects as `ask`. */
  async observe(): Promise<void> {
    await this.ask(async ({ stream, timeout_ms }) => {
      const { state } = await this.#info(stream, timeout_ms);
      if (this.#tools.seesPurges()) this.#purges.listen(state.last_seq);
    });
  }

  /** The settings that appends and reads rely on. */
  relied({ duplicate_window }: Partial<StreamConfig>): object {
    return relied(this.place, duplicate_window);
  }

  /** Another client requests that change of the stream: lower limits and some settings remove messages of any room. */
  requested(config: Partial<StreamConfig>, is_altered: boolean): void {
    if (is_altered || isLowered(config, this.#limits)) this.purged(ALL);
  }

  /** Finds the stream, creates it if missing, and releases the queued appends. One at a time. */
  open(): Promise<void> {
    return this.#opening ??= this.#open();
  }

  /** Throws `log-unavailable` while the stream has no bound, or the connection is down. */
  assertTakes(): void {
    const { link } = this.#tools;
    link.assertConnected();
    if (this.#bound_bytes > 0 || this.held) return;
    if (link.monotonic() >= this.#bound_again_ms) {
      this.#bound_again_ms = link.monotonic() + BOUND_AGAIN_MS;
      this.retain(this.#retention).catch(() => {}); // The next publish shows the result.
    }
    const { bytes_key, max_bytes } = this.place;
    const why = `nothing bounds the stream ${this.#stream}, for NATS has no room to promise it ` +
      `${bytes_key} = ${max_bytes} of [durable]; ${STORAGE_REMEDY}`;
    throw new ArqonError("log-unavailable", why);
  }

  #noteBound({ name, max_bytes }: StreamConfig): void {
    this.#bound_bytes = max_bytes;
    this.#tools.storage.note(name, max_bytes);
  }

  /** Records the bound of an opened or changed stream; logs it if it is not the requested one. */
  #settleBound({ config }: StreamInfo): void {
    const { bytes_key, max_bytes: wanted_bytes, owner } = this.place;
    this.#noteBound(config);
    const { name: stream, max_bytes } = config;
    const is_logged = this.#logged_bytes === max_bytes;
    this.#logged_bytes = max_bytes;
    if (max_bytes === wanted_bytes || is_logged) return;
    this.#tools.link.log.warn(
      `NATS cannot promise ${bytes_key}: a log keeps the bound that it has`,
      {
        ...owner,
        stream,
        bound_bytes: max_bytes > 0 ? max_bytes : "none",
        [bytes_key]: wanted_bytes,
        remedy: STORAGE_REMEDY,
      },
    );
  }

  async head(subject: string): Promise<RoomHead> {
    const { api } = this.#tools;
    return await this.ask(async ({ stream, timeout_ms }) => {
      const [stored, { state }] = await Promise.all([
        api.message(stream, subject, "newest", timeout_ms),
        this.#info(stream, timeout_ms),
      ]);
      const last = stored === undefined ? undefined : fromStored(stored);
      const log_offset = Math.max(state.last_seq, last?.offset ?? 0);
      return { stream: this.stream, last, log_offset };
    });
  }

  /** True if the stream already has at least this retention. */
  covers(retention: Retention): boolean {
    const most = largerRetention(this.#retention, retention);
    const { history_size, history_ttl_seconds, replicas } = this.#retention;
    return most.history_size === history_size && most.replicas === replicas &&
      most.history_ttl_seconds === history_ttl_seconds;
  }

  /** As `DurableLog.retain`. */
  async retain(retention: Retention, shrink = false): Promise<void> {
    this.#retention = shrink ? retention : largerRetention(this.#retention, retention);
    await this.ask(async ({ stream, timeout_ms }) => {
      const info = await this.#info(stream, timeout_ms);
      const changed = await changeStream(this.#tools, info, this.#wish(), shrink, timeout_ms);
      this.#settleBound(changed);
    });
  }

  /** Whether the stream accepts batches; enables them if the server supports them. Rejects as `ask`. */
  takesBatches(): Promise<boolean> {
    return this.#batches ??= this.#allowBatches().catch((error) => {
      this.#batches = undefined;
      throw error;
    });
  }

  /** Called when the stream refused a batch: another process may have disabled them. */
  forgetBatches(): void {
    this.#batches = undefined;
  }

  async #allowBatches(): Promise<boolean> {
    const { api, link } = this.#tools;
    if (!takesBatches(link.connection.info)) return false;
    return await this.ask(async ({ stream, timeout_ms }) => {
      const { config } = await this.#info(stream, timeout_ms);
      if (config.allow_atomic === true) return true;
      const changed = await api.update({ ...config, allow_atomic: true }, timeout_ms);
      return changed.config.allow_atomic === true;
    });
  }

  /** The result of the last `status`, if it was called less than a second ago. */
  get recent_status(): Promise<LogStatus> | undefined {
    const { status, at_ms = 0 } = this.#recent ?? {};
    return this.#tools.link.monotonic() - at_ms < RECENT_MS ? status : undefined;
  }

  status(): Promise<LogStatus> {
    const status = this.#status();
    const recent = { status, at_ms: this.#tools.link.monotonic() };
    this.#recent = recent;
    // The next call tries again.
    status.catch(() => {
      if (this.#recent === recent) this.#recent = undefined;
    });
    return status;
  }

  async #status(): Promise<LogStatus> {
    return await this.ask(async ({ stream, timeout_ms }) => {
      const tail = this.#lives.tail;
      const info = await this.#tools.api.info(stream, timeout_ms);
      this.#noteBound(info.config);
      await this.#lives.compare(info, tail, timeout_ms);
      const { config, state: { messages, bytes, last_seq: log_offset } } = info;
      return { ...retentionOf(config), stream: this.stream, messages, bytes, log_offset };
    });
  }

  now(): number {
    return this.#clock.now();
  }

  stored({ stream, offset, duplicate }: Appended): void {
    if (duplicate || stream !== this.stream || this.#lives.stored(offset)) return;
    // The offset had been assigned before: this is not the known log.
    this.doubt();
    this.#tools.onAnotherStream(this);
  }

  queue(append: Append): void {
    this.#waiting.queue(append);
    this.#openSoon();
  }

  retry(append: Append, why: Missed): void {
    this.#waiting.retry(append, why);
    this.#openSoon();
  }

  started(): void {
    this.#underWay++;
  }

  settled(): void {
    this.#underWay--;
    if (this.#underWay === 0) this.#whenNone?.();
  }

  /** Opens the stream for queued appends. */
  #openSoon(): void {
    // They are rejected then.
    this.open().catch(() => {});
  }

  #wish(): StreamWish {
    const { link } = this.#tools;
    const replicas_default = link.replicas;
    return { place: this.place, retention: this.#retention, replicas_default };
  }

  async #info(stream: string, timeout_ms: number): Promise<StreamInfo> {
    const asked_ms = this.#tools.link.monotonic();
    const tail = this.#lives.tail;
    const info = await this.#tools.api.info(stream, timeout_ms);
    const { stream: life } = this;
    this.#lives.receive(info, tail);
    this.#receive(info, asked_ms);
    if (life !== this.stream) this.#tools.onAnotherStream(this);
    return info;
  }

  /** Records the stream's name, clock, limits and bound from an answer of the leader. */
  #receive({ config, state, created, ts }: StreamInfo, asked_ms: number): void {
    this.#clock.note(ts, asked_ms);
    if (config.name !== this.#stream) {
      const { guarded, storage } = this.#tools;
      storage.forget(this.#stream);
      guarded.guard(this.#stream, undefined);
      guarded.guard(config.name, this);
      this.#batches = undefined;
    }
    this.#stream = config.name;
    if (this.#sampled !== this.stream) {
      this.#sampled = this.stream;
      this.#samples = new Samples();
      this.#samples.note(0, Date.parse(created), config.max_age / 1e6);
    }
    this.#samples.note(state.last_seq, Date.parse(ts), config.max_age / 1e6);
    this.#purges.note(state.last_seq, asked_ms);
    this.#limits = config;
    this.#noteBound(config);
  }

  async #open(): Promise<void> {
    const { link } = this.#tools;
    const before = this.#stream;
    const life = this.stream;
    try {
      // Appends under way to the old stream may have to be sent first to the new one.
      while (this.#underWay > 0) {
        await new Promise<void>((resolve) => this.#whenNone = resolve);
      }
      await insist(link, async (timeout_ms) => {
        const asked_ms = link.monotonic();
        const info = await openStream(this.#tools, this.#wish(), timeout_ms);
        const proven = await this.#lives.prove(info, timeout_ms);
        this.#receive(proven, asked_ms);
        // The subscription already exists, or was restored with the connection.
        if (this.#tools.seesPurges()) this.#purges.listen(proven.state.last_seq);
        this.#settleBound(proven);
      });
    } catch (error) {
      const refusal = logError(link, error);
      this.#opening = undefined;
      this.#waiting.letGo((append) => append.fail(refusal));
      throw refusal;
    }
    const { lane } = this.#tools;
    const found = this.#stream !== before;
    this.#opening = undefined;
    this.#waiting.letGo((append, why) => {
      if (why === "nobody" && !found) append.refuse("log-unavailable", "its stream has no leader");
      else lane.send(append);
    });
    if (before !== "" && (this.#is_unreported || life !== this.stream)) {
      this.#tools.onAnotherStream(this);
    }
    this.#is_unreported = false;
  }

  /** Sends a request to the stream; if the stream is lost, finds it and retries once. */
  async ask<T>(ask: (reading: Reading) => Promise<T>): Promise<T> {
    const { api, inbox, link } = this.#tools;
    const purgedThrough = (subject: string) => this.#purges.through(subject);
    const reading = { api, inbox, purgedThrough };
    for (let attempt = 1;; attempt++) {
      if (this.held) await this.open();
      link.assertConnected();
      const stream = this.#stream;
      try {
        return await insist(
          link,
          (timeout_ms) => ask({ ...reading, stream, timeout_ms, samples: this.#samples }),
        );
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        if (attempt > 1) throw new ArqonError("log-unavailable", error.message, { cause: error });
      }
      if (stream !== this.#stream) continue;
      this.doubt();
      this.#is_unreported = true;
    }
  }
}
