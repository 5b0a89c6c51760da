/**
 * The stream of a log on JetStream, of one tenant or of several: holds what it is called now, looks for
 * it when it is lost, and keeps the appends in their order meanwhile. What it is to one tenant is in
 * `nats_log_tenant.ts`, the requests in the `nats_log_*.ts` beside it, all of a connection in
 * `nats_logs.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type {
  Appended,
  LogLimits,
  LogStatus,
  Retention,
  RoomHead,
} from "../../contract/durable_log.ts";
import { lifeAt, newestLife } from "../../contract/lives.ts";
import type { Lives } from "../../contract/lives.ts";
import type { Link } from "../connection/nats_link.ts";
import { insist, logError, StreamLost } from "./nats_log_api.ts";
import type { LogApi, StreamInfo } from "./nats_log_api.ts";
import type { Append, AppendLane, AppendLog, Missed } from "./nats_log_append.ts";
import { LogClock, Samples } from "./nats_log_clock.ts";
import { largerRetention, retentionOf } from "./nats_log_config.ts";
import type { StreamWish } from "./nats_log_config.ts";
import { takesBatches } from "./nats_log_batch.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import { type BoundTools, StreamBound } from "./nats_log_bound.ts";
import { HeldAppends } from "./nats_log_held.ts";
import { StreamLives } from "./nats_log_lives.ts";
import type { StreamLivesTools } from "./nats_log_lives.ts";
import type { Tail } from "./nats_log_witness.ts";
import { fromStored } from "./nats_log_message.ts";
import type { LogPlace } from "./nats_log_place.ts";
import type { Reading } from "./nats_log_read.ts";
import { ALL, isLowered, Purges } from "./nats_log_purges.ts";
import type { StreamLimits } from "./nats_log_purges.ts";
import { changeStream, openStream } from "./nats_log_stream.ts";
import type { StreamTools } from "./nats_log_stream.ts";
import type { NatsStorage } from "./nats_storage.ts";

/** What one stream shares with the others of its connection. */
export interface LogTools extends StreamTools, StreamLivesTools, BoundTools {
  readonly limits: LogLimits;
  readonly link: Link;
  readonly api: LogApi;
  readonly inbox: Inbox;
  readonly lane: AppendLane;
  readonly storage: NatsStorage;
  /** Bytes that a message may have with its headers. */
  payload_bytes_max(): number;
  /** Whether this process learns of purges. */
  hearsPurges(): boolean;
  /** Called when the log has another stream than before. */
  onAnotherStream(log: StreamLog): void;
}

/** How old an answer may be that another tenant of the stream has got. */
const RECENT_MS = 1_000;

/** One stream, or the one that comes after it. */
export class StreamLog implements AppendLog {
  readonly place: LogPlace;
  readonly #tools: LogTools;
  readonly #clock: LogClock;
  /** The most that was asked for here. */
  #retention: Retention;
  /** Whether the stream still is the one that was known. */
  readonly #lives: StreamLives;
  /** Live messages may not have been taken, and nobody has told those who receive the log. */
  #is_untold = false;
  #stream = "";
  /** Whether `#stream` takes batches; undefined: nobody has asked for that. */
  #batches: Promise<boolean> | undefined;
  /** Of the life `#sampled`. */
  #samples = new Samples();
  #sampled = "";
  readonly #purges = new Purges();
  /** As it was heard last. */
  #limits: StreamLimits | undefined;
  /** Of `#stream`. */
  readonly #bound: StreamBound;
  #recent: { readonly status: Promise<LogStatus>; readonly at_ms: number } | undefined;
  /** While the stream is looked for; appends wait meanwhile. */
  #opening: Promise<void> | undefined;
  /** Appends on their way, and who waits until there are none. */
  #underWay = 0;
  #whenNone: (() => void) | undefined;
  readonly #waiting = new HeldAppends();

  constructor(tools: LogTools, place: LogPlace, retention: Retention) {
    this.#tools = tools;
    this.place = place;
    this.#retention = retention;
    this.#clock = new LogClock(tools.monotonic);
    this.#lives = new StreamLives(tools);
    this.#bound = new StreamBound(tools, place);
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

  /** What this process knows of it, for the others at its end; undefined: nothing. */
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

  /** What comes back must be compared with what was known, before anything else is done with it. */
  doubt(): void {
    this.#recent = undefined;
    this.#lives.doubt();
  }

  /** Somebody purges those subjects; undefined: it may have happened, and nobody is notified of it any longer. */
  purged(filter: string | undefined): void {
    if (filter === undefined) this.#purges.deafen();
    else this.#purges.hear(filter, this.#tools.monotonic());
  }

  /** Somebody asks for that change of the stream: lower limits remove messages of any room. */
  updated(request: Uint8Array): void {
    if (isLowered(request, this.#limits)) this.purged(ALL);
  }

  /** Looks for the stream, makes it when there is none, and lets go what is queued. One at a time. */
  open(): Promise<void> {
    return this.#opening ??= this.#open();
  }

  /** Throws `log-unavailable` while nothing bounds the stream, or the connection is down. */
  assertTakes(): void {
    this.#tools.link.assertConnected();
    if (this.#bound.is_bounded || this.held) return;
    this.#bound.refuse(this.#stream, () => this.retain(this.#retention));
  }

  /** As `DurableLog.head`, of the room with this subject. */
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

  /** True when the stream was asked to keep at least so much before. */
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
      this.#bound.settle(changed);
    });
  }

  /** Whether the stream takes batches; it is made to where the server can do it. Rejects as `ask`. */
  takesBatches(): Promise<boolean> {
    return this.#batches ??= this.#allowBatches().catch((error) => {
      this.#batches = undefined;
      throw error;
    });
  }

  /** The stream has refused one: another process may have taken it back. */
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

  /** What `status` answers that was called last, if that is less than a second ago. */
  get recent_status(): Promise<LogStatus> | undefined {
    const { status, at_ms = 0 } = this.#recent ?? {};
    return this.#tools.monotonic() - at_ms < RECENT_MS ? status : undefined;
  }

  /** As `DurableLog.status`. */
  status(): Promise<LogStatus> {
    const status = this.#status();
    const recent = { status, at_ms: this.#tools.monotonic() };
    this.#recent = recent;
    // Who asks next tries anew.
    status.catch(() => {
      if (this.#recent === recent) this.#recent = undefined;
    });
    return status;
  }

  async #status(): Promise<LogStatus> {
    return await this.ask(async ({ stream, timeout_ms }) => {
      const asked = this.#lives.tail;
      const info = await this.#tools.api.info(stream, timeout_ms);
      this.#bound.note(info.config);
      await this.#lives.compare(info, asked, timeout_ms);
      const { config, state: { messages, bytes, last_seq: log_offset } } = info;
      return { ...retentionOf(config), stream: this.stream, messages, bytes, log_offset };
    });
  }

  now(): number {
    return this.#clock.now();
  }

  stored({ stream, offset, duplicate }: Appended): void {
    if (duplicate || stream !== this.stream || this.#lives.stored(offset)) return;
    // An offset that the log had given before: it is not the log that it was.
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

  /** For those who wait in a queue, and are notified when it fails. */
  #openSoon(): void {
    this.open().catch(() => {});
  }

  #wish(): StreamWish {
    const { link } = this.#tools;
    const replicas_default = link.connection.info?.cluster === undefined ? 1 : 3;
    return { place: this.place, retention: this.#retention, replicas_default };
  }

  async #info(stream: string, timeout_ms: number): Promise<StreamInfo> {
    const asked_ms = this.#tools.monotonic();
    const asked = this.#lives.tail;
    const info = await this.#tools.api.info(stream, timeout_ms);
    const { stream: life } = this;
    this.#lives.hear(info, asked);
    this.#hear(info, asked_ms);
    if (life !== this.stream) this.#tools.onAnotherStream(this);
    return info;
  }

  /** Takes what an answer of the leader tells beside what was asked. */
  #hear({ config, state, created, ts }: StreamInfo, asked_ms: number): void {
    this.#clock.hear(ts, asked_ms);
    if (config.name !== this.#stream) {
      this.#tools.storage.forget(this.#stream);
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
    this.#bound.note(config);
  }

  async #open(): Promise<void> {
    const { link, monotonic } = this.#tools;
    const [before, life] = [this.#stream, this.stream];
    try {
      // What is under way to the old stream may have to go first to the new one.
      while (this.#underWay > 0) {
        await new Promise<void>((resolve) => this.#whenNone = resolve);
      }
      await insist(link, monotonic, async (timeout_ms) => {
        const asked_ms = monotonic();
        const info = await openStream(this.#tools, this.#wish(), timeout_ms);
        const proven = await this.#lives.prove(info, timeout_ms);
        this.#hear(proven, asked_ms);
        // The subscription was made before, or came back with the connection.
        if (this.#tools.hearsPurges()) this.#purges.listen(proven.state.last_seq);
        this.#bound.settle(proven);
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
    if (before !== "" && (this.#is_untold || life !== this.stream)) {
      this.#tools.onAnotherStream(this);
    }
    this.#is_untold = false;
  }

  /** Asks the stream; one that is lost is looked for once, and asked again. */
  async ask<T>(ask: (reading: Reading) => Promise<T>): Promise<T> {
    const { api, inbox, link, monotonic } = this.#tools;
    const purgedThrough = (subject: string) => this.#purges.through(subject);
    const reading = { api, inbox, purgedThrough };
    for (let attempt = 1;; attempt++) {
      if (this.held) await this.open();
      link.assertConnected();
      const stream = this.#stream;
      try {
        return await insist(
          link,
          monotonic,
          (timeout_ms) => ask({ ...reading, stream, timeout_ms, samples: this.#samples }),
        );
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        if (attempt > 1) throw new ArqonError("log-unavailable", error.message, { cause: error });
      }
      if (stream !== this.#stream) continue;
      this.doubt();
      this.#is_untold = true;
    }
  }
}
