/**
 * The log of one tenant on JetStream: holds what the tenant's stream is called now, looks for it when
 * it is lost, and keeps the appends in their order meanwhile. The requests are in the `nats_log_*.ts`
 * beside it, all logs of a connection in `nats_logs.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { logSubject } from "../subject.ts";
import { assertSize, headerBytes } from "./check.ts";
import type {
  Appended,
  AppendOptions,
  DurableLog,
  LogLimits,
  LogPage,
  LogRead,
  LogReadBack,
  LogStatus,
  Retention,
  RoomHead,
} from "./durable_log.ts";
import { BLOCK_BYTES, headerLines } from "./nats_headers.ts";
import type { Link } from "./nats_link.ts";
import { insist, logError, StreamLost } from "./nats_log_api.ts";
import type { LogApi, StreamInfo } from "./nats_log_api.ts";
import type { Append, AppendLane, AppendLog, Missed } from "./nats_log_append.ts";
import { LogClock } from "./nats_log_clock.ts";
import { largerRetention, retentionOf } from "./nats_log_config.ts";
import type { StreamWish } from "./nats_log_config.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import { fromStored, messageId } from "./nats_log_message.ts";
import { countFrom, readBackward, readForward, readHeads } from "./nats_log_read.ts";
import type { Reading } from "./nats_log_read.ts";
import { Samples } from "./nats_log_samples.ts";
import { changeStream, openStream, trimStream } from "./nats_log_stream.ts";
import type { StreamTools } from "./nats_log_stream.ts";

/** What one log shares with the others of its connection. */
export interface LogTools extends StreamTools {
  readonly link: Link;
  readonly api: LogApi;
  readonly inbox: Inbox;
  readonly lane: AppendLane;
  readonly limits: LogLimits;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
  /** Bytes that a message may have with its headers. */
  payload_bytes_max(): number;
  /** Called when the log has another stream than before. */
  onAnotherStream(log: NatsLog): void;
}

/** Headers that the engine adds to an append, without the message id. */
const OWN_HEADER_BYTES = 256;

/** One tenant's log. */
export class NatsLog implements DurableLog, AppendLog {
  readonly tenant_id: string;
  readonly #tools: LogTools;
  readonly #clock: LogClock;
  /** The most that was asked for here. */
  #retention: Retention;
  #stream = "";
  /** The highest offset of `#stream` that was acknowledged here. */
  #acknowledged = 0;
  /** Of `#stream`. */
  #samples = new Samples();
  /** While the stream is looked for; appends wait meanwhile. */
  #opening: Promise<void> | undefined;
  /** Appends on their way, and who waits until there are none. */
  #underWay = 0;
  #whenNone: (() => void) | undefined;
  #retries: { readonly append: Append; readonly why: Missed }[] = [];
  #queue: Append[] = [];

  constructor(tools: LogTools, tenant_id: string, retention: Retention) {
    this.#tools = tools;
    this.tenant_id = tenant_id;
    this.#retention = retention;
    this.#clock = new LogClock(tools.monotonic);
  }

  get stream(): string {
    return this.#stream;
  }

  get held(): boolean {
    return this.#opening !== undefined;
  }

  /** Looks for the stream, makes it when there is none, and lets go what waits. One at a time. */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  append(room_id: string, payload: Uint8Array, options: AppendOptions = {}): Promise<Appended> {
    try {
      return this.#append(room_id, payload, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async head(room_id: string): Promise<RoomHead> {
    const subject = logSubject(this.tenant_id, room_id);
    const { api } = this.#tools;
    const [known, expected] = [this.#stream, this.#acknowledged];
    return await this.#ask(async ({ stream, timeout_ms }) => {
      const [stored, { state }] = await Promise.all([
        api.message(stream, subject, "newest", timeout_ms),
        this.#info(stream, timeout_ms),
      ]);
      const last = stored === undefined ? undefined : fromStored(stored);
      const log_offset = Math.max(state.last_seq, last?.offset ?? 0);
      // A leader that was paused and does not know yet that there is another one.
      if (stream === known && log_offset < expected) throw new Error("the leader is behind");
      return { stream, last, log_offset };
    });
  }

  async heads(room_ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const rooms = new Map(room_ids.map((id) => [logSubject(this.tenant_id, id) as string, id]));
    const found = await this.#ask((reading) => readHeads(reading, [...rooms.keys()]));
    return new Map([...found].map(([subject, offset]) => [rooms.get(subject) ?? "", offset]));
  }

  async read(room_id: string, options: LogRead): Promise<LogPage> {
    const subject = logSubject(this.tenant_id, room_id);
    return await this.#ask((reading) => readForward(reading, subject, options));
  }

  async readBack(room_id: string, options: LogReadBack): Promise<LogPage> {
    const subject = logSubject(this.tenant_id, room_id);
    return await this.#ask((reading) => readBackward(reading, subject, options));
  }

  async count(room_id: string, from: number): Promise<number> {
    const subject = logSubject(this.tenant_id, room_id);
    return await this.#ask(async (reading) => (await countFrom(reading, subject, from)).count);
  }

  async trim(room_id: string, keep: number): Promise<void> {
    const subject = logSubject(this.tenant_id, room_id);
    await this.#ask(({ stream, timeout_ms }) =>
      trimStream(this.#tools, stream, subject, keep, timeout_ms)
    );
  }

  async retain(retention: Retention, shrink = false): Promise<void> {
    this.#retention = shrink ? retention : largerRetention(this.#retention, retention);
    await this.#ask(async ({ stream, timeout_ms }) => {
      const info = await this.#info(stream, timeout_ms);
      await changeStream(this.#tools, info, this.#wish(), shrink, timeout_ms);
    });
  }

  async status(): Promise<LogStatus> {
    return await this.#ask(async ({ stream, timeout_ms }) => {
      const { config, state } = await this.#info(stream, timeout_ms);
      const { messages, bytes, last_seq: log_offset } = state;
      return { ...retentionOf(config), stream, messages, bytes, log_offset };
    });
  }

  now(): number {
    return this.#clock.now();
  }

  stored({ stream, offset }: Appended): void {
    if (stream === this.#stream) this.#acknowledged = Math.max(this.#acknowledged, offset);
  }

  queue(append: Append): void {
    this.#queue.push(append);
  }

  retry(append: Append, why: Missed): void {
    this.#retries.push({ append, why });
    this.open().catch(() => {}); // Those who wait have been told.
  }

  started(): void {
    this.#underWay++;
  }

  settled(): void {
    this.#underWay--;
    if (this.#underWay === 0) this.#whenNone?.();
  }

  /** Throws what is wrong with it at once. */
  #append(
    room_id: string,
    payload: Uint8Array,
    { key, headers }: AppendOptions,
  ): Promise<Appended> {
    const { link, lane } = this.#tools;
    link.assertConnected();
    const subject = logSubject(this.tenant_id, room_id);
    const message_id = key === undefined ? undefined : messageId(room_id, key);
    const block_bytes = headerBytes(headers);
    const size_bytes = payload.length + block_bytes + OWN_HEADER_BYTES + (message_id?.length ?? 0);
    assertSize(size_bytes, this.#tools.payload_bytes_max());
    return lane.append(this, {
      subject,
      payload: payload.slice(),
      lines: headerLines(headers),
      lines_bytes: Math.max(0, block_bytes - BLOCK_BYTES),
      message_id,
      wire_bytes: size_bytes + subject.length,
    });
  }

  #wish(): StreamWish {
    const { link, limits } = this.#tools;
    const replicas_default = link.connection.info?.cluster === undefined ? 1 : 3;
    const { tenant_id } = this;
    return { tenant_id, retention: this.#retention, replicas_default, log_bytes: limits.log_bytes };
  }

  async #info(stream: string, timeout_ms: number): Promise<StreamInfo> {
    const asked_ms = this.#tools.monotonic();
    const info = await this.#tools.api.info(stream, timeout_ms);
    this.#hear(info, asked_ms);
    return info;
  }

  /** Takes what an answer of the leader tells beside what was asked. */
  #hear({ config, state, created, ts }: StreamInfo, asked_ms: number): void {
    this.#clock.hear(ts, asked_ms);
    if (config.name !== this.#stream) {
      this.#stream = config.name;
      this.#acknowledged = 0;
      this.#samples = new Samples();
      this.#samples.note(0, Date.parse(created), config.max_age / 1e6);
    }
    this.#samples.note(state.last_seq, Date.parse(ts), config.max_age / 1e6);
  }

  async #open(): Promise<void> {
    const { link, monotonic } = this.#tools;
    const before = this.#stream;
    try {
      // What is under way to the old stream may have to go first to the new one.
      while (this.#underWay > 0) {
        await new Promise<void>((resolve) => this.#whenNone = resolve);
      }
      await insist(link, monotonic, async (timeout_ms) => {
        const asked_ms = monotonic();
        const info = await openStream(this.#tools, this.#wish(), timeout_ms);
        this.#hear(info, asked_ms);
      });
    } catch (error) {
      const refusal = logError(link, error);
      this.#letGo((append) => append.fail(refusal));
      throw refusal;
    }
    const { lane } = this.#tools;
    const found = this.#stream !== before;
    this.#letGo((append, why) => {
      if (why === "nobody" && !found) append.refuse("log-unavailable", "its stream has no leader");
      else lane.send(append);
    });
    if (found && before !== "") this.#tools.onAnotherStream(this);
  }

  /** Ends the wait of the appends, in the order of their calls. */
  #letGo(end: (append: Append, why: Missed | undefined) => void): void {
    const retries = this.#retries.sort((left, right) => left.append.order - right.append.order);
    const queue = this.#queue;
    this.#retries = [];
    this.#queue = [];
    this.#opening = undefined;
    for (const { append, why } of retries) end(append, why);
    for (const append of queue) end(append, undefined);
  }

  /** Asks the stream; one that is lost is looked for once, and asked again. */
  async #ask<T>(ask: (reading: Reading) => Promise<T>): Promise<T> {
    const { api, inbox, link, monotonic } = this.#tools;
    for (let attempt = 1;; attempt++) {
      if (this.#opening !== undefined) await this.#opening;
      link.assertConnected();
      const stream = this.#stream;
      try {
        return await insist(
          link,
          monotonic,
          (timeout_ms) => ask({ api, inbox, stream, timeout_ms, samples: this.#samples }),
        );
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        if (attempt > 1) throw new ArqonError("log-unavailable", error.message, { cause: error });
      }
      if (stream === this.#stream) await this.open();
    }
  }
}
