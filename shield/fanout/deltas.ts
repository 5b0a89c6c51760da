/**
 * Messages as diffs from the ones before, for receivers that asked for it. The last data of each key of a room
 * is kept, and each receiver remembers which data it was sent; whoever holds the data before gets the diff,
 * which is made once, and everybody else gets all of it. What the bytes look like is `@arqon/proto`'s.
 */
import {
  adler32,
  encodeTextDelta,
  findData,
  plainWithData,
  readRouted,
  withData,
} from "@arqon/proto";
import type { DataSpan, Delta } from "@arqon/proto";
import { createFossil } from "../fossil/encode.ts";
import { createVcdiff } from "../vcdiff/encode.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { frameBytes } from "./frame_bytes.ts";
import type { Frame } from "./frame_bytes.ts";
import { frameOf } from "./outgoing.ts";
import type { Outgoing } from "./outgoing.ts";
import type { KeptBases } from "./kept_bases.ts";
import { keyOf } from "./room_message.ts";

/** The bounds of deltas, as in `[limits]`. */
export interface DeltaLimits {
  readonly delta_bases_per_room: number;
  readonly delta_bytes: number;
  readonly delta_message_bytes: number;
}

/** What a receiver of deltas says of itself. */
export interface DeltaReceiver {
  readonly text: boolean;
  /** The number of the data that the receiver holds, by slot; absent: it did not ask for deltas. */
  readonly bases?: number[] | undefined;
  /** What the connection still has of all its rooms; absent: whatever `bases` says. */
  readonly kept?: KeptBases | undefined;
  /** Whether the receiver reads diffs in VCDIFF; absent: it reads Fossil's. */
  readonly vcdiff?: boolean;
  /** Whether what is sent now surely leaves; absent: it does. */
  readonly is_direct?: boolean;
}

/** A frame and its bytes on the wire. */
export interface Sized {
  readonly frame: Frame;
  readonly size_bytes: number;
}

/** Data is smaller than what says that it is a diff. */
const DATA_BYTES_MIN = 48;
/** What keeping some data takes beside it. */
const BASE_BYTES = 256;

const NOTHING: DeltaLimits = { delta_bases_per_room: 1, delta_bytes: 0, delta_message_bytes: 0 };

/** The place of one key of one room. */
interface Slot {
  readonly room: RoomBases;
  readonly key: string;
  readonly index: number;
  /** What the data is called; 0: there is none. */
  number: number;
  data: Uint8Array;
}

/** The slots of one room, those that were not used the longest first. */
export interface RoomBases {
  readonly slots: Map<string, Slot>;
  /** The indexes below `next` that no slot has. */
  readonly free: number[];
  next: number;
}

/** A room as this sees it. */
interface DeltaRoom {
  readonly room_class: { readonly delta: "none" | "fossil" } | undefined;
  bases: RoomBases | undefined;
}

/** The data that is kept in the whole process. */
export class DeltaBases {
  readonly #limits: DeltaLimits;
  readonly #stats: ShieldStats["deltas"];
  /** All slots, those that were not used the longest first. */
  readonly #slots = new Set<Slot>();
  #last_number = 0;

  /** Without limits nothing is kept. */
  constructor(limits: Partial<DeltaLimits>, stats: ShieldStats["deltas"]) {
    this.#limits = { ...NOTHING, ...limits };
    this.#stats = stats;
  }

  /** The forms of a message that is about to be sent; undefined: everybody gets it as it is. */
  of(room: DeltaRoom, outgoing: Outgoing): MessageDelta | undefined {
    if (room.room_class?.delta !== "fossil") {
      if (room.bases !== undefined) this.forget(room);
      return undefined;
    }
    if (outgoing.is_own === true || outgoing.plain !== undefined) return undefined;
    return new MessageDelta(outgoing, this.#stats, (key, data) => this.#put(room, key, data));
  }

  /** Lets go what is kept of a room: it is closed, or may have missed messages. */
  forget(room: Pick<DeltaRoom, "bases">): void {
    for (const slot of room.bases?.slots.values() ?? []) this.#drop(slot);
    room.bases = undefined;
  }

  /** Keeps data in place of its key's data before; undefined: it is kept by nobody. */
  #put(room: DeltaRoom, key: string, data: Uint8Array): Placed | undefined {
    const { delta_bases_per_room, delta_bytes, delta_message_bytes } = this.#limits;
    const size = data.length + BASE_BYTES;
    if (data.length < DATA_BYTES_MIN || data.length > delta_message_bytes || size > delta_bytes) {
      return;
    }
    const bases = room.bases ??= { slots: new Map(), free: [], next: 0 };
    const before = bases.slots.get(key);
    if (before !== undefined) this.#drop(before);
    for (const oldest of bases.slots.values()) {
      if (bases.slots.size < delta_bases_per_room) break;
      this.#drop(oldest);
    }
    for (const oldest of this.#slots) {
      if (this.#stats.base_bytes + size <= delta_bytes) break;
      this.#drop(oldest);
    }
    const index = bases.free.pop() ?? bases.next++;
    const number = ++this.#last_number;
    // The bytes of a message on its way are somebody else's soon.
    const slot = { room: bases, key, index, number, data: data.slice() };
    bases.slots.set(key, slot);
    this.#slots.add(slot);
    this.#stats.base_bytes += size;
    return { slot, before: before?.index === index ? before : undefined };
  }

  #drop(slot: Slot): void {
    if (!this.#slots.delete(slot)) return;
    slot.room.slots.delete(slot.key);
    slot.room.free.push(slot.index);
    this.#stats.base_bytes -= slot.data.length + BASE_BYTES;
  }
}

/** Data that is kept, and what was kept in its place. */
interface Placed {
  readonly slot: Slot;
  readonly before: Slot | undefined;
}

/** A message that has data to be kept. */
interface Foldable extends Placed {
  readonly frame: Uint8Array;
  readonly span: DataSpan;
}

/** In what a message goes out: the form of its frame, and that of the diff, if it is one. */
type Form = "whole" | "whole text" | "fossil" | "fossil text" | "vcdiff";

/** A diff that is smaller than the data. */
interface Diff {
  readonly data: Uint8Array;
  readonly checksum?: number;
}

/** One message on its way to receivers of which some asked for deltas. */
class MessageDelta {
  readonly #outgoing: Outgoing;
  readonly #stats: ShieldStats["deltas"];
  readonly #put: (key: string, data: Uint8Array) => Placed | undefined;
  /** What can be folded; null: nothing. Undefined until the first receiver asks. */
  #foldable: Foldable | null | undefined;
  #fossil: Diff | null | undefined;
  #vcdiff: Diff | null | undefined;
  #is_text: boolean | undefined;
  /** The frames that were made. */
  readonly #frames = new Map<Form, Sized>();

  constructor(
    outgoing: Outgoing,
    stats: ShieldStats["deltas"],
    put: (key: string, data: Uint8Array) => Placed | undefined,
  ) {
    this.#outgoing = outgoing;
    this.#stats = stats;
    this.#put = put;
  }

  /**
   * The frame for a receiver, which holds its data from then on; undefined: it gets the message as everybody
   * does, and holds what it held. `may_drop`: what is queued for the receiver may yet be left out.
   */
  frameFor(receiver: DeltaReceiver, may_drop: boolean): Sized | undefined {
    const { bases, kept, is_direct } = receiver;
    if (bases === undefined || may_drop && is_direct === false) return undefined;
    const foldable = this.#foldable === undefined ? this.#foldable = this.#fold() : this.#foldable;
    if (foldable === null) return undefined;
    const { slot, before } = foldable;
    if (kept?.fits(slot.data.length) === false) return undefined;
    // Slots that were never used are 0, so that the array has no holes.
    while (bases.length <= slot.index) bases.push(0);
    const held = bases[slot.index]!;
    const has = held === before?.number && kept?.has(held) !== false;
    const folded = this.#frame(foldable, has ? held : 0, receiver);
    if (folded === undefined) return undefined;
    bases[slot.index] = slot.number;
    kept?.replace(held, slot.number, slot.data.length);
    return folded;
  }

  #fold(): Foldable | null {
    const frame = frameOf(this.#outgoing, false);
    if (typeof frame === "string") return null;
    const envelope = frame.subarray(1);
    const span = findData(envelope);
    if (span === undefined || span.delta !== undefined) return null;
    const key = keyOf(readRouted(envelope));
    const placed = key && this.#put(key, envelope.subarray(span.start, span.end));
    return placed ? { ...placed, frame, span } : null;
  }

  #frame(
    foldable: Foldable,
    base: number,
    { text, vcdiff = false }: DeltaReceiver,
  ): Sized | undefined {
    if (text && !(this.#is_text ??= isText(foldable.slot.data))) return undefined;
    const in_vcdiff = vcdiff && !text;
    const diff = base === 0
      ? undefined
      : in_vcdiff
      ? this.#vcdiffOf(foldable)
      : this.#fossilOf(foldable);
    const kind = diff === undefined ? "whole" : in_vcdiff ? "vcdiff" : "fossil";
    const form = text && kind !== "vcdiff" ? `${kind} text` as const : kind;
    let sized = this.#frames.get(form);
    if (sized === undefined) {
      sized = this.#write(foldable, diff, base, text);
      this.#frames.set(form, sized);
    }
    if (diff === undefined) this.#stats.forms.whole++;
    else {
      this.#stats.forms.diff++;
      this.#stats.saved_bytes += foldable.slot.data.length - diff.data.length;
    }
    return sized;
  }

  /** The diff; undefined when it is no smaller than the data. */
  #fossilOf({ slot, before }: Foldable): Diff | undefined {
    if (this.#fossil === undefined && before !== undefined) {
      const data = createFossil(before.data, slot.data);
      this.#fossil = data.length < slot.data.length ? { data } : null;
    }
    return this.#fossil ?? undefined;
  }

  /** As `#fossilOf`; the form has no checksum of its own. */
  #vcdiffOf({ slot, before }: Foldable): Diff | undefined {
    if (this.#vcdiff === undefined && before !== undefined) {
      const data = createVcdiff(before.data, slot.data);
      const is_smaller = data.length < slot.data.length;
      this.#vcdiff = is_smaller ? { data, checksum: adler32(slot.data) } : null;
    }
    return this.#vcdiff ?? undefined;
  }

  #write(
    { frame, span, slot }: Foldable,
    diff: Diff | undefined,
    base: number,
    text: boolean,
  ): Sized {
    const delta: Delta = {
      slot: slot.index,
      number: slot.number,
      base: diff === undefined ? 0 : base,
      ...(diff?.checksum !== undefined && { checksum: diff.checksum }),
    };
    const data = diff?.data ?? slot.data;
    const written = text
      ? encodeTextDelta(plainWithData(readRouted(frame.subarray(1)), data), delta)
      : withData(frame, span, data, delta);
    return { frame: written, size_bytes: frameBytes(written) };
  }
}

function isText(data: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(data);
    return true;
  } catch {
    return false;
  }
}
