/**
 * A key-value bucket on JetStream, in the terms of `spine.ts`, with its watches: a watch survives reconnects, and
 * lists again whenever its listing, an ephemeral ordered consumer, may have missed a write. The stream itself is
 * `nats_bucket.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { assertSize } from "../../contract/check.ts";
import { conflictAt } from "../../contract/compare_and_set.ts";
import { Bucket, isDeletion } from "./nats_bucket.ts";
import type { Stored, Written } from "./nats_bucket.ts";
import { reconnectDelay_ms } from "../connection/nats_link.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvSize,
  KvUpdate,
  KvWatch,
  WatchOptions,
} from "../../contract/spine.ts";
import { awaitedLater } from "../../../awaited_later.ts";
import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { createInbox, type Msg, nanos } from "@nats-io/transport-deno";

/** Bytes of a write's headers. */
const HEADER_BYTES = 512;
/** Heartbeat interval while keys are listed, in ms: a caller waits for the whole list. */
const LIST_HEARTBEAT_MS = 1_000;
/** The most attempts to create a key while concurrent deletions interfere. */
const CREATE_ATTEMPTS = 8;

const liveRevision = (last: Stored | undefined): number =>
  last === undefined || last.deleted ? 0 : last.revision;

/** One bucket on JetStream. */
export class NatsKv implements KeyValue {
  readonly #bucket: Bucket;
  readonly #value_bytes_max: number;
  readonly #watches = new Set<NatsWatch>();

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
    this.#value_bytes_max = bucket.link.payload_bytes_max - HEADER_BYTES;
  }

  async get(key: KvKey): Promise<KvEntry | undefined> {
    const last = await this.last(key);
    if (last?.type !== "put") return undefined;
    const { type: _, ...entry } = last;
    return entry;
  }

  async last(key: KvKey): Promise<KvChange | undefined> {
    const last = await this.#bucket.read(this.#bucket.keys.encode(key));
    if (last === undefined) return undefined;
    const { revision } = last;
    if (last.deleted) return { type: "delete", key: [...key], revision };
    if (last.value === undefined) {
      const cause = new Error(`${this.#bucket.stream} holds what ArqonBus did not write`);
      throw new ArqonError("internal", "", { cause });
    }
    const { value, age_ms } = last;
    const age = age_ms === undefined ? {} : { age_ms };
    return { type: "put", key: [...key], value, revision, ...age };
  }

  readonly storeTime = (): Promise<number> => this.#bucket.persist(() => this.#bucket.time());

  put(key: KvKey, value: Uint8Array): Promise<number> {
    return this.#store(key, value, undefined);
  }

  async update(key: KvKey, value: Uint8Array, expected_revision: number): Promise<number> {
    let expected = expected_revision;
    for (let attempt = 1;; attempt++) {
      const written = await this.#write(key, value, expected);
      if ("revision" in written) return written.revision;
      const revision = liveRevision(written.conflict);
      // A deletion leaves a tombstone, whose sequence a new key has to expect.
      if (expected_revision !== 0 || revision !== 0 || attempt === CREATE_ATTEMPTS) {
        throw conflictAt(key, revision);
      }
      expected = written.conflict?.revision ?? 0;
    }
  }

  replace(key: KvKey, value: Uint8Array, last: KvChange | undefined): Promise<number> {
    return this.#store(key, value, last?.revision ?? 0);
  }

  async updateAll(updates: readonly KvUpdate[]): Promise<number[]> {
    const write = (one: KvUpdate) => this.update(one.key, one.value, one.expected_revision);
    const others = await Promise.all(updates.slice(0, -1).map(write));
    return [...others, ...await Promise.all(updates.slice(-1).map(write))];
  }

  async delete(key: KvKey, expected_revision?: number): Promise<void> {
    const stored = this.#bucket.keys.encode(key);
    const revision = liveRevision(await this.#bucket.read(stored));
    if (expected_revision !== undefined && revision !== expected_revision) {
      throw conflictAt(key, revision);
    }
    if (revision === 0) return;
    const written = await this.#bucket.write(stored, undefined, expected_revision);
    if ("conflict" in written) throw conflictAt(key, liveRevision(written.conflict));
  }

  async keys(prefix: KvKey = []): Promise<KvKey[]> {
    return (await this.sizes(prefix)).map(({ key }) => key);
  }

  sizes(prefix: KvKey = []): Promise<KvSize[]> {
    return this.#bucket.persist(() => this.#list(this.#bucket.keys.prefix(prefix)));
  }

  get limit_bytes(): number | undefined {
    return this.#bucket.limit_bytes;
  }

  watch(prefix: KvKey, onChange: (change: KvChange) => void, options: WatchOptions = {}): KvWatch {
    this.#bucket.link.assertConnected();
    const watch = new NatsWatch({
      bucket: this.#bucket,
      prefix: this.#bucket.keys.prefix(prefix),
      depth: options.depth,
      onChange,
      onStop: (stopped) => void this.#watches.delete(stopped),
    });
    this.#watches.add(watch);
    return watch;
  }

  close(): void {
    for (const watch of [...this.#watches]) watch.end(this.#bucket.link.unavailable());
  }

  /** One attempt to write a value. Rejects with `message-too-large`. */
  async #write(key: KvKey, value: Uint8Array, expected: number | undefined): Promise<Written> {
    const stored = this.#bucket.keys.encode(key);
    assertSize(value.length + this.#bucket.frame_bytes, this.#value_bytes_max);
    return await this.#bucket.write(stored, value, expected);
  }

  async #store(key: KvKey, value: Uint8Array, expected: number | undefined): Promise<number> {
    const written = await this.#write(key, value, expected);
    if ("revision" in written) return written.revision;
    throw conflictAt(key, liveRevision(written.conflict));
  }

  async #list(prefix: string): Promise<KvSize[]> {
    const found = new Map<string, number>();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    awaitedLater(promise);
    let listing: Listing | undefined;
    try {
      listing = await openListing({
        bucket: this.#bucket,
        prefix,
        headers_only: true,
        heartbeat_ms: LIST_HEARTBEAT_MS,
        onListed: ({ storedKey, deleted, size_bytes }) => {
          if (deleted) found.delete(storedKey);
          else found.set(storedKey, size_bytes);
        },
        onCaughtUp: resolve,
        onBroken: (why) => reject(new Error(why)),
      });
      await this.#bucket.link.guard(promise);
    } finally {
      listing?.stop();
    }
    return [...found].flatMap(([stored, size_bytes]) => {
      const key = this.#bucket.keys.decode(stored);
      return key === undefined ? [] : [{ key, size_bytes }];
    });
  }
}

interface NatsWatchOptions {
  readonly bucket: Bucket;
  /** A stored prefix; "" is the whole bucket. */
  readonly prefix: string;
  /** Tokens below the prefix; undefined: any number. */
  readonly depth: number | undefined;
  readonly onChange: (change: KvChange) => void;
  /** Called when the watch has ended. */
  readonly onStop: (watch: NatsWatch) => void;
}

/** One watch, through all reconnects. */
export class NatsWatch implements KvWatch {
  readonly ready: Promise<void>;
  readonly #options: NatsWatchOptions;
  readonly #settle: { resolve(): void; reject(error: ArqonError): void };
  /** Stored keys that were reported as present, with their revisions. As large as the bucket. */
  readonly #known = new Map<string, number>();
  /** The highest revision that was received; undefined before the first listing is complete. */
  #last: number | undefined;
  readonly #forget: () => void;
  #listing: Listing | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Listings in a row that could not begin. */
  #failures = 0;
  /** The number of the current listing; earlier ones are ignored. */
  #generation = 0;
  #stopped = false;

  constructor(options: NatsWatchOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = awaitedLater(promise);
    this.#settle = { resolve, reject };
    this.#forget = options.bucket.link.onReconnect(() => this.#relist("reconnect"));
    void this.#list();
  }

  stop(): void {
    this.end(new ArqonError("spine-unavailable", "the watch was stopped"));
  }

  /** Ends the watch; those still waiting for `ready` get `error`. */
  end(error: ArqonError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#generation++;
    clearTimeout(this.#retry);
    this.#forget();
    this.#listing?.stop();
    this.#settle.reject(error);
    this.#options.onStop(this);
  }

  #relist(why: string): void {
    const { bucket } = this.#options;
    // While disconnected, the reconnect lists anew.
    if (this.#stopped || bucket.link.state !== "connected") return;
    bucket.link.log.info("a key-value watch lists anew", { stream: bucket.stream, why });
    clearTimeout(this.#retry);
    this.#listing?.stop();
    void this.#list();
  }

  async #list(): Promise<void> {
    const { bucket, prefix, depth } = this.#options;
    const generation = ++this.#generation;
    const current = () => generation === this.#generation;
    const seen = new Set<string>();
    const before = this.#last;
    let highest = 0;
    let caughtUp = false;
    try {
      if (generation > 1) await bucket.link.guard(bucket.ensure());
      if (!current()) return;
      const listing = await openListing({
        bucket,
        prefix,
        depth,
        headers_only: false,
        onListed: (listed) => {
          if (!current()) return;
          if (!caughtUp) seen.add(listed.storedKey);
          highest = listed.revision;
          if (caughtUp) this.#last = highest;
          // A deletion during an interruption is one also of a key that was never known.
          this.#tell(listed, caughtUp || (before !== undefined && highest > before));
        },
        onCaughtUp: () => {
          if (!current()) return;
          caughtUp = true;
          this.#last = highest;
          this.#failures = 0;
          this.#tellGone(seen);
          seen.clear();
          this.#settle.resolve();
        },
        onBroken: (why) => void (current() && this.#relist(why)),
      });
      if (current()) this.#listing = listing;
      else listing.stop();
    } catch (error) {
      // The timer is for a server that is not ready.
      if (!current()) return;
      const { log } = bucket.link;
      log.warn("a key-value watch cannot list", { stream: bucket.stream, error });
      const pause_ms = reconnectDelay_ms(this.#failures++, Math.random);
      this.#retry = setTimeout(() => this.#relist("retry"), pause_ms);
    }
  }

  #tell(listed: Listed, is_new: boolean): void {
    const key = this.#options.bucket.keys.decode(listed.storedKey);
    if (key === undefined) return this.#foreign(listed);
    const { storedKey, revision } = listed;
    if (listed.deleted) {
      // Deletions before the watch began are not reported.
      if (this.#known.delete(storedKey) || is_new) this.#call({ type: "delete", key, revision });
      return;
    }
    const value = this.#options.bucket.valueOf(listed.payload);
    if (value === undefined) return this.#foreign(listed);
    this.#known.set(storedKey, revision);
    this.#call({ type: "put", key, value, revision });
  }

  /** Reports as lost the known keys that the new listing has neither as an entry nor as a deletion. */
  #tellGone(seen: ReadonlySet<string>): void {
    for (const [storedKey, revision] of [...this.#known]) {
      if (seen.has(storedKey)) continue;
      this.#known.delete(storedKey);
      const key = this.#options.bucket.keys.decode(storedKey);
      if (key !== undefined) this.#call({ type: "delete", key, revision, is_lost: true });
    }
  }

  #foreign({ storedKey, revision }: Listed): void {
    const { link, stream } = this.#options.bucket;
    link.log.warn("a bucket holds what ArqonBus did not write", { stream, storedKey, revision });
  }

  #call(change: KvChange): void {
    if (this.#stopped) return;
    try {
      this.#options.onChange(change);
    } catch (error) {
      const { link, stream } = this.#options.bucket;
      link.log.error("a key-value watcher threw", { stream, error });
    }
  }
}

/** Default heartbeat interval, in ms. */
const HEARTBEAT_MS = 5_000;
/** After this many missed heartbeats the consumer counts as deleted. */
const SILENT_HEARTBEATS = 3;
/** How long the server keeps a consumer without a subscriber, in ms. */
const INACTIVE_MS = 30_000;

/** The last write of a key, or a later one. */
interface Listed {
  readonly storedKey: string;
  readonly revision: number;
  readonly deleted: boolean;
  /** The stored payload, with the nonce; empty if only headers were requested. */
  readonly payload: Uint8Array;
  /** Bytes of the payload, also if only headers were requested. */
  readonly size_bytes: number;
}

interface ListingOptions {
  readonly bucket: Bucket;
  /** A stored prefix; "" is the whole bucket. */
  readonly prefix: string;
  /** Tokens below the prefix; absent: any number. */
  readonly depth?: number | undefined;
  readonly headers_only: boolean;
  /** Heartbeat interval, in ms; missed heartbeats mean that the consumer was deleted. */
  readonly heartbeat_ms?: number;
  readonly onListed: (listed: Listed) => void;
  /** Called once, when the initial state has been reported. */
  readonly onCaughtUp: () => void;
  /** Called at most once: a write may have been missed. */
  readonly onBroken: (why: string) => void;
}

/** The patterns of the listed keys; none overlaps another. */
function filtersOf({ prefix, depth }: Pick<ListingOptions, "prefix" | "depth">): string[] {
  const own = prefix === "" ? [] : [prefix];
  const below = depth === undefined
    ? [">"]
    : Array.from({ length: depth }, (_, at) => Array(at + 1).fill("*").join("."));
  return [...own, ...below.map((tail) => [...own, tail].join("."))];
}

interface Position {
  readonly stream_sequence: number;
  readonly consumer_sequence: number;
  readonly pending: number;
}

/** The position in `$JS.ACK.…`, the reply subject of a delivery, in its short or its long form. */
export function parsePosition(reply: string | undefined): Position | undefined {
  const tokens = reply?.split(".") ?? [];
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const at = tokens.length === 9 ? 5 : 7;
  const [stream, consumer, pending] = [tokens[at], tokens[at + 1], tokens[at + 3]].map(Number);
  if (![stream, consumer, pending].every(Number.isSafeInteger)) return undefined;
  return { stream_sequence: stream ?? 0, consumer_sequence: consumer ?? 0, pending: pending ?? 0 };
}

/** The size of the payload; with headers only, the server reports it in a header. */
function sizeOf({ data, headers }: Msg): number {
  const left_out = headers?.get("Nats-Msg-Size") ?? "";
  return left_out === "" ? data.length : Number(left_out);
}

/** A listing under way. */
class Listing {
  readonly #options: ListingOptions;
  #stopped = false;
  #received_ms: number;
  #delivered = 0;
  /** The number of deliveries of the initial state; unknown until the server has answered. */
  #initial: number | undefined;
  #drained = false;
  #caughtUp = false;
  #consumer: string | undefined;
  #unsubscribe = () => {};
  #silence: ReturnType<typeof setInterval> | undefined;

  constructor(options: ListingOptions) {
    this.#options = options;
    this.#received_ms = options.bucket.link.monotonic();
  }

  async open(): Promise<void> {
    const { bucket, headers_only, heartbeat_ms = HEARTBEAT_MS } = this.#options;
    const { link } = bucket;
    const inbox = createInbox();
    const subscription = link.connection.subscribe(inbox, {
      callback: (error, message) => error ? this.#break(error.message) : this.#receive(message),
    });
    this.#unsubscribe = () => subscription.unsubscribe();
    const consumers = await bucket.consumers();
    const asked_ms = link.monotonic();
    const info = await consumers.add(bucket.stream, {
      deliver_subject: inbox,
      deliver_policy: DeliverPolicy.LastPerSubject,
      replay_policy: ReplayPolicy.Instant,
      ack_policy: AckPolicy.None,
      filter_subjects: filtersOf(this.#options).map((filter) => bucket.subject(filter)),
      flow_control: true,
      idle_heartbeat: nanos(heartbeat_ms),
      inactive_threshold: nanos(INACTIVE_MS),
      headers_only,
      mem_storage: true,
      num_replicas: 1,
    });
    bucket.noteTime(info.ts, asked_ms);
    this.#consumer = info.name;
    if (this.#stopped) return this.#forgetConsumer();
    // Deliveries may have arrived before this answer: both together are the initial state.
    this.#initial = info.num_pending + info.delivered.consumer_seq;
    this.#silence = setInterval(() => {
      const silence_ms = link.monotonic() - this.#received_ms;
      if (silence_ms > SILENT_HEARTBEATS * heartbeat_ms) this.#break("the consumer is silent");
    }, heartbeat_ms);
    this.#checkCaughtUp();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#silence);
    const { link } = this.#options.bucket;
    if (link.connection.isClosed()) return;
    this.#unsubscribe();
    this.#forgetConsumer();
  }

  /** Deletes the consumer; otherwise the server deletes it after a while. */
  #forgetConsumer(): void {
    const { bucket } = this.#options;
    const name = this.#consumer;
    if (name === undefined || bucket.link.state !== "connected") return;
    // The server removes it on its own after a while.
    bucket.consumers().then((all) => all.delete(bucket.stream, name)).catch(() => {});
  }

  #break(why: string): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onBroken(why);
  }

  #receive(message: Msg): void {
    if (this.#stopped) return;
    this.#received_ms = this.#options.bucket.link.monotonic();
    const status = message.headers?.code ?? 0;
    if (status === 100) return this.#control(message);
    if (status >= 400) return this.#break(`the consumer ended with ${message.headers?.status}`);
    const position = parsePosition(message.reply);
    if (position === undefined) return this.#break("a delivery has no position");
    if (position.consumer_sequence !== this.#delivered + 1) {
      return this.#break("a delivery is missing");
    }
    this.#delivered++;
    this.#options.onListed({
      storedKey: this.#options.bucket.storedKey(message.subject),
      revision: position.stream_sequence,
      deleted: isDeletion((name) => message.headers?.get(name)),
      payload: message.data,
      size_bytes: sizeOf(message),
    });
    this.#drained ||= position.pending === 0;
    this.#checkCaughtUp();
  }

  /**
   * Handles a control message: flow control needs an answer; a heartbeat has the position that the server expects us
   * at. It comes only when nothing is left to deliver, so it also ends the initial state: a server that is still
   * restoring its stores may have counted too many.
   */
  #control(message: Msg): void {
    const { connection } = this.#options.bucket.link;
    if (message.reply) {
      connection.publish(message.reply);
      return;
    }
    const stalled = message.headers?.get("Nats-Consumer-Stalled");
    if (stalled) connection.publish(stalled);
    const last = Number(message.headers?.get("Nats-Last-Consumer") ?? this.#delivered);
    if (last > this.#delivered) return this.#break("a delivery is missing");
    this.#drained ||= !stalled;
    this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#caughtUp || this.#stopped || this.#initial === undefined) return;
    if (this.#delivered < this.#initial && !this.#drained) return;
    this.#caughtUp = true;
    this.#options.onCaughtUp();
  }
}

/** Opens a listing. Rejects if the consumer cannot be created; nothing is reported after that. */
async function openListing(options: ListingOptions): Promise<Listing> {
  const listing = new Listing(options);
  try {
    await options.bucket.link.guard(listing.open());
    return listing;
  } catch (error) {
    listing.stop();
    throw error;
  }
}
