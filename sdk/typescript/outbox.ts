/**
 * Publishes and commands on their way out: one bounded FIFO, a window of unanswered requests, and
 * what becomes of both when the connection drops. Knows no socket and no timer: the connection pumps
 * it and asks when it wants to be woken.
 */
import { ArqonError, ERRORS } from "@arqon/proto";
import type { Ack } from "@arqon/proto";
import { errorFromWire } from "./wire_error.ts";

/**
 * One publish or command, already encoded. `resolve` or `reject` is called exactly once: with the ACK
 * (undefined when none was asked for), or with why there is none.
 */
export interface OutboxRequest {
  /** The request id on the wire; grows from request to request. Also the order of sending. */
  readonly id: number;
  /** What waits to be repeated for a room's log holds back what else goes to this room. */
  readonly room: string;
  /** Whether an ACK answers it. If not, it is done as soon as it is handed over. */
  readonly answered: boolean;
  readonly frame: Uint8Array;
  /** It may be sent again although the first one may have taken effect (it has an idempotency key). */
  readonly repeatable: boolean;
  /** Unix ms after which it is given up. */
  readonly deadline_ms: number;
  /** For the text of `answer-timeout`, in ms. */
  readonly timeout_ms: number;
  resolve(ack: Ack | undefined): void;
  reject(error: ArqonError): void;
}

/** Bounds of the outbox, and the clock (Unix ms) and randomness that it may use. */
export interface OutboxOptions {
  /** Unanswered requests at a time. */
  readonly window: number;
  /** Requests waiting for a place in the window, and their bytes; above: `too-many-pending`. */
  readonly queue_max: number;
  readonly queue_bytes_max: number;
  /** A new token can be had: what an expired one refused is kept for the next connection. */
  readonly renewable: boolean;
  readonly now: () => number;
  readonly random: () => number;
}

/** What the connection lends while it is open. */
export interface OutboxSink {
  send(frame: Uint8Array): void;
  /** False while the socket holds too many unsent bytes. */
  writable(): boolean;
}

/** A blocked socket tells nobody when it drains, so it is looked at again after this. */
const BLOCKED_POLL_MS = 5;
/** Wait before the first repeat after a 503 when the Shield names none; then doubled up to the other. */
const RETRY_MS = 250;
const RETRY_MAX_MS = 2_000;

/**
 * Holds a request from `add` until it is settled. Requests go out in the order of their ids, also
 * those that are sent again: a refusal that is waited out lets nothing overtake that has not left
 * yet. What was under way with the refused one cannot be called back and may have been taken: so a
 * sender whose order must survive refusals waits for each answer, or has a window of 1.
 *
 * 429 holds everything back, for it is about the connection; so does 503, but for `log-unavailable`,
 * which holds back its own room alone.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #queue: OutboxRequest[] = [];
  #queue_bytes = 0;
  readonly #in_flight = new Map<number, OutboxRequest>();
  #sink: OutboxSink | undefined;
  #paused_until_ms = 0;
  /** By room, until when nothing goes to it: Unix ms, not yet past when last looked at. */
  readonly #holds = new Map<string, number>();
  /** How often a request was refused with 503. */
  readonly #failures = new WeakMap<OutboxRequest, number>();
  /** No deadline is earlier; may be too early, never too late. */
  #deadline_ms = Infinity;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Requests that are not yet answered or handed over. */
  get size(): number {
    return this.#queue.length + this.#in_flight.size;
  }

  /** Takes a request; throws `too-many-pending` when the queue is full. */
  add(request: OutboxRequest): void {
    const { queue_max, queue_bytes_max } = this.#options;
    const over = this.#queue.length > 0 &&
      this.#queue_bytes + request.frame.length > queue_bytes_max;
    if (this.#queue.length >= queue_max || over) {
      throw new ArqonError(
        "too-many-pending",
        `${this.#queue.length} requests wait in this client`,
      );
    }
    this.#queue.push(request);
    this.#queue_bytes += request.frame.length;
    this.#deadline_ms = Math.min(this.#deadline_ms, request.deadline_ms);
    this.pump();
  }

  /** The connection is open: unanswered repeatable requests go first, in their old order. */
  connected(sink: OutboxSink): void {
    this.#sink = sink;
    this.pump();
  }

  /** The connection is gone. What cannot be repeated safely is rejected with `error`. */
  disconnected(error: ArqonError): void {
    this.#sink = undefined;
    const unanswered = [...this.#in_flight.values()];
    this.#in_flight.clear();
    for (const request of unanswered) {
      if (request.repeatable) this.#requeue(request);
      else request.reject(error);
    }
  }

  /** Rejects everything; the outbox is empty afterwards. */
  close(error: ArqonError): void {
    const all = [...this.#in_flight.values(), ...this.#queue];
    this.#sink = undefined;
    this.#in_flight.clear();
    this.#queue = [];
    this.#queue_bytes = 0;
    this.#holds.clear();
    for (const request of all) request.reject(error);
  }

  /** Hands an ACK to its request. False when no request waits for it. */
  answer(ack: Ack): boolean {
    const request = this.#in_flight.get(Number(ack.request_id));
    if (request === undefined) return false;
    this.#in_flight.delete(request.id);
    if (ack.code === 0) request.resolve(ack);
    else this.#refused(request, errorFromWire(ack));
    this.pump();
    return true;
  }

  /** Sends as much as window, pauses and socket allow. */
  pump(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#queue.length === 0) return;
    const now_ms = this.#options.now();
    for (const [room, until_ms] of this.#holds) if (until_ms <= now_ms) this.#holds.delete(room);
    if (this.#paused_until_ms > now_ms) return;
    const held: OutboxRequest[] = [];
    let taken = 0;
    for (const request of this.#queue) {
      if (this.#in_flight.size >= this.#options.window || !sink.writable()) break;
      taken += 1;
      if (this.#holds.has(request.room)) {
        held.push(request);
        continue;
      }
      this.#queue_bytes -= request.frame.length;
      if (request.answered) this.#in_flight.set(request.id, request);
      sink.send(request.frame);
      if (!request.answered) request.resolve(undefined);
    }
    if (taken > held.length) this.#queue.splice(0, taken, ...held);
  }

  /** Gives up what is past its deadline, then pumps. */
  wake(): void {
    const now_ms = this.#options.now();
    if (now_ms >= this.#deadline_ms) {
      const late = (request: OutboxRequest) => request.deadline_ms <= now_ms;
      const expired = [...this.#in_flight.values(), ...this.#queue].filter(late);
      for (const request of expired) this.#in_flight.delete(request.id);
      this.#queue = this.#queue.filter((request) => !late(request));
      this.#queue_bytes = this.#queue.reduce((sum, request) => sum + request.frame.length, 0);
      this.#deadline_ms = Math.min(
        Infinity,
        ...[...this.#in_flight.values(), ...this.#queue].map((request) => request.deadline_ms),
      );
      for (const request of expired) {
        request.reject(new ArqonError("answer-timeout", String(request.timeout_ms)));
      }
    }
    this.pump();
  }

  /** Unix ms at which `wake` has something to do; undefined when nothing waits. */
  nextWake(): number | undefined {
    if (this.size === 0) return undefined;
    const now_ms = this.#options.now();
    let wake_ms = this.#deadline_ms;
    if (this.#sink !== undefined && this.#queue.length > 0) {
      if (this.#paused_until_ms > now_ms) wake_ms = Math.min(wake_ms, this.#paused_until_ms);
      else if (!this.#sink.writable()) wake_ms = Math.min(wake_ms, now_ms + BLOCKED_POLL_MS);
      wake_ms = Math.min(wake_ms, ...this.#holds.values());
    }
    return wake_ms;
  }

  /** 429 was refused before it did anything: always repeated. 503 only with an idempotency key. */
  #refused(request: OutboxRequest, error: ArqonError): void {
    const client = ERRORS[error.reason].client;
    if (this.#options.renewable && client === "refresh-token") {
      // Refused before it did anything, and the Shield closes now: nothing more goes this way.
      this.#sink = undefined;
      return this.#requeue(request);
    }
    const again = (error.code === 429 && client === "back-off") ||
      (error.code === 503 && request.repeatable);
    const now_ms = this.#options.now();
    const failures = this.#failures.get(request) ?? 0;
    const least_ms = error.code === 503 ? Math.min(RETRY_MS * 2 ** failures, RETRY_MAX_MS) : 1;
    const wait_ms = Math.max(error.retry_after_ms, least_ms);
    const until_ms = now_ms + wait_ms + Math.floor(this.#options.random() * wait_ms * 0.1);
    if (!again || until_ms > request.deadline_ms) return request.reject(error);
    if (error.code === 503) this.#failures.set(request, failures + 1);
    if (error.reason === "log-unavailable") {
      this.#holds.set(request.room, Math.max(this.#holds.get(request.room) ?? 0, until_ms));
    } else {
      this.#paused_until_ms = Math.max(this.#paused_until_ms, until_ms);
    }
    this.#requeue(request);
  }

  /** Puts a request back at its place in the order. */
  #requeue(request: OutboxRequest): void {
    let at = 0;
    while (at < this.#queue.length && (this.#queue[at] as OutboxRequest).id < request.id) at += 1;
    this.#queue.splice(at, 0, request);
    this.#queue_bytes += request.frame.length;
  }
}
