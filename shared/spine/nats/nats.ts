/**
 * The Spine on NATS, on top of nats.js. It adds to nats.js: publishing while disconnected is refused, unconfirmed bytes
 * are bounded, errors are `ArqonError`s, and payloads are copies. The connection's states are in `nats_link.ts`,
 * key-value buckets in `nats_kv.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { errors, headers as natsHeaders } from "@nats-io/transport-deno";
import type { Msg, MsgHdrs, Subscription as Held } from "@nats-io/transport-deno";
import type { Env } from "../../env.ts";
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";
import {
  assertPattern,
  assertQueue,
  assertSize,
  assertSubject,
  hasWildcard,
  headerBytes,
  noReply,
} from "../contract/check.ts";
import { assertBucket } from "../contract/kv_key.ts";
import { connectNats, type NatsConfig } from "./connection/nats_connect.ts";
import { Flusher } from "./connection/nats_flush.ts";
import {
  headerBlock,
  headerLines,
  isText,
  NO_HEADERS,
  readHeaders,
} from "./connection/nats_frames.ts";
import type { MessageFrame } from "./connection/nats_frames.ts";
import { hasNoResponder, isCausedBy, isRefused } from "./connection/nats_errors.ts";
import { Link, ReconnectPauses } from "./connection/nats_link.ts";
import { LOGS_BUCKET } from "./log/nats_log_stream.ts";
import { Inbox } from "./log/nats_log_inbox.ts";
import { NatsLogs } from "./log/nats_logs.ts";
import { Refusals } from "./connection/nats_refusals.ts";
import { GuardedStreams } from "./stores/nats_guarded.ts";
import { NatsStores } from "./stores/nats_stores.ts";
import { type FrameTaker, Wire } from "./connection/nats_wire.ts";
import { LOG_LIMITS } from "../contract/durable_log.ts";
import type { DurableLog, LogLimits, Retention } from "../contract/durable_log.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "../contract/block_store.ts";
import type {
  KeyValue,
  KeyValueOptions,
  ObjectStore,
  RequestOptions,
  Spine,
  SpineEvent,
  SpineStatus,
  StorageReport,
} from "../contract/spine.ts";
import type {
  PayloadCopy,
  SpineHeaders,
  SpineMessage,
  SubscribeOptions,
  Subscription,
} from "../contract/spine_message.ts";
import { AT, step } from "../../watchdog/steps.ts";
import { STORAGE_BUCKET } from "../contract/storage_plan.ts";

/** The options of the engine. */
interface NatsOptions extends Pick<Env, "log" | "now"> {
  readonly config: NatsConfig;
  /** Reads the credentials and certificate files that `config` names. */
  readonly files?: { read(path: string): string };
  readonly log_limits?: LogLimits;
  /** As `OpenSpineOptions.isStarting`. */
  readonly isStarting?: (() => boolean) | undefined;
}

const decoder = new TextDecoder();
const viewOf: PayloadCopy = (bytes, from, to) => bytes.subarray(from, to);
const copyOf: PayloadCopy = (bytes, from, to) => bytes.slice(from, to);
/** The subjects of rooms; "": any of too many subscriptions. */
const OF_ROOMS = /^(in\.|out\.|$)/;
/** `respond` of a message without a reply subject. */
const nobodyWaits = () => {};

function encodeHeaders(headers: SpineHeaders): MsgHdrs {
  const encoded = natsHeaders();
  for (const name in headers) encoded.append(name, headers[name] ?? "");
  return encoded;
}

function decodeHeaders(encoded: MsgHdrs | undefined): SpineHeaders {
  if (encoded === undefined) return NO_HEADERS;
  const headers: Record<string, string> = Object.create(null);
  for (const [name, values] of encoded) headers[name] = values[0] ?? "";
  return headers;
}

class NatsSpine implements Spine {
  readonly #link: Link;
  readonly #wire: Wire;
  readonly #flusher: Flusher;
  readonly #guarded: GuardedStreams;
  readonly #stores: NatsStores;
  readonly #logs: NatsLogs;
  readonly #source: SubscriptionSource;
  readonly #refusals: Refusals;
  #drained: Promise<void> | undefined;

  constructor(link: Link, wire: Wire, options: NatsOptions) {
    this.#link = link;
    this.#wire = wire;
    this.#flusher = new Flusher(link, wire, options.config.pending_bytes);
    const inbox = new Inbox(link, wire);
    const guarded = this.#guarded = new GuardedStreams(link);
    this.#stores = new NatsStores({ config: options.config, link, inbox, guarded });
    this.#logs = new NatsLogs({
      link,
      wire,
      inbox,
      guarded,
      bytes: this.#flusher,
      limits: options.log_limits ?? LOG_LIMITS,
      names: { bucket: () => this.keyValue(LOGS_BUCKET, { unwatched: true }), now: options.now },
      storage: this.#stores.storage,
      beforeMade: () => this.#stores.claim(),
    });
    this.#source = { link, wire, read: (frame, shown, copy) => this.#received(frame, shown, copy) };
    this.#refusals = new Refusals(link);
    wire.ready(link.connection);
    link.onLost = () => {
      wire.lost();
      this.#flusher.forget();
      this.#logs.cut();
      inbox.cut();
    };
    link.onBack = () => wire.ready(link.connection);
    link.listeners.add((event) => {
      if (event.type === "denied" && OF_ROOMS.test(event.subject)) this.#flusher.denied();
    });
    link.onState = () => link.listeners.emit({ type: "state", status: this.status });
  }

  get status(): SpineStatus {
    const { state, since_ms, reconnects, slow_consumers, server } = this.#link;
    const { pending_bytes } = this.#flusher;
    return { engine: "nats", state, since_ms, reconnects, pending_bytes, slow_consumers, server };
  }

  get payload_bytes_max(): number {
    return this.#link.payload_bytes_max;
  }

  onEvent(listener: (event: SpineEvent) => void): () => void {
    return this.#link.listeners.add(listener);
  }

  publish(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void {
    this.#link.assertConnected();
    assertSubject(subject);
    this.#send(subject, payload, headers);
  }

  give(subject: Subject, payload: Uint8Array, headers?: SpineHeaders): void {
    this.#link.assertConnected();
    this.#flusher.assertAnswered();
    assertSubject(subject);
    this.#send(subject, payload, headers);
  }

  flush(): Promise<void> {
    return this.#flusher.flush();
  }

  subscribe(
    pattern: SubjectPattern | Subject,
    handler: (message: SpineMessage) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    this.#link.assertConnected();
    assertPattern(pattern);
    if (options.queue !== undefined) assertQueue(options.queue);
    const shown = hasWildcard(pattern) ? undefined : pattern;
    const copy = options.copy ?? (options.reads_only === true ? viewOf : copyOf);
    const subscription = new NatsSubscription(this.#source, pattern, handler, shown, copy);
    const { queue } = options;
    subscription.held = this.#wire.subscribe(subscription, queue === undefined ? {} : { queue });
    return subscription;
  }

  async request(
    subject: Subject,
    payload: Uint8Array,
    options: RequestOptions,
  ): Promise<SpineMessage> {
    this.#link.assertConnected();
    assertSubject(subject);
    const fits_bytes = payload.length + headerBytes(options.headers);
    const size_bytes = this.#assertFits(subject, fits_bytes);
    const timeout = Math.max(1, options.timeout_ms);
    this.#wire.behind();
    const answer = this.#link.connection.request(subject, payload.slice(), {
      timeout,
      ...(options.headers === undefined ? {} : { headers: encodeHeaders(options.headers) }),
    });
    this.#flusher.handed(size_bytes, subject);
    try {
      return this.#answer(await this.#link.guard(answer));
    } catch (cause) {
      if (cause instanceof ArqonError) throw cause;
      if (hasNoResponder(cause)) throw noReply(cause);
      if (isCausedBy(cause, errors.TimeoutError)) {
        throw new ArqonError("command-timeout", `${timeout} ms`, { cause });
      }
      throw new ArqonError("spine-unavailable", "the request was cut off", { cause });
    }
  }

  async keyValue(bucket: string, options: KeyValueOptions = {}): Promise<KeyValue> {
    this.#link.assertConnected();
    assertBucket(bucket);
    return await this.#stores.keyValue(bucket, options);
  }

  async objects(bucket: string): Promise<ObjectStore> {
    this.#link.assertConnected();
    assertBucket(bucket);
    return await this.#stores.objects(bucket);
  }

  log(tenant_id: string, retention: Retention): Promise<DurableLog> {
    return this.#logs.open(tenant_id, retention);
  }

  existingLog(tenant_id: string): Promise<DurableLog | undefined> {
    return this.#logs.existing(tenant_id);
  }

  async blocks(name: BlockStoreName, retention: BlockRetention): Promise<BlockStore> {
    this.#link.assertConnected();
    return await this.#stores.blocks(name, retention);
  }

  async storage(): Promise<StorageReport> {
    this.#link.assertConnected();
    return await this.#stores.report();
  }

  async proveStorage(size_bytes: number): Promise<void> {
    await proveStorage(this, size_bytes);
    await this.#link.guard(this.#stores.storage.leaders.prove());
  }

  drain(): Promise<void> {
    this.#drained ??= this.#close();
    return this.#drained;
  }

  async #close(): Promise<void> {
    this.#refusals.end();
    this.#guarded.close();
    const closing = this.#link.close(() => this.#logs.end());
    await this.#stores.close();
    await closing;
  }

  /** Throws when a message is too large for the wire. */
  #assertFits(subject: string, size_bytes: number): number {
    assertSize(size_bytes, this.payload_bytes_max);
    const on_wire = size_bytes + subject.length + 32;
    this.#flusher.assertRoom(on_wire, subject);
    return on_wire;
  }

  #send(subject: string, payload: Uint8Array, headers: SpineHeaders | undefined): void {
    const block_bytes = headerBytes(headers);
    const size_bytes = this.#assertFits(subject, payload.length + block_bytes);
    const block = block_bytes === 0 ? "" : headerBlock(headerLines(headers));
    this.#wire.publish({ subject, reply: "", block, block_bytes, payload });
    this.#flusher.handed(size_bytes, subject);
  }

  #answer({ subject, data, headers }: Msg): SpineMessage {
    // A copy: the data of nats.js are a view of a whole read buffer.
    const payload = new Uint8Array(data);
    return { subject, payload, headers: decodeHeaders(headers), respond: nobodyWaits };
  }

  /** The message of a frame. `shown` is the subject; undefined: read it from the frame. */
  #received(frame: MessageFrame, shown: string | undefined, copy: PayloadCopy): SpineMessage {
    const { bytes, subject_from, subject_to, reply_from, reply_to } = frame;
    const { headers_from, payload_from, payload_to } = frame;
    const is_shown = shown !== undefined && isText(bytes, subject_from, subject_to, shown);
    const subject = is_shown ? shown : decoder.decode(bytes.subarray(subject_from, subject_to));
    const payload = copy(bytes, payload_from, payload_to);
    const headers = headers_from === payload_from
      ? NO_HEADERS
      : readHeaders(bytes, headers_from, payload_from).headers;
    if (reply_from === reply_to) return { subject, payload, headers, respond: nobodyWaits };
    const reply = decoder.decode(bytes.subarray(reply_from, reply_to));
    const respond = (answer: Uint8Array, answerHeaders?: SpineHeaders) => {
      if (this.#link.state !== "draining") this.#link.assertConnected();
      this.#send(reply, answer, answerHeaders);
    };
    return { subject, payload, headers, reply, respond };
  }
}

/** Connects. Rejects with `spine-unavailable` when no server answers or the server is too old. */
export async function openNats(options: NatsOptions): Promise<Spine> {
  const { config, log, now, files, isStarting } = options;
  const monotonic = () => performance.now();
  const pauses = new ReconnectPauses(monotonic, Math.random);
  const wire = new Wire(log);
  const connection = await connectNats({
    config,
    wire,
    log,
    ...(files === undefined ? {} : { files }),
    reconnectDelay: () => pauses.now_ms,
  });
  const { request_timeout_ms } = config;
  const link = new Link({ connection, log, now, monotonic, request_timeout_ms, isStarting });
  link.onAttempt = () => pauses.tried();
  link.listeners.add((event) => {
    if (event.type === "state") pauses.receive(event.status.state);
  });
  return new NatsSpine(link, wire, options);
}

/** What all subscriptions of a connection share. */
interface SubscriptionSource {
  readonly link: Link;
  readonly wire: Wire;
  /** The message of a frame; `shown` is the pattern if that is a subject. */
  readonly read: (
    frame: MessageFrame,
    shown: string | undefined,
    copy: PayloadCopy,
  ) => SpineMessage;
}

/** A `Subscription` that takes its own frames. It is active once `held` is set. */
class NatsSubscription implements Subscription, FrameTaker {
  readonly pattern: string;
  /** The same at nats.js. */
  held: Held | undefined = undefined;
  readonly #source: SubscriptionSource;
  readonly #handler: (message: SpineMessage) => void;
  readonly #shown: string | undefined;
  readonly #copy: PayloadCopy;
  #closed = false;

  constructor(
    source: SubscriptionSource,
    pattern: string,
    handler: (message: SpineMessage) => void,
    shown: string | undefined,
    copy: PayloadCopy,
  ) {
    this.pattern = pattern;
    this.#source = source;
    this.#handler = handler;
    this.#shown = shown;
    this.#copy = copy;
  }

  take(frame: MessageFrame): void {
    // Called as a function, so that a handler never sees this object.
    const handler = this.#handler;
    step(AT.spine);
    handler(this.#source.read(frame, this.#shown, this.#copy));
  }

  // NATS ends a subscription that it does not permit; there is no other cause.
  refused(error: Error): void {
    if (this.#closed) return;
    this.#source.link.log.error("NATS ended a subscription", { pattern: this.pattern, error });
  }

  unsubscribe(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.held !== undefined) this.#source.wire.unsubscribe(this.held);
  }

  async drain(): Promise<void> {
    if (this.#closed || this.held === undefined) return;
    const { link } = this.#source;
    try {
      await link.guard(this.held.drain());
    } catch (cause) {
      throw cause instanceof ArqonError ? cause : link.unavailable();
    } finally {
      this.unsubscribe();
    }
  }
}

/** Every process writes the same key. */
const KEY = ["proof"];
/** The most bytes of a test: that bucket is small. */
const PROOF_BYTES_MAX = 4_096;

const NO_ROOM = /no space left|insufficient|resource limits|maximum (bytes|size)/i;

function explained(error: unknown): unknown {
  if (!(error instanceof ArqonError)) return error;
  const { cause } = error;
  const message = cause instanceof Error ? cause.message : error.message;
  const codes = ["accountFull", "noRoom", "noMemory", "noStorage"] as const;
  if (!isRefused(cause, ...codes) && !NO_ROOM.test(message)) return error;
  const why = `NATS is out of storage (${message}): raise max_file_store or the account's limit, ` +
    "or keep less ([durable] log_bytes, history_size, history_ttl_seconds)";
  return new ArqonError("spine-unavailable", why, { cause });
}

/** Rejects with `spine-unavailable` and the remedy if JetStream cannot store this many bytes. */
async function proveStorage(
  spine: { keyValue(bucket: string): Promise<Pick<KeyValue, "put">> },
  size_bytes: number,
): Promise<void> {
  try {
    const bucket = await spine.keyValue(STORAGE_BUCKET);
    await bucket.put(KEY, new Uint8Array(Math.min(size_bytes, PROOF_BYTES_MAX)));
  } catch (error) {
    throw explained(error);
  }
}
