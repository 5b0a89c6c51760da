/**
 * A client's position in one durable room: the position in its next SUB, the meaning of the answer, which messages
 * count, and which are duplicates; and the positions of a pattern's rooms. The rules are the same in every language
 * (`sdk/conformance/README.md`, Positions). Pure; it sends nothing, and knows a session by its identity only.
 */
import { type Ack, encodeUtf8, strictText, type Uint64, type Welcome } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import { OWN_MAX } from "../wire/bounds.ts";
import { malformed } from "../wire/wire_error.ts";

/** A position in a durable room: directly after the message with this offset. */
export interface Position {
  readonly offset: Uint64;
  /**
   * The epoch of the log that the offset belongs to; it changes when the room's messages were lost or its log was
   * created again. Without it such a loss is not detected. Offset 0, the beginning of an epoch, needs it.
   */
  readonly epoch?: string;
}

/** Throws TypeError for an invalid position. Offset 0 needs an epoch. */
export function checkPosition({ offset, epoch = "" }: Position): void {
  const whole = typeof offset === "bigint" || Number.isSafeInteger(offset);
  const least = epoch === "" ? 1 : 0;
  if (!whole || offset < least) {
    throw new TypeError(`offset is ${offset}; expected an integer of at least ${least}`);
  }
}

/** The JSON in the answer to a SUB; undefined without one. Throws `malformed-frame`. */
export function readAnswer({ result }: Ack): unknown {
  if (result.length === 0) return undefined;
  try {
    return JSON.parse(strictText(result));
  } catch {
    throw malformed("no JSON");
  }
}

/** The position of one client in one room. A room that is not durable has none. */
export class Place {
  /** The position to start from, until there is a current one. */
  #start: Position | undefined;
  #position: Position | undefined;
  #delivered: Uint64 | undefined;
  #following = new WeakSet<object>();
  readonly #own: Set<Uint64> | undefined;
  /** True while stored messages are read from the history. */
  reading = false;
  /**
   * The epoch of the messages that are delivered now; empty if unknown: from a reported loss until an ACK has the
   * room's position. The position stays unchanged meanwhile.
   */
  epoch = "";
  /** `recovered` in the answer to the last SUB with a position. */
  recovered: boolean | undefined;

  /** `start`, checked, is the position in the first SUB; with `no_echo`, ACKs have the offsets of own messages. */
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

  /** The position that a SUB on this session must have; undefined: none. */
  asked(session: object): Position | undefined {
    const is_due = !this.reading && (this.#isLost() || !this.follows(session));
    return is_due ? this.#position ?? this.#start : undefined;
  }

  /** Applies the ACK of a SUB with the position `asked`. Returns the reason if messages are missing. */
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
      // The SUB only changed options, and delivered messages may be before the ACK's offset. After a loss another SUB
      // is under way, whose ACK decides.
      if (!is_lost) this.epoch = epoch;
      return undefined;
    }
    const is_recovered = recovered === true;
    if (asked !== here && !(is_recovered ? epoch === this.epoch : is_lost && followed)) {
      this.#following.delete(session);
      return undefined;
    }
    // An ACK that confirms a reported loss is no news, if no message has arrived since.
    const is_known = is_recovered || (is_lost && !this.#delivered);
    if (!is_recovered) {
      // From the ACK's offset on everything is new except messages already received: of the same log, or since the
      // loss.
      const is_repeat = is_lost
        ? followed && this.#delivered! >= offset
        : epoch === this.epoch && this.#delivered === offset;
      if (!is_repeat) this.#delivered = Number(offset) - 1;
      // Messages that another session still delivers precede the loss.
      this.#following = new WeakSet([session]);
    }
    this.epoch = epoch;
    this.#move(is_recovered ? here!.offset : offset);
    this.recovered = asked && is_recovered;
    return asked && !is_known ? `${reason || "reconnect"}` : undefined;
  }

  /** Applies a GAP of the bus on this session. False: the program need not know. */
  gap(session: object, reason: string): boolean {
    // Otherwise the history, or the answer to a SUB, shows what is missing.
    const counts = !this.reading && (this.follows(session) || !this.asked(session));
    const is_loss = ["epoch-changed", "history-trimmed", "erased"].includes(reason);
    if (counts && is_loss && this.#position) {
      this.#following = new WeakSet([session]);
      // The same position, but a new object, so that the answer to an earlier SUB does not match.
      this.#position = { ...this.#position };
      this.#lose();
    }
    // Changes of the room's state are not stored.
    return counts || reason === "changes-lost";
  }

  /** Records a message with this offset. False: it is a duplicate, and not for the program. */
  deliver(offset: Uint64): boolean {
    if (offset <= this.#delivered!) return false;
    this.#delivered = offset;
    if (this.#isLost()) this.#position = { ...this.#position! };
    else if (offset > (this.#position?.offset ?? 0)) this.#move(offset);
    return !this.#own?.delete(offset);
  }

  /** Records that the history has been read up to here; with `more` the read continues. */
  read(offset: Uint64, epoch: string, more: boolean): void {
    this.epoch = epoch;
    this.#delivered = offset;
    this.#move(offset);
    this.reading = more;
  }

  /** Records the offset in the ACK of this client's publish; undefined without a log or an ACK. */
  published(offset: Uint64 | undefined): void {
    if (!this.#own || !offset) return;
    this.#own.add(offset);
    const [oldest = offset] = this.#own;
    if (this.#own.size > OWN_MAX) this.#own.delete(oldest);
  }

  /** Records that the room is not, or no longer, durable. */
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

/** The default limit of positions in a SUB. */
const ROOMS_MAX = 1_000;
/** Overhead of one position beside its room's id, and of one SUB beside its positions, in bytes. */
const PLACE_BYTES = 24, SUB_BYTES = 1_024;

interface KeptPlace {
  readonly offset: number;
  /** The known epoch when the message arrived. */
  readonly epoch: string;
}

/** A room that continues from now instead of the requested position, and the reason. */
interface Lost {
  readonly room: string;
  readonly reason: string;
}

interface AskedPositions {
  /** For a SUB, as JSON. */
  readonly positions: Uint8Array;
  /** Records a refusal for this reason. True: it was too many positions, and the next SUB has fewer. */
  readonly isTooMany: (reason: string) => boolean;
}

/** The positions of a pattern's rooms, as its loops have received them: its SUBs have them, to continue from there. */
export class PatternPositions {
  /** The most recently received room is last. */
  readonly #places = new Map<string, KeptPlace>();
  #epoch = "";
  #most = ROOMS_MAX;

  /** Records a message that the loops received. */
  note(
    { room, offset, sender, signal }: Pick<Message, "room" | "offset" | "sender" | "signal">,
  ): void {
    if (offset) return this.#move(room, offset);
    if (sender !== "" || signal === undefined) return;
    const { kind, reason } = signal;
    const is_out = kind === "DISCONNECT" || kind === "BAN";
    // The room has another log, or the client was removed from it.
    if (is_out || (kind === "GAP" && reason === "epoch-changed")) this.#places.delete(room);
  }

  /**
   * The positions for a SUB, within a frame: none if it is already active (`stands`), and none of rooms that have their
   * `own` SUB.
   */
  ask(
    stands: boolean,
    own: Pick<ReadonlyMap<string, unknown>, "has">,
    { max_frame_bytes }: Pick<Welcome, "max_frame_bytes">,
  ): AskedPositions {
    const epochs = new Map<string, [string, number][]>();
    let count = 0;
    let left_bytes = max_frame_bytes - SUB_BYTES;
    for (const [room, { offset, epoch }] of stands ? [] : [...this.#places].reverse()) {
      left_bytes -= room.length + PLACE_BYTES;
      if (count === this.#most || left_bytes < 0) break;
      if (own.has(room)) continue;
      const rooms = epochs.get(epoch) ?? [];
      if (rooms.length === 0) left_bytes -= epoch.length + PLACE_BYTES;
      epochs.set(epoch, rooms);
      rooms.push([room, offset]);
      count++;
    }
    const table = [...epochs].map(([epoch, rooms]) => [epoch, Object.fromEntries(rooms)]);
    const positions = encodeUtf8(JSON.stringify(Object.fromEntries(table)));
    const isTooMany = (reason: string) => {
      if (reason !== "too-many-rooms" || count === 0) return false;
      this.#most = count >> 1;
      return true;
    };
    return { positions, isTooMany };
  }

  /** Applies the answer to a SUB. Returns the lost rooms. */
  answered(answer: unknown): Lost[] {
    const { epoch, positions } = (answer ?? {}) as Record<string, unknown>;
    this.#epoch = typeof epoch === "string" ? epoch : "";
    const lost: Lost[] = [];
    for (const [room, outcome] of Object.entries(positions ?? {})) {
      const { recovered, reason, offset } = (outcome ?? {}) as Record<string, unknown>;
      if (recovered === true) continue;
      lost.push({ room, reason: typeof reason === "string" && reason || "reconnect" });
      this.#places.delete(room);
      if (typeof offset === "number") this.#move(room, offset);
    }
    return lost;
  }

  /** Without an epoch an offset is no position. */
  #move(room: string, offset: Uint64): void {
    if (this.#epoch === "" || !Number.isSafeInteger(offset)) return;
    this.#places.delete(room);
    this.#places.set(room, { offset: Number(offset), epoch: this.#epoch });
    const [oldest = room] = this.#places.keys();
    if (this.#places.size > ROOMS_MAX) this.#places.delete(oldest);
  }
}
