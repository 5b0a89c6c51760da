/**
 * Where a client is in one durable room: what its next SUB asks for, what the answer to that means, which messages
 * count, and which of those are repeats. The rules are those of every language (`sdk/conformance/README.md`,
 * Positions). Pure; it sends nothing, and knows a session by its identity only.
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

/** Throws TypeError for a position that no SUB can ask for. Offset 0 needs an epoch. */
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
  /** The position to start from, until there is one. */
  #start: Position | undefined;
  #position: Position | undefined;
  #delivered: Uint64 | undefined;
  #following = new WeakSet<object>();
  readonly #own: Set<Uint64> | undefined;
  /** True while stored messages come from the history. */
  reading = false;
  /**
   * The epoch of the messages that are delivered now; empty when it is not known: from a loss that
   * the bus tells until an ACK says where the room stands. The position stays where it was.
   */
  epoch = "";
  /** What the last SUB that asked for a position was answered. */
  recovered: boolean | undefined;

  /** `start`, checked, is what the first SUB asks for; ACKs of `no_echo` tell own messages. */
  constructor(start: Position | undefined, no_echo: boolean) {
    this.#start = start;
    this.#delivered = start?.offset;
    this.#own = no_echo ? new Set() : undefined;
  }

  /** The present position; undefined before the first ACK and in a room that is not durable. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Whether stored messages of this session count. */
  follows(session: object): boolean {
    return this.#following.has(session);
  }

  /** The position that a SUB on this session has to ask for; undefined: it changes nothing of that. */
  asked(session: object): Position | undefined {
    const is_due = !this.reading && (this.#isLost() || !this.follows(session));
    return is_due ? this.#position ?? this.#start : undefined;
  }

  /** Takes the ACK of a SUB that asked for `asked`. Returns why messages are missing, if so. */
  accepted(
    session: object,
    asked: Position | undefined,
    { offset }: Pick<Ack, "offset">,
    answer: unknown,
  ): string | undefined {
    const { epoch, recovered, reason } = (answer ?? {}) as Record<string, unknown>;
    if (this.reading) return undefined;
    const here = this.#position ?? this.#start;
    const is_lost = this.#isLost();
    const followed = this.follows(session);
    this.#following.add(session);
    if (typeof epoch !== "string" || !epoch) {
      this.forget();
      return asked && "reconnect";
    }
    if (here && !asked && followed) {
      // It only changes options, and messages that come already may be behind the ACK's offset. After a
      // loss another SUB is on its way, whose ACK tells more.
      if (!is_lost) this.epoch = epoch;
      return undefined;
    }
    const is_recovered = recovered === true;
    if (asked !== here && !(is_recovered ? epoch === this.epoch : is_lost && followed)) {
      this.#following.delete(session);
      return undefined;
    }
    // An ACK that confirms a loss says nothing new, if nothing has come since that was reported.
    const is_told = is_recovered || (is_lost && !this.#delivered);
    if (!is_recovered) {
      // From the ACK's offset on everything is new but what was heard: of the same log, or since the loss.
      const is_heard = is_lost
        ? followed && this.#delivered! >= offset
        : epoch === this.epoch && this.#delivered === offset;
      if (!is_heard) this.#delivered = Number(offset) - 1;
      // What another session still brings is from before the loss.
      this.#following = new WeakSet([session]);
    }
    this.epoch = epoch;
    this.#move(is_recovered ? here!.offset : offset);
    this.recovered = asked && is_recovered;
    return asked && !is_told ? `${reason || "reconnect"}` : undefined;
  }

  /** Takes a GAP that the bus tells on this session. False: it says nothing to the program. */
  gap(session: object, reason: string): boolean {
    // Elsewhere the history shows what is missing, or the answer to a SUB tells.
    const counts = !this.reading && (this.follows(session) || !this.asked(session));
    const is_loss = ["epoch-changed", "history-trimmed", "erased"].includes(reason);
    if (counts && is_loss && this.#position) {
      this.#following = new WeakSet([session]);
      // The same place, but for what was asked before.
      this.#position = { ...this.#position };
      this.#lose();
    }
    // Changes of the room's state are not stored.
    return counts || reason === "changes-lost";
  }

  /** Takes note of a message with this offset. False: it is a repeat, and not for the program. */
  deliver(offset: Uint64): boolean {
    if (offset <= this.#delivered!) return false;
    this.#delivered = offset;
    if (this.#isLost()) this.#position = { ...this.#position! };
    else if (offset > (this.#position?.offset ?? 0)) this.#move(offset);
    return !this.#own?.delete(offset);
  }

  /** Takes note that the history has been read up to here; with `more` it is read on. */
  read(offset: Uint64, epoch: string, more: boolean): void {
    this.epoch = epoch;
    this.#delivered = offset;
    this.#move(offset);
    this.reading = more;
  }

  /** Takes note of the offset in the ACK of a publish of this client; without a log, or an ACK, it has none. */
  published(offset: Uint64 | undefined): void {
    if (!this.#own || !offset) return;
    this.#own.add(offset);
    const [oldest = offset] = this.#own;
    if (this.#own.size > OWN_MAX) this.#own.delete(oldest);
  }

  /** Takes note that the room is not durable, or not any longer. */
  forget(): void {
    this.#start = this.#position = undefined;
    this.#lose();
  }

  #isLost(): boolean {
    return !this.epoch && !!this.#position?.epoch;
  }

  #lose(): void {
    this.epoch = "";
    this.#delivered = undefined;
    this.#own?.clear();
  }

  #move(offset: Uint64): void {
    this.#position = this.epoch ? { offset, epoch: this.epoch } : { offset };
  }
}
