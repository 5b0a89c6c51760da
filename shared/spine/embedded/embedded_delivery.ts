/**
 * Delivery of the embedded engine. Each subscription gets its own message, in a later turn, in order, from a bounded
 * queue. Independent of requests, key-value buckets and logs.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import type {
  SpineHeaders,
  SpineMessage,
  SubscribeOptions,
  Subscription,
} from "../contract/spine_message.ts";
import { SubjectIndex } from "../contract/subject_index.ts";
import type { Job, JobQueue } from "../contract/job_queue.ts";
import { AT, step } from "../../watchdog/steps.ts";
import type { LogLimits } from "../contract/durable_log.ts";
import { PendingShares } from "../contract/pending.ts";
import { tenantOfSubject } from "../../subjects/subject.ts";

/** One subscription. A busy process has two for each room, so it is one object without closures. */
class Row implements Subscription {
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly reads_only: boolean;
  readonly handler: (message: SpineMessage) => void;
  readonly #deliveries: Deliveries;
  closed = false;
  /** Messages queued for it. */
  messages = 0;
  bytes = 0;
  /** True while messages are being dropped, so that one overflow is one event. */
  overflowing = false;

  constructor(
    deliveries: Deliveries,
    pattern: string,
    handler: (message: SpineMessage) => void,
    { queue, reads_only = false }: SubscribeOptions,
  ) {
    this.pattern = pattern;
    this.queue = queue;
    this.reads_only = reads_only;
    this.handler = handler;
    this.#deliveries = deliveries;
  }

  unsubscribe(): void {
    this.closed = true;
    this.#deliveries.remove(this);
  }

  async drain(): Promise<void> {
    await this.#deliveries.drain(this);
    this.closed = true;
  }
}

/** Sends the reply to a request. */
export interface Reply {
  readonly subject: string;
  readonly respond: SpineMessage["respond"];
}

const nobodyWaits = () => {};

/** The message for one receiver. */
export function messageOf(
  subject: string,
  payload: Uint8Array,
  headers: SpineHeaders,
  reply?: Reply,
): SpineMessage {
  if (reply === undefined) return { subject, payload, headers, respond: nobodyWaits };
  return { subject, payload, headers, reply: reply.subject, respond: reply.respond };
}

/** The engine's parts that deliveries need. */
interface DeliveriesOptions extends Pick<Env, "log"> {
  readonly limits: EmbeddedLimits;
  readonly turns: JobQueue;
  /** Called when messages of that pattern were dropped. */
  readonly onGap: (pattern: string) => void;
}

/** All subscriptions of an engine, and their queued messages. */
export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #index = new SubjectIndex<Row>();
  readonly #shares: PendingShares;
  /** Payload bytes queued for all subscriptions. */
  pending_bytes = 0;
  /** The number of overflows so far. */
  slow_consumers = 0;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
    this.#shares = new PendingShares(options.limits.pending_bytes);
  }

  /** Delivers the pattern's messages to the handler from now on. */
  subscribe(
    pattern: string,
    handler: (message: SpineMessage) => void,
    options: SubscribeOptions,
  ): Subscription {
    const row = new Row(this, pattern, handler, options);
    this.#index.add(row);
    return row;
  }

  /** Removes a subscription: it gets nothing new; queued messages are delivered unless it is `closed`. */
  remove(row: Row): void {
    this.#index.remove(row);
  }

  /** As `remove`; resolves when its queued messages are delivered. */
  drain(row: Row): Promise<void> {
    this.remove(row);
    return this.#options.turns.settled();
  }

  /** Stops all deliveries. */
  close(): void {
    for (const row of this.#index.all()) row.closed = true;
  }

  /**
   * Queues a message for every subscription to its subject; returns their number. If the payload `is_given`, one
   * receiver may get these bytes without a copy; headers are the engine's own. Throws `spine-unavailable` above the
   * tenant's share of the queues, and TypeError unless the subject is exact.
   */
  send(
    subject: string,
    payload: Uint8Array,
    headers: SpineHeaders,
    is_given: boolean,
    reply?: Reply,
  ): number {
    const counted = this.#shares.counted(this.pending_bytes, payload.length);
    if (!this.#shares.hasRoom(subject, counted)) {
      throw new ArqonError("spine-unavailable", "too many bytes wait for delivery");
    }
    const receivers = this.#index.receivers(subject);
    // One message for the read-only receivers up to the first receiver that needs its own payload; that receiver gets
    // it, too.
    let shared: SpineMessage | undefined;
    let is_taken = false;
    for (const row of receivers) {
      if (!this.#admits(row, payload.length)) continue;
      if (is_taken) {
        this.#push(row, messageOf(subject, payload.slice(), headers, reply));
        continue;
      }
      shared ??= messageOf(subject, is_given ? payload : payload.slice(), headers, reply);
      is_taken = !row.reads_only;
      this.#push(row, shared);
    }
    return receivers.length;
  }

  /** Whether a subscription accepts the message; a full queue drops it. */
  #admits(row: Row, bytes: number): boolean {
    const { subscription_messages, subscription_bytes } = this.#options.limits;
    if (row.messages >= subscription_messages || row.bytes + bytes > subscription_bytes) {
      this.#overflow(row);
      return false;
    }
    row.overflowing = false;
    return true;
  }

  #push(row: Row, message: SpineMessage): void {
    const bytes = message.payload.length;
    const counted = this.#shares.counted(this.pending_bytes, bytes);
    if (counted > 0) this.#shares.add(tenantOfSubject(message.subject), counted);
    row.messages++;
    row.bytes += bytes;
    this.pending_bytes += bytes;
    this.#options.turns.push(new Delivery(this, row, message, counted));
  }

  deliver(row: Row, message: SpineMessage, counted: number): void {
    const bytes = message.payload.length;
    if (counted > 0) this.#shares.add(tenantOfSubject(message.subject), -counted);
    row.messages--;
    row.bytes -= bytes;
    this.pending_bytes -= bytes;
    if (row.closed) return;
    step(AT.spine);
    try {
      row.handler(message);
    } catch (error) {
      this.#options.log.error("a Spine handler threw", { pattern: row.pattern, error });
    }
  }

  #overflow(row: Row): void {
    if (row.overflowing) return;
    row.overflowing = true;
    this.slow_consumers++;
    const { log, turns, onGap } = this.#options;
    log.warn("a subscription is too slow; its messages are lost", {
      pattern: row.pattern,
      waiting: row.messages,
    });
    // Queued behind the messages before the gap.
    turns.push({ run: () => onGap(row.pattern) });
  }
}

/** One message in the queue of one subscription. */
class Delivery implements Job {
  readonly #deliveries: Deliveries;
  readonly #row: Row;
  readonly #message: SpineMessage;
  /** Its bytes that count as its tenant's. */
  readonly #counted: number;

  constructor(deliveries: Deliveries, row: Row, message: SpineMessage, counted: number) {
    this.#deliveries = deliveries;
    this.#row = row;
    this.#message = message;
    this.#counted = counted;
  }

  run(): void {
    this.#deliveries.deliver(this.#row, this.#message, this.#counted);
  }
}

/** Bounds of the delivery queues. */
export interface EmbeddedLimits {
  /** Messages queued for one subscription; above, new ones are dropped and it gets a `gap`. */
  readonly subscription_messages: number;
  /** Payload bytes queued for one subscription; above, new messages are dropped and it gets a `gap`. */
  readonly subscription_bytes: number;
  /** Payload bytes queued for all subscriptions; above, a publish is refused with 503. */
  readonly pending_bytes: number;
  /** Bytes that may be written to the disk during a backup; above, the backup is aborted. */
  readonly backup_waiting_bytes: number;
}

/** The options of the engine. */
export interface EmbeddedOptions extends Pick<Env, "log" | "now"> {
  /** Folder of the data; absent: they are in memory. */
  readonly data_dir?: string;
  readonly limits?: Partial<EmbeddedLimits>;
  readonly log_limits?: Partial<LogLimits>;
  /** Monotonic milliseconds, for deadlines and the clock of the logs; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
}

// Same as a NATS server's default: a message that works here works there.
/** Largest payload with its headers, in bytes. */
export const PAYLOAD_BYTES = 1_048_576;
/** The limits unless others are given. */
export const LIMITS: EmbeddedLimits = {
  subscription_messages: 65_536,
  subscription_bytes: 67_108_864,
  pending_bytes: 268_435_456,
  backup_waiting_bytes: 1_073_741_824,
};
