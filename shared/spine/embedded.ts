/**
 * The embedded Spine: everything in this process, for `deno task dev` and small deployments. It
 * behaves like NATS where a caller can tell: payloads are copied, delivery is asynchronous and in
 * order, queues are bounded. Not for several processes: `data_dir` is locked by the one that has it.
 */
import { ArqonError } from "@arqon/proto";
import type { Subject, SubjectPattern } from "../subject.ts";
import { assertPattern, assertQueue, assertSize, assertSubject, headerBytes } from "./check.ts";
import { LOG_LIMITS } from "./durable_log.ts";
import type { DurableLog, LogLimits, Retention } from "./durable_log.ts";
import { EmbeddedKv, openStore } from "./embedded_kv.ts";
import type { KvStore } from "./embedded_kv.ts";
import { EmbeddedLogs } from "./embedded_log.ts";
import { openLogFile } from "./embedded_log_file.ts";
import type { LogFile } from "./embedded_log_file.ts";
import { EmbeddedObjects } from "./embedded_objects.ts";
import { LIMITS, PAYLOAD_BYTES } from "./embedded_options.ts";
import type { EmbeddedLimits, EmbeddedOptions } from "./embedded_options.ts";
import { assertBucket } from "./kv_key.ts";
import { Listeners } from "./listeners.ts";
import type {
  KeyValue,
  ObjectStore,
  RequestOptions,
  Spine,
  SpineEvent,
  SpineHeaders,
  SpineMessage,
  SpineState,
  SpineStatus,
  SubscribeOptions,
  Subscription,
} from "./spine.ts";
import { SubjectIndex } from "./subject_index.ts";
import { Turns } from "./turns.ts";

export type { EmbeddedLimits, EmbeddedOptions } from "./embedded_options.ts";

const NO_HEADERS: SpineHeaders = Object.freeze(Object.create(null));

interface Row {
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly handler: (message: SpineMessage) => void;
  closed: boolean;
  messages: number;
  bytes: number;
  /** Set while messages are being lost, so that one overflow is one event. */
  overflowing: boolean;
}

interface Waiter {
  resolve(message: SpineMessage): void;
  reject(error: ArqonError): void;
}

class EmbeddedSpine implements Spine {
  readonly payload_bytes_max = PAYLOAD_BYTES;
  readonly #options: EmbeddedOptions;
  readonly #limits: EmbeddedLimits;
  readonly #store: KvStore;
  readonly #logs: EmbeddedLogs;
  readonly #index = new SubjectIndex<Row>();
  readonly #turns: Turns;
  readonly #listeners: Listeners;
  readonly #waiters = new Map<string, Waiter>();
  readonly #buckets = new Map<string, EmbeddedKv>();
  #state: SpineState = "connected";
  #since_ms: number;
  #pending_bytes = 0;
  #slow_consumers = 0;
  #requests = 0;
  #drained: Promise<void> | undefined;

  constructor(options: EmbeddedOptions, store: KvStore, file: LogFile, log_limits: LogLimits) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#store = store;
    this.#since_ms = options.now();
    this.#turns = new Turns(options.now);
    this.#listeners = new Listeners(options.log);
    this.#logs = new EmbeddedLogs({
      file,
      limits: log_limits,
      clocks: { now: options.now, monotonic_ms: options.monotonic_ms ?? (() => performance.now()) },
      log: options.log,
      payload_bytes_max: PAYLOAD_BYTES,
      assertOpen: () => this.#assertConnected(),
      deliver: (...message) => void this.#send(...message, undefined),
      // In line behind what waits: by then there is room again.
      onUndelivered: (id) =>
        this.#turns.push(() => this.#listeners.emit({ type: "log", tenant_id: id })),
    });
  }

  get status(): SpineStatus {
    return {
      engine: "embedded",
      state: this.#state,
      since_ms: this.#since_ms,
      reconnects: 0,
      pending_bytes: this.#pending_bytes,
      slow_consumers: this.#slow_consumers,
    };
  }

  onEvent(listener: (event: SpineEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  publish(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void {
    this.#assertConnected();
    assertSubject(subject);
    this.#send(subject, payload, headers, undefined);
  }

  flush(): Promise<void> {
    if (this.#state === "connected") return this.#turns.settled();
    return Promise.reject(this.#unavailable());
  }

  subscribe(
    pattern: SubjectPattern | Subject,
    handler: (message: SpineMessage) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    this.#assertConnected();
    assertPattern(pattern);
    if (options.queue !== undefined) assertQueue(options.queue);
    const row: Row = {
      pattern,
      queue: options.queue,
      handler,
      closed: false,
      messages: 0,
      bytes: 0,
      overflowing: false,
    };
    this.#index.add(row);
    return {
      pattern,
      unsubscribe: () => {
        row.closed = true;
        this.#index.remove(row);
      },
      drain: async () => {
        this.#index.remove(row);
        await this.#turns.settled();
        row.closed = true;
      },
    };
  }

  request(subject: Subject, payload: Uint8Array, options: RequestOptions): Promise<SpineMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<SpineMessage>();
    const reply = `_INBOX.${++this.#requests}`;
    try {
      this.#assertConnected();
      assertSubject(subject);
      if (this.#send(subject, payload, options.headers, reply) === 0) {
        throw new ArqonError("brain-unavailable");
      }
    } catch (error) {
      return Promise.reject(error);
    }
    const settle = () => {
      clearTimeout(timer);
      this.#waiters.delete(reply);
    };
    const timer = setTimeout(() => {
      settle();
      reject(new ArqonError("command-timeout", String(options.timeout_ms)));
    }, options.timeout_ms);
    this.#waiters.set(reply, {
      resolve: (message) => (settle(), resolve(message)),
      reject: (error) => (settle(), reject(error)),
    });
    return promise;
  }

  keyValue(bucket: string): Promise<KeyValue> {
    try {
      this.#assertConnected();
      assertBucket(bucket);
      const open = this.#buckets.get(bucket) ?? new EmbeddedKv({
        bucket,
        store: this.#store,
        turns: this.#turns,
        log: this.#options.log,
        value_bytes_max: PAYLOAD_BYTES - 512,
        assertOpen: () => this.#assertConnected(),
      });
      this.#buckets.set(bucket, open);
      return Promise.resolve(open);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // deno-lint-ignore require-await -- answers with a promise, also when it throws
  async objects(bucket: string): Promise<ObjectStore> {
    this.#assertConnected();
    assertBucket(bucket);
    return new EmbeddedObjects(bucket, this.#store.objects, () => this.#assertConnected());
  }

  // deno-lint-ignore require-await
  async log(tenant_id: string, retention: Retention): Promise<DurableLog> {
    this.#assertConnected();
    return this.#logs.open(tenant_id, retention);
  }

  drain(): Promise<void> {
    return this.#drained ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#turnTo("draining");
    this.#logs.flush();
    // A handler may respond to what was under way, and that is delivered too.
    while (this.#turns.length > 0) await this.#turns.settled();
    for (const row of this.#index.all()) row.closed = true;
    this.#turnTo("closed");
    for (const waiter of [...this.#waiters.values()]) waiter.reject(this.#unavailable());
    for (const bucket of this.#buckets.values()) bucket.close(this.#unavailable());
    this.#logs.close();
    this.#store.close();
    this.#listeners.clear();
  }

  #turnTo(state: SpineState): void {
    this.#state = state;
    this.#since_ms = this.#options.now();
    this.#listeners.emit({ type: "state", status: this.status });
  }

  #unavailable(): ArqonError {
    return new ArqonError("spine-unavailable", `the embedded engine is ${this.#state}`);
  }

  #assertConnected(): void {
    if (this.#state !== "connected") throw this.#unavailable();
  }

  /** Returns how many receivers there are. */
  #send(
    subject: string,
    payload: Uint8Array,
    headers: SpineHeaders | undefined,
    reply: string | undefined,
  ): number {
    assertSize(payload.length + headerBytes(headers), PAYLOAD_BYTES);
    if (this.#pending_bytes + payload.length > this.#limits.pending_bytes) {
      throw new ArqonError("spine-unavailable", "too many bytes wait for delivery");
    }
    const copied = headers === undefined ? NO_HEADERS : Object.freeze({ ...headers });
    let receivers = 0;
    this.#index.match(subject, (row) => {
      receivers++;
      this.#enqueue(row, subject, payload, copied, reply);
    });
    return receivers;
  }

  #enqueue(
    row: Row,
    subject: string,
    payload: Uint8Array,
    headers: SpineHeaders,
    reply: string | undefined,
  ): void {
    const bytes = payload.length;
    const { subscription_messages, subscription_bytes } = this.#limits;
    if (row.messages >= subscription_messages || row.bytes + bytes > subscription_bytes) {
      this.#overflow(row);
      return;
    }
    row.overflowing = false;
    row.messages++;
    row.bytes += bytes;
    this.#pending_bytes += bytes;
    const message = this.#message(subject, payload.slice(), headers, reply);
    this.#turns.push(() => {
      row.messages--;
      row.bytes -= bytes;
      this.#pending_bytes -= bytes;
      if (row.closed) return;
      try {
        row.handler(message);
      } catch (error) {
        this.#options.log.error("a Spine handler threw", { pattern: row.pattern, error });
      }
    });
  }

  #overflow(row: Row): void {
    if (row.overflowing) return;
    row.overflowing = true;
    this.#slow_consumers++;
    this.#options.log.warn("a subscription is too slow; its messages are lost", {
      pattern: row.pattern,
      waiting: row.messages,
    });
    // In line behind what it still gets, which is where the gap is.
    this.#turns.push(() => {
      this.#listeners.emit({ type: "gap", pattern: row.pattern, reason: "slow-consumer" });
    });
  }

  #message(
    subject: string,
    payload: Uint8Array,
    headers: SpineHeaders,
    reply: string | undefined,
  ): SpineMessage {
    const respond = (answer: Uint8Array, answerHeaders?: SpineHeaders) => {
      if (reply !== undefined) this.#respond(reply, answer, answerHeaders);
    };
    return reply === undefined
      ? { subject, payload, headers, respond }
      : { subject, payload, headers, reply, respond };
  }

  #respond(reply: string, payload: Uint8Array, headers: SpineHeaders | undefined): void {
    // While draining, handlers still answer what was under way.
    if (this.#state === "closed") throw this.#unavailable();
    assertSize(payload.length + headerBytes(headers), PAYLOAD_BYTES);
    const waiter = this.#waiters.get(reply);
    if (waiter === undefined) return;
    const copied = headers === undefined ? NO_HEADERS : Object.freeze({ ...headers });
    const message = this.#message(reply, payload.slice(), copied, undefined);
    this.#turns.push(() => waiter.resolve(message));
  }
}

/**
 * Opens the engine. Throws `spine-unavailable` when `data_dir` is in use by another engine, also of
 * another process, cannot be written, or holds what is not its own.
 */
export function openEmbedded(options: EmbeddedOptions): Spine {
  const log_limits = { ...LOG_LIMITS, ...options.log_limits };
  const store = openStore(options.data_dir);
  try {
    const file = openLogFile(options.data_dir, log_limits);
    return new EmbeddedSpine(options, store, file, log_limits);
  } catch (error) {
    store.close();
    throw error;
  }
}
