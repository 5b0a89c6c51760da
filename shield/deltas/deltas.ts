/**
 * Messages as diffs from earlier ones, for receivers that requested deltas. The last data of each key of a room is
 * stored as a base, and each receiver records which base it has. Receivers with the previous base get the diff, which
 * is made once; all others get the whole data. `@arqon/proto` defines the bytes.
 */
import {
  adler32,
  encodeTextDelta,
  findData,
  plainWithData,
  readRouted,
  withData,
} from "@arqon/proto";
import type { AskedDeltas, DataSpan, Delta } from "@arqon/proto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { createFossil } from "../../shared/fossil/encode.ts";
import { createVcdiff } from "../vcdiff/encode.ts";
import type { DeltaReceiver, DeltaRoom, Deltas, DeltaWish, Sized } from "../fanout/deltas.ts";
import { frameBytes } from "../fanout/frame_bytes.ts";
import { frameOf, keyOf, type Outgoing } from "../fanout/room_message.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";

/** The limits of deltas, as in `[limits]`. */
export interface DeltaLimits {
  readonly delta_bases_per_room: number;
  readonly delta_bytes: number;
  readonly delta_message_bytes: number;
  readonly delta_bytes_per_connection: number;
}

interface KeepingReceiver extends DeltaReceiver {
  readonly deltas?: {
    readonly bases: number[];
    readonly kept: KeptBases | undefined;
    readonly vcdiff: boolean;
  } | undefined;
}

/** Smaller data is never diffed: the header of a diff is as large. */
const DATA_BYTES_MIN = 48;
/** The memory of a base in addition to its data, in bytes. */
const BASE_BYTES = 256;

interface Slot {
  readonly room: RoomBases;
  readonly key: string;
  readonly index: number;
  /** The number of the data; 0: there is none. */
  number: number;
  data: Uint8Array;
}

/** The slots of one room, least recently used first. */
export interface RoomBases {
  readonly slots: Map<string, Slot>;
  /** The indexes below `next` that are free. */
  readonly free: number[];
  next: number;
}

interface SlottedRoom extends DeltaRoom {
  bases: RoomBases | undefined;
}

/** All bases of the process. */
export class DeltaBases implements Deltas {
  readonly #limits: DeltaLimits;
  readonly #stats: DeltaCounts;
  /** All slots, those that were not used the longest first. */
  readonly #slots = new BoundedMap<Slot, Slot>(Infinity);
  /** The bases that each connection still has, if it declared how many bytes it keeps. */
  readonly #kept = new WeakMap<object, KeptBases>();
  #last_number = 0;

  constructor(limits: DeltaLimits, stats: DeltaCounts) {
    this.#limits = limits;
    this.#stats = stats;
  }

  wish(
    connection: object,
    { delta, delta_bytes, vcdiff }: AskedDeltas,
  ): (DeltaWish & { readonly kept: KeptBases | undefined }) | undefined {
    if (!delta) return undefined;
    if (delta_bytes === 0) return { vcdiff, kept: undefined };
    const bytes_max = Math.min(delta_bytes, this.#limits.delta_bytes_per_connection);
    const kept = this.#kept.getOrInsertComputed(
      connection,
      () => new KeptBases(bytes_max, () => this.#stats.let_go++),
    );
    return { vcdiff, kept };
  }

  of(room: SlottedRoom, outgoing: Outgoing): MessageDelta | undefined {
    if (room.room_class?.delta !== "fossil") {
      if (room.bases !== undefined) this.forget(room);
      return undefined;
    }
    if (outgoing.is_own === true || outgoing.plain !== undefined) return undefined;
    return new MessageDelta(outgoing, this.#stats, (key, data) => this.#put(room, key, data));
  }

  forget(room: Pick<SlottedRoom, "bases">): void {
    for (const slot of room.bases?.slots.values() ?? []) this.#drop(slot);
    room.bases = undefined;
  }

  /** Stores data as the new base of its key; undefined if it is not stored. */
  #put(room: SlottedRoom, key: string, data: Uint8Array): Placed | undefined {
    const { delta_bases_per_room, delta_bytes, delta_message_bytes } = this.#limits;
    const size = data.length + BASE_BYTES;
    if (data.length < DATA_BYTES_MIN || data.length > delta_message_bytes || size > delta_bytes) {
      return;
    }
    const bases = room.bases ??= { slots: new Map(), free: [], next: 0 };
    const before = bases.slots.get(key);
    this.#drop(before);
    for (const oldest of bases.slots.values()) {
      if (bases.slots.size < delta_bases_per_room) break;
      this.#drop(oldest);
    }
    while (this.#stats.base_bytes + size > delta_bytes) this.#forgetSlot(this.#slots.dropOldest());
    const index = bases.free.pop() ?? bases.next++;
    const number = ++this.#last_number;
    // The bytes of a message in transit are reused, so the base is a copy.
    const slot = { room: bases, key, index, number, data: data.slice() };
    bases.slots.set(key, slot);
    this.#slots.set(slot, slot);
    this.#stats.base_bytes += size;
    return { slot, before: before?.index === index ? before : undefined };
  }

  #drop(slot: Slot | undefined): void {
    if (slot !== undefined && this.#slots.delete(slot)) this.#forgetSlot(slot);
  }

  #forgetSlot(slot: Slot | undefined): void {
    if (slot === undefined) return;
    slot.room.slots.delete(slot.key);
    slot.room.free.push(slot.index);
    this.#stats.base_bytes -= slot.data.length + BASE_BYTES;
  }
}

/** A stored base, and the base that it replaced. */
interface Placed {
  readonly slot: Slot;
  readonly before: Slot | undefined;
}

/** A message whose data was stored as a base. */
interface Foldable extends Placed {
  readonly frame: Uint8Array;
  readonly span: DataSpan;
}

/** The form of a sent message: of its frame, and of its diff, if it is one. */
type Form = "whole" | "whole text" | "fossil" | "fossil text" | "vcdiff";

/** A diff that is smaller than its data. */
interface Diff {
  readonly data: Uint8Array;
  readonly checksum?: number;
}

/** One message in transit to receivers of which some requested deltas. */
class MessageDelta {
  readonly #outgoing: Outgoing;
  readonly #stats: DeltaCounts;
  readonly #put: (key: string, data: Uint8Array) => Placed | undefined;
  /** The message's diffable data; null: none. Undefined until the first receiver asks. */
  #foldable: Foldable | null | undefined;
  #fossil: Diff | null | undefined;
  #vcdiff: Diff | null | undefined;
  #is_text: boolean | undefined;
  readonly #frames = new Map<Form, Sized>();

  constructor(
    outgoing: Outgoing,
    stats: DeltaCounts,
    put: (key: string, data: Uint8Array) => Placed | undefined,
  ) {
    this.#outgoing = outgoing;
    this.#stats = stats;
    this.#put = put;
  }

  frameFor(receiver: KeepingReceiver, may_drop: boolean): Sized | undefined {
    const { text, deltas, is_direct } = receiver;
    if (deltas === undefined || may_drop && is_direct === false) return undefined;
    const { bases, kept, vcdiff } = deltas;
    const foldable = this.#foldable === undefined ? this.#foldable = this.#fold() : this.#foldable;
    if (foldable === null) return undefined;
    const { slot, before } = foldable;
    if (kept?.fits(slot.data.length) === false) return undefined;
    // Unused slots are 0, so that the array has no holes.
    while (bases.length <= slot.index) bases.push(0);
    const held = bases[slot.index]!;
    const has = held === before?.number && kept?.has(held) !== false;
    const folded = this.#frame(foldable, has ? held : 0, text, vcdiff);
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
    text: boolean,
    vcdiff: boolean,
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

  /** The diff; undefined if it is not smaller than the data. */
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

// The bases that one connection still has, if it declared how many bytes it keeps. Both sides evict the oldest bases by
// the same rule, so evictions need no messages.

/** The memory of a base in addition to its bytes. */
const DATA_BYTES = 256;

/** The numbers of a connection's bases, oldest first. */
export class KeptBases {
  readonly bytes_max: number;
  readonly #sizes = new BoundedMap<number, number>(Infinity);
  readonly #letGo: () => void;
  #bytes = 0;

  /** `letGo` is called for each base that is evicted. */
  constructor(bytes_max: number, letGo: () => void) {
    this.bytes_max = bytes_max;
    this.#letGo = letGo;
  }

  /** Whether data of that many bytes is kept at all. */
  fits(length: number): boolean {
    return length + DATA_BYTES <= this.bytes_max;
  }

  has(number: number): boolean {
    return this.#sizes.get(number) !== undefined;
  }

  /** Records sent data as the new base in a slot; `before` is the number of the replaced base, or 0. */
  replace(before: number, number: number, length: number): void {
    this.#bytes -= this.#sizes.get(before) ?? 0;
    this.#sizes.delete(before);
    this.#sizes.set(number, length + DATA_BYTES);
    this.#bytes += length + DATA_BYTES;
    while (this.#bytes > this.bytes_max) {
      this.#bytes -= this.#sizes.dropOldest() ?? 0;
      this.#letGo();
    }
  }
}

/** The counts of one process, all at zero. */
export class DeltaCounts {
  /** Messages, one for each receiver, by what their data was: `diff` or `whole`. */
  readonly forms = { diff: 0, whole: 0 };
  /** Bytes by which diffs were smaller than the data that they stood for. */
  saved_bytes = 0;
  /** Bytes of data that is kept to make diffs from. */
  base_bytes = 0;
  /** Data that a receiver of deltas was sent and may have let go, as it keeps no more bytes. */
  let_go = 0;
}

/** The counts, as metrics of the process. */
export function registeredCounts(registry: Registry): DeltaCounts {
  const counts = new DeltaCounts();
  scraped(registry, {
    "shield_delta_messages_total": [
      "Messages to receivers of deltas, by what their data was.",
      "form",
      () => counts.forms,
    ],
    "shield_delta_saved_bytes_total": [
      "Bytes by which diffs were smaller than the data that they stood for.",
      () => counts.saved_bytes,
    ],
    "shield_delta_base_bytes": [
      "Bytes of data that is kept to make diffs from.",
      () => counts.base_bytes,
    ],
    "shield_delta_let_go_total": [
      "Data that receivers of deltas let go, as they keep no more bytes.",
      () => counts.let_go,
    ],
  });
  return counts;
}
