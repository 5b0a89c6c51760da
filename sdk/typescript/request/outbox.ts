/**
 * Publishes and commands on their way out: one bounded FIFO, a window of unanswered requests. Knows
 * no socket and no timer: the connection calls `pump`, and `wake` at `nextWake`.
 */
import { type Ack, ArqonError, ruleOf } from "@arqon/proto";
import { POLL_MS, RETRY_MAX_MS, RETRY_MS } from "../wire/bounds.ts";
import type { Settings } from "../options/options.ts";
import { errorFromWire } from "../wire/wire_error.ts";

/**
 * One publish or command, already encoded. `resolve` or `reject` is called exactly once: with the ACK
 * (undefined when none was asked for), or with why there is none.
 */
export interface OutboxRequest {
  /** The request id on the wire; grows from request to request. Also the order of sending. */
  readonly id: number;
  /** A request that waits to be repeated for this room's log holds back the others to it. */
  readonly room: string;
  /** True when an ACK answers it. If not, it is done as soon as it is handed to the socket. */
  readonly answered: boolean;
  frame: Uint8Array;
  /** True until its signature has come (`seal`): neither it nor what follows it there is sent. */
  unsigned?: boolean;
  /** True when it has an idempotency key: sent again, it takes effect once. */
  readonly repeatable: boolean;
  /** When it is given up, by the clock of `OutboxOptions`. */
  deadline_ms: number;
  /** How often it was refused with 503. */
  failures?: number;
  /** The time limit that the text of `answer-timeout` names, in ms. */
  timeout_ms: number;
  resolve(ack: Ack | undefined): void;
  reject(error: ArqonError): void;
}

/**
 * The settings that the outbox follows. With `getToken`, what an expired token refused is kept for
 * the next connection. `elapsed` is set by nobody: a deadline must not move with the time of day.
 */
export type OutboxOptions = Pick<
  Settings,
  "window" | "queue" | "queue_bytes" | "getToken" | "elapsed" | "random"
>;

/** What one session lends to the outbox while it is open. */
export interface OutboxSink {
  /** The connection that a refusal over it is reported to. */
  readonly connection_id: string;
  send(frame: Uint8Array): void;
  /** False while the socket holds too many unsent bytes. */
  writable(): boolean;
}

/** A request that was sent, and the session it was sent to. */
interface InFlight {
  readonly request: OutboxRequest;
  readonly sink: OutboxSink;
}

/**
 * Holds a request from `add` until it is settled. Requests go out in the order of their ids, also those that are sent
 * again; a sender whose order must survive refusals waits for each answer, or has a window of 1. 429 holds everything
 * back, for it is about the connection; so does 503, but for `log-unavailable`, which holds back its own room alone.
 *
 * From one session to the next: `pause`, until `underWay` says that what was sent is answered, then `connected`. A
 * room with a request that the old session has yet to answer is held back: so its order survives the move.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #queue: OutboxRequest[] = [];
  #queue_bytes = 0;
  readonly #in_flight = new Map<number, InFlight>();
  #sink: OutboxSink | undefined;
  /** True while requests may be under way on another session than `#sink`. */
  #moving = false;
  #paused_until_ms = 0;
  /** By room, until when nothing goes to it; removed when it is next looked at after that. */
  readonly #holds = new Map<string, number>();
  /** No request has an earlier deadline; may be too early, never too late. */
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

  /** Takes the signed frame of a request, which has its deadline from now on. */
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

  /** The connection is open: unanswered repeatable requests are sent first, in their old order. */
  connected(sink: OutboxSink): void {
    this.#sink = sink;
    this.#moving = this.#in_flight.size > 0;
    this.pump();
  }

  /** Stops sending until `connected`; requests that were sent may still be answered. */
  pause(): void {
    this.#sink = undefined;
  }

  /** The number of requests that were sent to this session and are not answered. */
  underWay(sink: OutboxSink): number {
    let count = 0;
    for (const sent of this.#in_flight.values()) if (sent.sink === sink) count += 1;
    return count;
  }

  /** The session is gone. Requests that cannot be repeated safely are rejected with `error`. */
  disconnected(sink: OutboxSink, error: ArqonError): void {
    if (this.#sink === sink) this.#sink = undefined;
    for (const { request, sink: sent_to } of [...this.#in_flight.values()]) {
      if (sent_to !== sink) continue;
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

  /** Hands an ACK to its request. False when no request waits for it. */
  answer(ack: Ack): boolean {
    const sent = this.#in_flight.get(Number(ack.request_id));
    if (!sent) return false;
    this.#in_flight.delete(sent.request.id);
    if (ack.code === 0) sent.request.resolve(ack);
    else this.#refused(sent, errorFromWire(ack, sent.sink.connection_id));
    this.pump();
    return true;
  }

  /** Sends as much as the window, the pauses and the socket allow. */
  pump(): void {
    const sink = this.#sink;
    if (!sink || this.#queue.length === 0) return;
    const now_ms = this.#options.elapsed();
    for (const [room, until_ms] of this.#holds) if (until_ms <= now_ms) this.#holds.delete(room);
    if (this.#paused_until_ms > now_ms) return;
    const held: OutboxRequest[] = [];
    let kept = this.#moving ? this.#roomsElsewhere(sink) : undefined;
    this.#moving = kept !== undefined;
    let taken = 0;
    for (const request of this.#queue) {
      if (this.#in_flight.size >= this.#options.window || !sink.writable()) break;
      taken += 1;
      if (request.unsigned) (kept ??= new Set()).add(request.room);
      if (this.#holds.has(request.room) || kept?.has(request.room) === true) {
        held.push(request);
        continue;
      }
      this.#queue_bytes -= request.frame.length;
      if (request.answered) this.#in_flight.set(request.id, { request, sink });
      sink.send(request.frame);
      if (!request.answered) request.resolve(undefined);
    }
    if (taken > held.length) this.#queue.splice(0, taken, ...held);
  }

  /** Gives up requests whose deadline is over, then pumps. */
  wake(): void {
    const now_ms = this.#options.elapsed();
    if (now_ms >= this.#deadline_ms) {
      const late = (request: OutboxRequest) => request.deadline_ms <= now_ms;
      const expired = this.#all().filter(late);
      for (const request of expired) this.#in_flight.delete(request.id);
      this.#queue = this.#queue.filter((request) => !late(request));
      this.#queue_bytes = this.#queue.reduce((sum, request) => sum + request.frame.length, 0);
      this.#deadline_ms = Math.min(
        Infinity,
        ...this.#all().map((request) => request.deadline_ms),
      );
      for (const request of expired) {
        request.reject(new ArqonError("answer-timeout", `${request.timeout_ms}`));
      }
    }
    this.pump();
  }

  /** When `wake` has something to do next; undefined when nothing waits. */
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
    return [...[...this.#in_flight.values()].map(({ request }) => request), ...this.#queue];
  }

  /** The rooms with requests that another session has yet to answer; undefined: none. */
  #roomsElsewhere(sink: OutboxSink): Set<string> | undefined {
    let rooms: Set<string> | undefined;
    for (const sent of this.#in_flight.values()) {
      if (sent.sink !== sink) (rooms ??= new Set()).add(sent.request.room);
    }
    return rooms;
  }

  /**
   * A request was refused for now: after a 429 it is repeated, after a 503 only with an idempotency
   * key, and never where the reason says so: a failed call is remembered under its key.
   */
  #refused({ request, sink }: InFlight, error: ArqonError): void {
    const { client } = ruleOf(error.reason);
    const new_token = client === "refresh-token" && this.#options.getToken !== undefined;
    if (new_token || error.reason === "draining") {
      // Refused before it did anything, and the Shield closes next: nothing more goes this way.
      if (this.#sink === sink) this.#sink = undefined;
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

  /** Puts a request back at its place in the order. */
  #requeue(request: OutboxRequest): void {
    let at = 0;
    while (at < this.#queue.length && (this.#queue[at] as OutboxRequest).id < request.id) at += 1;
    this.#queue.splice(at, 0, request);
    this.#queue_bytes += request.frame.length;
  }
}
