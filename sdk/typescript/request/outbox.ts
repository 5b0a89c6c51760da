/**
 * Outgoing publishes and commands: one bounded FIFO with a window of unanswered requests. Has no socket and no timer:
 * the connection calls `pump`, and `wake` at `nextWake`.
 */
import { type Ack, ArqonError, ruleOf } from "@arqon/proto";
import { POLL_MS, RETRY_MAX_MS, RETRY_MS } from "../wire/bounds.ts";
import type { Settings } from "../options/options.ts";
import { errorFromWire } from "../wire/wire_error.ts";

/**
 * One encoded publish or command. `resolve` or `reject` is called exactly once: with the ACK (undefined if none was
 * requested), or with the error.
 */
export interface OutboxRequest {
  /** The request id on the wire; ascending, and the order of sending. */
  readonly id: number;
  /** A request that waits for a retry because of this room's log holds back other requests to the room. */
  readonly room: string;
  /** True if an ACK answers it. If not, it is settled when it is passed to the socket. */
  readonly answered: boolean;
  frame: Uint8Array;
  /** True until it is signed (`seal`): neither it nor later requests to the room are sent. */
  unsigned?: boolean;
  /** True if it has an idempotency key: resending it has no second effect. */
  readonly repeatable: boolean;
  /** Its deadline, by the clock of `OutboxOptions`. */
  deadline_ms: number;
  /** How often it was refused with 503. */
  failures?: number;
  /** The session that it was sent to last. */
  sink?: OutboxSink;
  /** The timeout in the text of `answer-timeout`, in ms. */
  timeout_ms: number;
  resolve(ack: Ack | undefined): void;
  reject(error: ArqonError): void;
}

/**
 * The settings of the outbox. With `getToken`, requests refused for an expired token are kept for the next connection.
 * `elapsed` is monotonic: deadlines must not move with the wall clock.
 */
export type OutboxOptions = Pick<
  Settings,
  "window" | "queue" | "queue_bytes" | "getToken" | "elapsed" | "random"
>;

/** The parts of an open session that the outbox needs. */
export interface OutboxSink {
  /** The connection that a refusal over it is reported to. */
  readonly connection_id: string;
  send(frame: Uint8Array): void;
  /** False while the socket has too many unsent bytes. */
  writable(): boolean;
}

/**
 * Keeps requests from `add` until they are settled. They are sent in the order of their ids, retries included; a sender
 * whose order must survive refusals waits for each answer, or sets the window to 1. A 429 pauses all requests, because
 * it is about the connection; so does a 503, except `log-unavailable`, which pauses only its room.
 *
 * To move to the next session: `pause`, wait until `underWay` reports no unanswered requests, then `connected`. A room
 * with a request that the old session has not answered is held back, so that its order survives the move.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #queue: OutboxRequest[] = [];
  #queue_bytes = 0;
  readonly #in_flight = new Map<number, OutboxRequest>();
  #sink: OutboxSink | undefined;
  /** True while requests may be unanswered on another session than `#sink`. */
  #moving = false;
  #paused_until_ms = 0;
  /** By room, until when it is paused; removed at the next check after that. */
  readonly #holds = new Map<string, number>();
  /** Lower bound of all deadlines. */
  #deadline_ms = Infinity;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Number of requests that are not settled. */
  get size(): number {
    return this.#queue.length + this.#in_flight.size;
  }

  /** Adds a request; throws `too-many-pending` when the queue is full. */
  add(request: OutboxRequest): void {
    const { queue, queue_bytes } = this.#options;
    const { length } = this.#queue;
    const over = length > 0 && this.#queue_bytes + request.frame.length > queue_bytes;
    if (length >= queue || over) {
      throw new ArqonError("too-many-pending", `${length}`);
    }
    this.#queue.push(request);
    this.#queue_bytes += request.frame.length;
    this.#deadline_ms = Math.min(this.#deadline_ms, request.deadline_ms);
    this.pump();
  }

  /** Sets the signed frame of a request, and its deadline. */
  seal(request: OutboxRequest, frame: Uint8Array, deadline_ms: number, timeout_ms: number): void {
    if (!this.#queue.includes(request)) return;
    this.#queue_bytes += frame.length - request.frame.length;
    Object.assign(request, { frame, deadline_ms, timeout_ms, unsigned: false });
    this.pump();
  }

  /** Forgets a request without settling it. If it was sent, its answer is ignored. */
  cancel(request: OutboxRequest): void {
    const at = this.#queue.indexOf(request);
    if (at < 0) {
      this.#in_flight.delete(request.id);
    } else {
      this.#queue.splice(at, 1);
      this.#queue_bytes -= request.frame.length;
    }
    this.pump();
  }

  /** The connection is open: resends unanswered repeatable requests first, in their order. */
  connected(sink: OutboxSink): void {
    this.#sink = sink;
    this.#moving = this.#in_flight.size > 0;
    this.pump();
  }

  /** Stops sending until `connected`; requests that were sent may still be answered. */
  pause(): void {
    this.#sink = undefined;
  }

  /** The number of unanswered requests of this session. */
  underWay(sink: OutboxSink): number {
    let count = 0;
    for (const request of this.#in_flight.values()) if (request.sink === sink) count += 1;
    return count;
  }

  /** The session is lost: rejects requests that cannot be repeated safely with `error`. */
  disconnected(sink: OutboxSink, error: ArqonError): void {
    if (this.#sink === sink) this.#sink = undefined;
    for (const request of [...this.#in_flight.values()]) {
      if (request.sink !== sink) continue;
      this.#in_flight.delete(request.id);
      if (request.repeatable) this.#requeue(request);
      else request.reject(error);
    }
    this.pump();
  }

  /** Rejects everything; the outbox is empty afterwards. */
  close(error: ArqonError): void {
    const all = this.#all();
    this.#sink = undefined;
    this.#in_flight.clear();
    this.#queue = [];
    this.#queue_bytes = 0;
    for (const request of all) request.reject(error);
  }

  /** Settles a request with its ACK; an unknown one is ignored. */
  answer(ack: Ack): void {
    const request = this.#in_flight.get(Number(ack.request_id));
    if (!request) return;
    this.#in_flight.delete(request.id);
    if (ack.code === 0) request.resolve(ack);
    else this.#refused(request, errorFromWire(ack, request.sink?.connection_id));
    this.pump();
  }

  /** Sends as much as the window, the pauses and the socket allow. */
  pump(): void {
    const sink = this.#sink;
    if (!sink || this.#queue.length === 0) return;
    const now_ms = this.#options.elapsed();
    for (const [room, until_ms] of this.#holds) if (until_ms <= now_ms) this.#holds.delete(room);
    if (this.#paused_until_ms > now_ms) return;
    const held: OutboxRequest[] = [];
    const waiting = new Set<string>();
    if (this.#moving) {
      for (const sent of this.#in_flight.values()) if (sent.sink !== sink) waiting.add(sent.room);
    }
    this.#moving = waiting.size > 0;
    let taken = 0;
    for (const request of this.#queue) {
      if (this.#in_flight.size >= this.#options.window || !sink.writable()) break;
      taken += 1;
      if (request.unsigned) waiting.add(request.room);
      if (this.#holds.has(request.room) || waiting.has(request.room)) {
        held.push(request);
        continue;
      }
      this.#queue_bytes -= request.frame.length;
      request.sink = sink;
      if (request.answered) this.#in_flight.set(request.id, request);
      sink.send(request.frame);
      if (!request.answered) request.resolve(undefined);
    }
    if (taken > held.length) this.#queue.splice(0, taken, ...held);
  }

  /** Rejects requests past their deadline, then pumps. */
  wake(): void {
    const now_ms = this.#options.elapsed();
    if (now_ms >= this.#deadline_ms) {
      const late = (request: OutboxRequest) => request.deadline_ms <= now_ms;
      const expired = this.#all().filter(late);
      for (const request of expired) this.#in_flight.delete(request.id);
      this.#queue = this.#queue.filter((request) => !late(request));
      this.#queue_bytes = this.#queue.reduce((sum, request) => sum + request.frame.length, 0);
      this.#deadline_ms = Math.min(Infinity, ...this.#all().map((request) => request.deadline_ms));
      for (const request of expired) {
        request.reject(new ArqonError("answer-timeout", `${request.timeout_ms}`));
      }
    }
    this.pump();
  }

  /** When to call `wake` next; undefined if nothing waits. */
  nextWake(): number | undefined {
    if (this.size === 0) return undefined;
    const now_ms = this.#options.elapsed();
    let wake_ms = this.#deadline_ms;
    if (this.#sink && this.#queue.length > 0) {
      if (this.#paused_until_ms > now_ms) wake_ms = Math.min(wake_ms, this.#paused_until_ms);
      else if (!this.#sink.writable()) wake_ms = Math.min(wake_ms, now_ms + POLL_MS);
      wake_ms = Math.min(wake_ms, ...this.#holds.values());
    }
    return wake_ms;
  }

  #all(): OutboxRequest[] {
    return [...this.#in_flight.values(), ...this.#queue];
  }

  /**
   * Handles a temporary refusal: a request is retried after a 429, after a 503 only with an idempotency key, and never
   * if the reason forbids it: a failed call is remembered under its key.
   */
  #refused(request: OutboxRequest, error: ArqonError): void {
    const { client } = ruleOf(error.reason);
    const new_token = client === "refresh-token" && this.#options.getToken !== undefined;
    if (new_token || error.reason === "draining") {
      // It was refused without effect, and the Shield will close: nothing more is sent on this session.
      if (this.#sink === request.sink) this.#sink = undefined;
      return this.#requeue(request);
    }
    const again = (error.code === 429 && client === "back-off") ||
      (error.code === 503 && client !== "never-retry" && request.repeatable);
    const now_ms = this.#options.elapsed();
    const { failures = 0 } = request;
    const least_ms = error.code === 503 ? Math.min(RETRY_MS * 2 ** failures, RETRY_MAX_MS) : 1;
    const wait_ms = Math.max(error.retry_after_ms, least_ms);
    const until_ms = now_ms + wait_ms + Math.floor(this.#options.random() * wait_ms * 0.1);
    if (!again || until_ms > request.deadline_ms) return request.reject(error);
    if (error.code === 503) request.failures = failures + 1;
    if (error.reason === "log-unavailable") {
      this.#holds.set(request.room, Math.max(this.#holds.get(request.room) ?? 0, until_ms));
    } else {
      this.#paused_until_ms = Math.max(this.#paused_until_ms, until_ms);
    }
    this.#requeue(request);
  }

  /** Queues a request again at its position. */
  #requeue(request: OutboxRequest): void {
    let at = 0;
    while (at < this.#queue.length && (this.#queue[at] as OutboxRequest).id < request.id) at += 1;
    this.#queue.splice(at, 0, request);
    this.#queue_bytes += request.frame.length;
  }
}
