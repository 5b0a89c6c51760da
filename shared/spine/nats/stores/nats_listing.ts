/**
 * One listing of a bucket: an ephemeral ordered consumer that delivers the last write of every key, then every later
 * one. When it may have missed a write it reports that once and stops: its owner opens another.
 */
import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { createInbox, type Msg, nanos } from "@nats-io/transport-deno";
import { type Bucket, isDeletion } from "./nats_bucket.ts";

/** Default heartbeat interval, in ms. */
const HEARTBEAT_MS = 5_000;
/** After this many missed heartbeats the consumer counts as deleted. */
const SILENT_HEARTBEATS = 3;
/** How long the server keeps a consumer without a subscriber, in ms. */
const INACTIVE_MS = 30_000;

/** The last write of a key, or a later one. */
export interface Listed {
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
export class Listing {
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
    const { consumers } = await bucket.manager();
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
    bucket.manager().then(({ consumers }) => consumers.delete(bucket.stream, name)).catch(() => {});
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
      deleted: isDeletion(message.headers),
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
export async function openListing(options: ListingOptions): Promise<Listing> {
  const listing = new Listing(options);
  try {
    await options.bucket.link.guard(listing.open());
    return listing;
  } catch (error) {
    listing.stop();
    throw error;
  }
}
