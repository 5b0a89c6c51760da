/**
 * Counts sent and unconfirmed bytes, and confirms them. One PING a turn of the event loop serves all callers; its PONG
 * confirms everything sent before it. All share one timer.
 */
import { setImmediate } from "node:timers";
import { ArqonError } from "@arqon/proto";
import { SequenceTable } from "../../../containers/sequence_table.ts";
import { tenantOfSubject } from "../../../subjects/subject.ts";
import { PendingShares } from "../../contract/pending.ts";
import type { Link } from "./nats_link.ts";
import type { Wire } from "./nats_wire.ts";

/** Unconfirmed bytes after which a PING is sent without a flush, to learn how far the server is. */
const PROBE_BYTES = 1_048_576;
/** The longest time of sending without a PING, to learn whether the server answers. */
const PROBE_MS = 500;

/** What one PING confirms. */
interface Turn {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
  /** Deadline of the PONG, monotonic. */
  deadline_ms: number;
  /** Its number among the unconfirmed turns. */
  number: number;
}

/** Confirms the bytes of one connection. */
export class Flusher {
  readonly #link: Link;
  readonly #wire: Wire;
  /** Monotonic milliseconds. */
  readonly #pending_bytes_max: number;
  readonly #probe_bytes: number;
  #shares: PendingShares;
  /** The bytes of each tenant that were counted since the last PING. */
  #counted = new Map<string, number>();
  /** Running totals of bytes: sent, covered by a PING, confirmed. */
  #handed = 0;
  #covered = 0;
  #confirmed = 0;
  /** The turn that collects callers now. */
  #turn: Turn | undefined;
  /** The unconfirmed turns, in the order of their PINGs. */
  readonly #turns = new SequenceTable<Turn>();
  /** The number of the newest turn with an overdue PONG; 0: none, or it arrived later. */
  #late = 0;
  /** When the last PING was requested. */
  #asked_ms = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #endTurn = () => this.#ping();

  constructor(link: Link, wire: Wire, pending_bytes_max: number) {
    this.#link = link;
    this.#wire = wire;
    this.#pending_bytes_max = pending_bytes_max;
    this.#shares = new PendingShares(pending_bytes_max);
    this.#probe_bytes = Math.min(PROBE_BYTES, pending_bytes_max / 4);
  }

  /** Bytes sent and not confirmed. */
  get pending_bytes(): number {
    return this.#handed - this.#confirmed;
  }

  /** Throws `spine-unavailable` while a PONG is overdue. */
  assertAnswered(): void {
    if (this.#late !== 0) throw this.#silence();
  }

  /** Throws `spine-unavailable` when `size_bytes` more would exceed the share of the subject's tenant. */
  assertRoom(size_bytes: number, subject: string): void {
    const counted = this.#shares.counted(this.pending_bytes, size_bytes);
    if (this.#shares.hasRoom(subject, counted)) return;
    throw new ArqonError("spine-unavailable", "too many bytes are not yet confirmed by NATS");
  }

  /** Counts bytes that were just sent. */
  handed(size_bytes: number, subject: string): void {
    const counted = this.#shares.counted(this.pending_bytes, size_bytes);
    this.#handed += size_bytes;
    if (counted > 0) this.#count(tenantOfSubject(subject), counted);
    if (this.#handed - this.#covered < this.#probe_bytes && !this.#isOverdue()) return;
    // The link has already logged a failed flush.
    this.flush().catch(() => {});
    this.#covered = this.#handed;
  }

  /** Forgets unconfirmed bytes: they were lost with the connection. */
  forget(): void {
    this.#confirmed = this.#handed;
    this.#covered = this.#handed;
    this.#shares = new PendingShares(this.#pending_bytes_max);
    this.#counted = new Map();
    this.#late = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const error = this.#link.unavailable();
    for (const turn of this.#turns.takeAll()) turn.reject(error);
  }

  /** Rejects the flush whose PONG is next: the server has denied something that it covers. */
  denied(): void {
    const [turn] = this.#turns.values();
    // Nothing of a turn without a PING has reached the server.
    if (turn === undefined || turn.deadline_ms === Infinity) return;
    const why = "NATS denies this process a message or a subscription";
    this.#settle(turn, new ArqonError("spine-unavailable", why));
  }

  /** Resolves with the PONG to a PING sent at the end of this turn. Rejects with `spine-unavailable`. */
  flush(): Promise<void> {
    if (this.#link.state !== "connected") return Promise.reject(this.#link.unavailable());
    if (this.#turn !== undefined) return this.#turn.promise;
    if (this.#late !== 0) return Promise.reject(this.#silence());
    this.#asked_ms = this.#link.monotonic();
    const turn = { ...Promise.withResolvers<void>(), deadline_ms: Infinity, number: 0 };
    this.#turn = turn;
    // From now on: if the connection drops within the turn, its publishes are lost, too.
    turn.number = this.#turns.add(turn);
    this.#wire.hold();
    setImmediate(this.#endTurn);
    return turn.promise;
  }

  #ping(): void {
    const turn = this.#turn as Turn;
    this.#turn = undefined;
    if (this.#turns.get(turn.number) !== turn) return; // The connection was lost meanwhile.
    const { connection, state, patience_ms } = this.#link;
    if (state !== "connected") {
      this.#wire.flush();
      return this.#settle(turn, this.#link.unavailable());
    }
    const up_to = this.#handed;
    const release = this.#releaseOf();
    this.#covered = up_to;
    turn.deadline_ms = this.#link.monotonic() + patience_ms;
    this.#timer ??= setTimeout(() => this.#sweep(), patience_ms);
    connection.flush().then(() => {
      this.#confirmed = Math.max(this.#confirmed, up_to);
      release?.();
      // PONGs arrive in the order of their PINGs.
      if (this.#late === turn.number) this.#late = 0;
      this.#settle(turn, undefined);
    }, (cause) => {
      if (this.#late === turn.number) this.#late = 0;
      const error = new ArqonError("spine-unavailable", "the flush was cut off", { cause });
      this.#settle(turn, error);
    });
  }

  #count(tenant_id: string, counted: number): void {
    this.#shares.add(tenant_id, counted);
    this.#counted.set(tenant_id, (this.#counted.get(tenant_id) ?? 0) + counted);
  }

  /** Releases what was counted since the last PING; undefined: nothing was. */
  #releaseOf(): (() => void) | undefined {
    const counted = this.#counted;
    if (counted.size === 0) return undefined;
    this.#counted = new Map();
    // Shares of a lost connection were forgotten.
    const shares = this.#shares;
    return () => counted.forEach((bytes, tenant_id) => shares.add(tenant_id, -bytes));
  }

  #settle(turn: Turn, error: ArqonError | undefined): void {
    if (this.#turns.take(turn.number) === undefined) return;
    if (error === undefined) turn.resolve();
    else turn.reject(error);
  }

  #sweep(): void {
    this.#timer = undefined;
    const now_ms = this.#link.monotonic();
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

  /** Whether unconfirmed bytes are not covered by a recent PING. */
  #isOverdue(): boolean {
    return this.#turns.size === 0 && this.#late === 0 &&
      this.#link.monotonic() - this.#asked_ms >= PROBE_MS;
  }

  #silence(): ArqonError {
    const detail = `NATS confirmed nothing in ${this.#link.request_timeout_ms} ms`;
    return new ArqonError("spine-unavailable", detail);
  }
}
