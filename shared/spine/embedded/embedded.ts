// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * The embedded Spine: everything in this process, for `deno task dev` and small deployments. To callers it behaves like
 * NATS: payloads are copied, delivery is asynchronous and in order, queues are bounded. Only for one process, which
 * locks `data_dir`.
 */
import { ClockSteps } from "../../clock_steps.ts";
import { turn } from "../../turns/next_turn.ts";
import { ArqonError } from "@arqon/proto";
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import { assertPattern, assertQueue, assertSize, headerBytes, noReply } from "../contract/check.ts";
import { LOG_LIMITS } from "../contract/durable_log.ts";
import type { DurableLog, LogLimits, Retention } from "../contract/durable_log.ts";
import { hasFile } from "./embedded_database.ts";
import { EmbeddedBackups, type EngineFile } from "./embedded_backup.ts";
import { Deliveries, LIMITS, messageOf, PAYLOAD_BYTES } from "./embedded_delivery.ts";
import type { EmbeddedOptions, Reply } from "./embedded_delivery.ts";
import { EmbeddedBlocks } from "./embedded_blocks.ts";
import { EmbeddedBuckets } from "./embedded_kv.ts";
import { EmbeddedObjects, KvStore } from "./embedded_store.ts";
import { EmbeddedLogs } from "./embedded_log.ts";
import { LogFile } from "./embedded_log_file.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "../contract/block_store.ts";
import { assertBucket } from "../contract/kv_key.ts";
import { Listeners } from "../../containers/listeners.ts";
import { newLifeId } from "../contract/lives.ts";
import type {
  KeyValue,
  KeyValueOptions,
  ObjectStore,
  RequestOptions,
  Spine,
  SpineBackup,
  SpineEvent,
  SpineState,
  SpineStatus,
  StorageReport,
} from "../contract/spine.ts";
import type {
  SpineHeaders,
  SpineMessage,
  SubscribeOptions,
  Subscription,
} from "../contract/spine_message.ts";
import { JobQueue } from "../contract/job_queue.ts";

export type { EmbeddedLimits, EmbeddedOptions } from "./embedded_delivery.ts";

const NO_HEADERS: SpineHeaders = Object.freeze(Object.create(null));

function copyOf(headers: SpineHeaders | undefined): SpineHeaders {
  return headers === undefined ? NO_HEADERS : Object.freeze({ ...headers });
}

/** How often what has expired is removed, in ms. */
const EXPIRE_MS = 1_000;

interface Waiter {
  resolve(message: SpineMessage): void;
  reject(error: ArqonError): void;
}

class EmbeddedSpine implements Spine {
  readonly payload_bytes_max = PAYLOAD_BYTES;
  readonly #options: EmbeddedOptions;
  readonly #store: KvStore;
  readonly #logs: EmbeddedLogs;
  readonly #turns: JobQueue;
  readonly #deliveries: Deliveries;
  readonly #listeners: Listeners<SpineEvent>;
  readonly #backups: EmbeddedBackups;
  readonly #file: LogFile;
  readonly #waiters = new Map<string, Waiter>();
  readonly #buckets: EmbeddedBuckets;
  #state: SpineState = "connected";
  #since_ms: number;
  readonly #life: { readonly life: string; readonly started_ms: number };
  #requests = 0;
  #drained: Promise<void> | undefined;
  readonly #blocks = new Map<BlockStoreName, EmbeddedBlocks>();
  /** What expires also where nobody writes. */
  readonly #expiring = new Set<{ expire(): void }>();
  #expiry: ReturnType<typeof setInterval> | undefined;
  readonly #steps: ClockSteps;

  constructor(options: EmbeddedOptions, store: KvStore, file: LogFile, log_limits: LogLimits) {
    this.#options = options;
    this.#store = store;
    this.#file = file;
    const { now, monotonic_ms = () => performance.now() } = options;
    this.#since_ms = now();
    this.#steps = new ClockSteps({ now, monotonic_ms });
    this.#turns = new JobQueue(monotonic_ms);
    this.#life = { life: newLifeId(Math.random), started_ms: this.#since_ms };
    this.#listeners = new Listeners(options.log, "a Spine listener threw");
    this.#deliveries = new Deliveries({
      limits: { ...LIMITS, ...options.limits },
      turns: this.#turns,
      log: options.log,
      onGap: (pattern) => this.#listeners.emit({ type: "gap", pattern, reason: "slow-consumer" }),
    });
    this.#backups = new EmbeddedBackups({
      files: () => {
        // Backups contain these also if this process has not opened them.
        const { data_dir } = options;
        if (data_dir !== undefined) {
          this.#openBlocks("audit");
          if (hasFile(data_dir, "usage.sqlite")) this.#openBlocks("usage");
        }
        return this.#files();
      },
      now,
      log: options.log,
      waiting_bytes_max: { ...LIMITS, ...options.limits }.backup_waiting_bytes,
    });
    this.#buckets = new EmbeddedBuckets({
      store,
      turns: this.#turns,
      log: options.log,
      value_bytes_max: PAYLOAD_BYTES - 512,
    });
    store.assertOpen = file.assertOpen = () => this.#assertConnected();
    store.onFailed = file.onFailed = (error) => this.#listeners.emit({ type: "unstored", error });
    this.#logs = new EmbeddedLogs({
      file,
      limits: log_limits,
      clocks: { now, monotonic_ms },
      steps: this.#steps,
      turns: this.#turns,
      log: options.log,
      payload_bytes_max: PAYLOAD_BYTES,
      deliver: (subject, payload, headers) => void this.#send(subject, payload, headers, false),
      // Queued behind the pending deliveries: by then there is room again.
      onUndelivered: (id) =>
        this.#turns.push({ run: () => this.#listeners.emit({ type: "log", tenant_id: id }) }),
    });
    // Also while nobody opens a log: an idle tenant's, or one without a durable class by now.
    if (this.#logs.report().logs > 0) this.#expireOften(this.#logs);
  }

  get status(): SpineStatus {
    return {
      engine: "embedded",
      state: this.#state,
      since_ms: this.#since_ms,
      reconnects: 0,
      pending_bytes: this.#deliveries.pending_bytes,
      slow_consumers: this.#deliveries.slow_consumers,
      ...this.#life,
    };
  }

  onEvent(listener: (event: SpineEvent) => void): () => void {
    return this.#listeners.add(listener);
  }

  publish(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void {
    this.#assertConnected();
    this.#send(subject, payload, headers, false);
  }

  give(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void {
    this.#assertConnected();
    this.#send(subject, payload, headers, true);
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
    return this.#deliveries.subscribe(pattern, handler, options);
  }

  request(subject: Subject, payload: Uint8Array, options: RequestOptions): Promise<SpineMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<SpineMessage>();
    const inbox = `_INBOX.${++this.#requests}`;
    const reply: Reply = {
      subject: inbox,
      respond: (answer, headers) => this.#respond(inbox, answer, headers),
    };
    try {
      this.#assertConnected();
      if (this.#send(subject, payload, options.headers, false, reply) === 0) {
        throw noReply();
      }
    } catch (error) {
      return Promise.reject(error);
    }
    const settle = () => {
      clearTimeout(timer);
      this.#waiters.delete(inbox);
    };
    const timer = setTimeout(() => {
      settle();
      reject(new ArqonError("command-timeout", `${options.timeout_ms} ms`));
    }, options.timeout_ms);
    this.#waiters.set(inbox, {
      resolve: (message) => (settle(), resolve(message)),
      reject: (error) => (settle(), reject(error)),
    });
    return promise;
  }

  async keyValue(bucket: string, { plain = false }: KeyValueOptions = {}): Promise<KeyValue> {
    this.#assertConnected();
    assertBucket(bucket);
    return this.#buckets.open(bucket, plain);
  }

  async objects(bucket: string): Promise<ObjectStore> {
    this.#assertConnected();
    assertBucket(bucket);
    return new EmbeddedObjects(bucket, this.#store);
  }

  async log(tenant_id: string, retention: Retention): Promise<DurableLog> {
    const log = this.#logs.open(tenant_id, retention);
    this.#expireOften(this.#logs);
    return log;
  }

  async existingLog(tenant_id: string): Promise<DurableLog | undefined> {
    return this.#logs.existing(tenant_id);
  }

  async blocks(name: BlockStoreName, retention: BlockRetention): Promise<BlockStore> {
    this.#assertConnected();
    const open = this.#openBlocks(name);
    open.retain(retention);
    // What is only in memory is bounded in bytes.
    if (this.#store.persistent) this.#expireOften(open);
    return open;
  }

  #expireOften(one: { expire(): void }): void {
    this.#expiring.add(one);
    this.#expiry ??= setInterval(() => {
      for (const one of this.#expiring) {
        try {
          one.expire();
        } catch {
          // A later one may succeed; `proveStorage` reports a disk that takes no writes.
        }
      }
    }, EXPIRE_MS);
  }

  #openBlocks(name: BlockStoreName): EmbeddedBlocks {
    const { now, data_dir } = this.#options;
    const steps = this.#steps;
    const open = this.#blocks.getOrInsertComputed(
      name,
      () => new EmbeddedBlocks({ name, data_dir, now, steps }),
    );
    open.assertOpen = () => this.#assertConnected();
    return open;
  }

  /** The open files; none if all data are in memory. */
  #files(): EngineFile[] {
    const all = [this.#store, this.#file, ...this.#blocks.values()];
    return all.filter(({ persistent }) => persistent);
  }

  backup(): SpineBackup {
    this.#assertConnected();
    return this.#backups.open();
  }

  async scrub(): Promise<void> {
    for (const file of this.#files()) {
      this.#assertConnected();
      if (this.#backups.is_under_way) {
        throw new ArqonError("too-many-pending", "a backup is under way");
      }
      this.#logs.flush();
      file.scrub();
      await turn();
    }
  }

  async storage(): Promise<StorageReport> {
    this.#assertConnected();
    return this.#logs.report();
  }

  async proveStorage(size_bytes: number): Promise<void> {
    this.#assertConnected();
    this.#store.prove(size_bytes);
    this.#logs.prove(size_bytes);
  }

  drain(): Promise<void> {
    return this.#drained ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#turnTo("draining");
    clearInterval(this.#expiry);
    this.#logs.flush();
    // A handler may respond to a message that was under way; the response is delivered, too.
    while (this.#turns.length > 0) await this.#turns.settled();
    this.#deliveries.close();
    this.#turnTo("closed");
    for (const waiter of [...this.#waiters.values()]) waiter.reject(this.#unavailable());
    this.#buckets.close(this.#unavailable());
    for (const blocks of this.#blocks.values()) blocks.close();
    this.#backups.close(this.#unavailable());
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

  /** Sends a message; returns the number of receivers. Throws TypeError unless the subject is exact. */
  #send(
    subject: string,
    payload: Uint8Array,
    headers: SpineHeaders | undefined,
    is_given: boolean,
    reply?: Reply,
  ): number {
    assertSize(payload.length + headerBytes(headers), PAYLOAD_BYTES);
    return this.#deliveries.send(subject, payload, copyOf(headers), is_given, reply);
  }

  #respond(inbox: string, payload: Uint8Array, headers: SpineHeaders | undefined): void {
    // While draining, handlers still answer requests under way.
    if (this.#state === "closed") throw this.#unavailable();
    assertSize(payload.length + headerBytes(headers), PAYLOAD_BYTES);
    const waiter = this.#waiters.get(inbox);
    if (waiter === undefined) return;
    const message = messageOf(inbox, payload.slice(), copyOf(headers));
    this.#turns.push({ run: () => waiter.resolve(message) });
  }
}

/**
 * Opens the engine. Throws `spine-unavailable` when `data_dir` is in use by another engine, also of
 * another process, cannot be written, or holds what is not its own.
 */
export function openEmbedded(options: EmbeddedOptions): Spine {
  const log_limits = { ...LOG_LIMITS, ...options.log_limits };
  const store = new KvStore(options.data_dir);
  try {
    const file = new LogFile(options.data_dir, log_limits);
    try {
      return new EmbeddedSpine(options, store, file, log_limits);
    } catch (error) {
      file.close();
      throw error;
    }
  } catch (error) {
    store.close();
    throw error;
  }
}
