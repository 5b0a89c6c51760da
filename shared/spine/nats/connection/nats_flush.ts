/**
 * Counts the bytes that are handed to the connection and not confirmed, and confirms them. One PING
 * a turn of the event loop serves all callers; its PONG says that the server has everything before
 * it. There is one timer for all of them.
 */
import { setImmediate } from "node:timers";
import { ArqonError } from "@arqon/proto";
import { SequenceTable } from "../../../containers/sequence_table.ts";
import type { Link } from "./nats_link.ts";
import type { Wire } from "./nats_wire.ts";

/**
 * Unconfirmed bytes after which a PING is sent though nobody asked, to learn how far the server is.
 */
const PROBE_BYTES = 1_048_576;
/** Nor is anything handed over for longer than this without a PING, to learn whether the server answers. */
const PROBE_MS = 500;

/** What one PING confirms. */
interface Turn {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
  /** When the PONG must have come, by the clock that only grows. */
  deadline_ms: number;
  /** Its number among those that are not confirmed. */
  number: number;
}

/** Confirms what one connection was given. */
export class Flusher {
  readonly #link: Link;
  readonly #wire: Wire;
  /** Milliseconds that only grow. */
  readonly #monotonic: () => number;
  readonly #pending_bytes_max: number;
  readonly #probe_bytes: number;
  /** Running totals of bytes: handed over, covered by a PING, confirmed. */
  #handed = 0;
  #covered = 0;
  #confirmed = 0;
  /** The turn that collects now. */
  #turn: Turn | undefined;
  /** The turns that are not confirmed, in the order of their PINGs. */
  readonly #turns = new SequenceTable<Turn>();
  /** The number of the newest turn whose PONG is late; 0: none is, or it came after all. */
  #late = 0;
  /** When the last PING was asked for. */
  #asked_ms = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #endTurn = () => this.#ping();

  constructor(link: Link, wire: Wire, monotonic: () => number, pending_bytes_max: number) {
    this.#link = link;
    this.#wire = wire;
    this.#monotonic = monotonic;
    this.#pending_bytes_max = pending_bytes_max;
    this.#probe_bytes = Math.min(PROBE_BYTES, pending_bytes_max / 4);
  }

  /** Bytes handed over and not confirmed. */
  get pending_bytes(): number {
    return this.#handed - this.#confirmed;
  }

  /** Throws `spine-unavailable` while the server is silent. */
  assertAnswered(): void {
    if (this.#late !== 0) throw this.#silence();
  }

  /** Throws `spine-unavailable` when `size_bytes` more would exceed the bound. */
  assertRoom(size_bytes: number): void {
    if (this.pending_bytes + size_bytes <= this.#pending_bytes_max) return;
    throw new ArqonError("spine-unavailable", "too many bytes are not yet confirmed by NATS");
  }

  /** Counts bytes that were just handed to the connection. */
  handed(size_bytes: number): void {
    this.#handed += size_bytes;
    if (this.#handed - this.#covered < this.#probe_bytes && !this.#isOverdue()) return;
    // A flush that fails has been told to the log by the link already.
    this.flush().catch(() => {});
    this.#covered = this.#handed;
  }

  /** Forgets what was under way: it is gone with the connection. */
  forget(): void {
    this.#confirmed = this.#handed;
    this.#covered = this.#handed;
    this.#late = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const error = this.#link.unavailable();
    for (const turn of this.#turns.takeAll()) turn.reject(error);
  }

  /** Resolves with the PONG to a PING sent at the end of this turn. Rejects with `spine-unavailable`. */
  flush(): Promise<void> {
    if (this.#link.state !== "connected") return Promise.reject(this.#link.unavailable());
    if (this.#turn !== undefined) return this.#turn.promise;
    if (this.#late !== 0) return Promise.reject(this.#silence());
    this.#asked_ms = this.#monotonic();
    const turn = { ...Promise.withResolvers<void>(), deadline_ms: Infinity, number: 0 };
    this.#turn = turn;
    // From now on: a connection that drops within the turn has dropped the publishes too.
    turn.number = this.#turns.add(turn);
    this.#wire.hold();
    setImmediate(this.#endTurn);
    return turn.promise;
  }

  #ping(): void {
    const turn = this.#turn as Turn;
    this.#turn = undefined;
    if (this.#turns.get(turn.number) !== turn) return; // The connection was lost meanwhile.
    const { connection, state, request_timeout_ms } = this.#link;
    if (state !== "connected") {
      this.#wire.flush();
      return this.#settle(turn, this.#link.unavailable());
    }
    const up_to = this.#handed;
    this.#covered = up_to;
    turn.deadline_ms = this.#monotonic() + request_timeout_ms;
    this.#timer ??= setTimeout(() => this.#sweep(), request_timeout_ms);
    connection.flush().then(() => {
      this.#confirmed = Math.max(this.#confirmed, up_to);
      // PONGs come in the order of their PINGs.
      if (this.#late === turn.number) this.#late = 0;
      this.#settle(turn, undefined);
    }, (cause) => {
      if (this.#late === turn.number) this.#late = 0;
      const error = new ArqonError("spine-unavailable", "the flush was cut off", { cause });
      this.#settle(turn, error);
    });
  }

  #settle(turn: Turn, error: ArqonError | undefined): void {
    if (this.#turns.take(turn.number) === undefined) return;
    if (error === undefined) turn.resolve();
    else turn.reject(error);
  }

  #sweep(): void {
    this.#timer = undefined;
    const now_ms = this.#monotonic();
    const { request_timeout_ms } = this.#link;
    for (const turn of this.#turns.values()) {
      if (turn.deadline_ms > now_ms) {
        const wait_ms = Math.min(turn.deadline_ms - now_ms, request_timeout_ms);
        this.#timer = setTimeout(() => this.#sweep(), wait_ms);
        return;
      }
      this.#late = turn.number;
      this.#settle(turn, this.#silence());
    }
  }

  /** Whether something is on its way that no PING of late reports. */
  #isOverdue(): boolean {
    return this.#turns.size === 0 && this.#late === 0 &&
      this.#monotonic() - this.#asked_ms >= PROBE_MS;
  }

  #silence(): ArqonError {
    const detail = `NATS confirmed nothing in ${this.#link.request_timeout_ms} ms`;
    return new ArqonError("spine-unavailable", detail);
  }
}
