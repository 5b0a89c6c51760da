/**
 * Where a client stands in one durable room: what its next SUB asks for, what the answer to that means,
 * and which deliveries are repeats. Pure; it knows no session and sends nothing.
 *
 * Offsets grow but have gaps, so a hole cannot be seen by counting: that the messages after an ACK
 * leave none out is the Shield's promise, and the position is what holds it to that. The rule is
 * that *the position follows what was delivered*:
 * - After a SUB that asked for no position, or that recovered nothing, it is the ACK's.
 * - After a SUB that recovered, it stays where it was, although the ACK's offset is further on: the
 *   missed messages come only now, up to that offset, each moves the position, and when the
 *   connection drops among them the next SUB asks from the last one that came. When none was missed
 *   nothing tells so, and nothing needs to: the old position is as good as the ACK's to ask from.
 *
 * What is dropped as a repeat is another number: the last offset that was *delivered*. After an ACK
 * without recovery there is none yet, so that the last message of a room with `cache_last`, whose
 * offset is the ACK's own, is not taken for one that was heard.
 */
import { type Ack, strictText, type Uint64 } from "@arqon/proto";
import { OWN_MAX } from "../wire/bounds.ts";
import { malformed } from "../wire/wire_error.ts";

/** A place in a durable room: right after the message with this offset. */
export interface Position {
  readonly offset: Uint64;
  /**
   * The log that the offset belongs to; it changes when the room's messages were lost or its log
   * was made anew. Without it nobody notices that. Offset 0, the beginning of an epoch, needs it.
   */
  readonly epoch?: string;
}

/**
 * The position, checked. Throws TypeError for one that no SUB can ask for. An empty epoch is none,
 * and offset 0 needs one.
 */
export function checkPosition({ offset, epoch = "" }: Position): void {
  const whole = typeof offset === "bigint" || Number.isSafeInteger(offset);
  const least = epoch === "" ? 1 : 0;
  if (!whole || offset < least) {
    throw new TypeError(`offset is ${offset}; expected an integer of at least ${least}`);
  }
}

/** The JSON in the answer to a SUB; undefined when there is none. Throws `malformed-frame`. */
export function readAnswer({ result }: Ack): unknown {
  if (result.length === 0) return undefined;
  try {
    return JSON.parse(strictText(result));
  } catch {
    throw malformed("no JSON");
  }
}

/** How far one client has come in one room. A room that is not durable has no position. */
export class Place {
  /** The position to start from, until the first ACK. */
  #start: Position | undefined;
  #offset: Uint64 | undefined;
  #epoch = "";
  #delivered: Uint64 | undefined;
  /**
   * True when the log has changed, and no ACK has told yet which epoch the new one has. Until then
   * the position stays in the old log: a SUB after a drop is then sure to be told that something is
   * lost.
   */
  #changed = false;
  readonly #own: Set<Uint64> | undefined;
  /** What the last SUB that asked for a position was answered. */
  recovered: boolean | undefined;

  /**
   * `start`, checked, is what the first SUB asks for; the program has everything before it. With
   * `no_echo` own messages are recognised by the offsets of their ACKs: to the Shield a new
   * connection is somebody else.
   */
  constructor(start: Position | undefined, no_echo: boolean) {
    this.#start = start;
    this.#delivered = start?.offset;
    this.#own = no_echo ? new Set() : undefined;
  }

  /** The present position; undefined before the first ACK and in a room that is not durable. */
  get position(): Position | undefined {
    const offset = this.#offset;
    if (offset === undefined) return undefined;
    return this.#epoch === "" ? { offset } : { offset, epoch: this.#epoch };
  }

  /** The position that the next SUB asks for. */
  get asked(): Position | undefined {
    return this.position ?? this.#start;
  }

  /** The epoch of the messages that are delivered now; empty when it is not known. */
  get epoch(): string {
    return this.#changed ? "" : this.#epoch;
  }

  /**
   * Takes the ACK of a SUB that asked for `asked`, and its JSON. Returns why messages are missing
   * from here on; undefined when none are, or nothing was asked.
   */
  accepted(asked: Position | undefined, { offset }: Ack, answer: unknown): string | undefined {
    const { epoch, recovered, reason } = (answer ?? {}) as Record<string, unknown>;
    if (typeof epoch !== "string" || epoch === "") {
      this.forget();
      return asked === undefined ? undefined : "reconnect";
    }
    if (asked === undefined) {
      // On a session where messages come already it only changes options, and they may be behind the
      // ACK's offset. After a change another SUB is on its way, whose ACK tells more.
      if (!this.#changed) this.#epoch = epoch;
      this.#offset ??= offset;
      return undefined;
    }
    const other_log = epoch !== this.#epoch && !this.#changed;
    this.#changed = false;
    this.#epoch = epoch;
    this.recovered = recovered === true;
    if (recovered === true) {
      this.#offset ??= asked.offset;
      return undefined;
    }
    // What was delivered is no measure for another log (unless the change was told, and messages of the
    // new one have come since), nor for one that has fallen behind it.
    if (other_log || (this.#delivered ?? 0) > offset) this.#delivered = undefined;
    this.#offset = offset;
    return typeof reason === "string" && reason !== "" ? reason : "reconnect";
  }

  /** Puts the client at this position, wherever it was. */
  jump(offset: Uint64, epoch: string): void {
    this.#changed = false;
    this.#offset = this.#delivered = offset;
    this.#epoch = epoch;
  }

  /** Takes note of a message with this offset. False: it is a repeat, and not for the program. */
  deliver(offset: Uint64): boolean {
    if (offset === 0) return true;
    if (this.#delivered !== undefined && offset <= this.#delivered) return false;
    this.#delivered = offset;
    const ahead = this.#offset === undefined || offset > this.#offset;
    if (ahead && !this.#changed) this.#offset = offset;
    return this.#own?.delete(offset) !== true;
  }

  /** Takes note of the offset in the ACK of a publish of this client; without a log, or an ACK, it has none. */
  published(offset: Uint64 | undefined): void {
    if (!this.#own || !offset) return;
    this.#own.add(offset);
    const [oldest = offset] = this.#own;
    if (this.#own.size > OWN_MAX) this.#own.delete(oldest);
  }

  /** Takes note that the room has another log now. */
  changed(): void {
    this.#changed = true;
    this.#delivered = undefined;
    this.#own?.clear();
  }

  /** Takes note that the room is not durable, or not any more. */
  forget(): void {
    this.#start = this.#offset = undefined;
    this.#epoch = "";
    this.changed();
    this.#changed = false;
  }
}
