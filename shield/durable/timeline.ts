/**
 * The newest messages of one durable room, as a list that readers walk at their own pace. Pure: it
 * knows no log and no clock. Who may read from where is `recovery.ts`.
 *
 * Invariant: every message of the room above `floor` and up to `last` is in the list, in the order of
 * the offsets.
 */

/** A message as the log has stored it. */
export interface StoredMessage {
  readonly offset: number;
  /** Unix ms by the log's clock. */
  readonly time_ms: number;
  readonly envelope: Uint8Array;
  /** The connection that published and wants no echo; "" for none. */
  readonly origin: string;
}

/** One message of the list. There are as many as the log's cache holds, so that every object counts. */
export class Entry implements StoredMessage {
  readonly offset: number;
  readonly time_ms: number;
  readonly origin: string;
  /** Running count: of two entries, the difference is how many messages lie between. May be negative. */
  readonly index: number;
  /** Running bytes of the envelopes before this one; only differences mean something. */
  readonly bytes_before: number;
  /** Size of the envelope as stored. */
  readonly size_bytes: number;
  next: Entry | undefined;
  #envelope: Uint8Array;
  #binary: Uint8Array<ArrayBuffer> | undefined = undefined;
  /** The text frame, made for the first receiver. */
  text: string | undefined = undefined;

  constructor(message: StoredMessage, index: number, bytes_before: number, next?: Entry) {
    this.offset = message.offset;
    this.time_ms = message.time_ms;
    this.origin = message.origin;
    this.index = index;
    this.bytes_before = bytes_before;
    this.size_bytes = message.envelope.length;
    this.next = next;
    this.#envelope = message.envelope;
  }

  /** As stored, or as in `binary`, which adds the offset. */
  get envelope(): Uint8Array {
    return this.#envelope;
  }

  /** The binary frame, made for the first receiver. */
  get binary(): Uint8Array<ArrayBuffer> | undefined {
    return this.#binary;
  }

  /** `frame` is an opcode and the envelope: that is kept once from now on. */
  set binary(frame: Uint8Array<ArrayBuffer>) {
    this.#binary = frame;
    this.#envelope = frame.subarray(1);
  }
}

/** A reader's place. Following it never skips: what is trimmed meanwhile stays reachable for it. */
export interface Cursor {
  /** The next message, and moves past it; undefined: at the end, for now. */
  next(): Entry | undefined;
  /**
   * Bytes of the envelopes that the cursor has not read: it may be alone in keeping them in memory.
   */
  readonly lag_bytes: number;
  /** How many messages those are. */
  readonly lag_messages: number;
}

/** What became of an offer. `repeated`: it is there, or lies before the list. */
export type Offer = "appended" | "repeated" | "gap";

const NOTHING = new Uint8Array(0);
/** Trimmed places that may wait at the head of the array. */
const SLACK = 64;

/** Running bytes up to the end of this entry. */
function bytesThrough(entry: Entry): number {
  return entry.bytes_before + entry.size_bytes;
}

/** An entry that stands before all others and is never given to anybody. */
function mark(offset: number, index: number, bytes_before: number, next?: Entry): Entry {
  const nothing = { offset, time_ms: 0, envelope: NOTHING, origin: "" };
  return new Entry(nothing, index, bytes_before, next);
}

/** Where `mark` must stand to come right before `entry`. */
function markBefore(entry: Entry): Entry {
  return mark(entry.offset - 1, entry.index - 1, entry.bytes_before, entry);
}

/** The list; one a room and epoch. Those of one room hang together, so that readers go from one to the next. */
export class Timeline {
  #floor: number;
  #last: number;
  /** The entries; those from `#start` on are in the list. */
  #entries: (Entry | undefined)[] = [];
  #start = 0;
  /** What comes right before the first entry: a mark, or the end of what was before the list. */
  #before: Entry;
  #tail: Entry;

  /** Empty, at position `offset`; readers at the end of `previous` go on here. */
  constructor(offset: number, previous?: Timeline) {
    this.#floor = offset;
    this.#last = offset;
    this.#before = previous?.tail ?? mark(offset, 0, 0);
    this.#tail = this.#before;
  }

  get floor(): number {
    return this.#floor;
  }

  /** The current position: the newest message's offset, or where an empty room stands. */
  get last(): number {
    return this.#last;
  }

  get first(): Entry | undefined {
    return this.#entries[this.#start];
  }

  get newest(): Entry | undefined {
    return this.#entries.at(-1);
  }

  /** Where readers are that have read everything; not necessarily a message. */
  get tail(): Entry {
    return this.#tail;
  }

  get count(): number {
    return this.#entries.length - this.#start;
  }

  /** Bytes of the envelopes in the list. */
  get bytes(): number {
    return bytesThrough(this.#tail) - bytesThrough(this.#before);
  }

  /**
   * Takes a message that came right after `previous`, which the log had then as the newest of the
   * room. A `previous` below `last` means that the log has expired what was there.
   */
  offer(message: StoredMessage, previous: number): Offer {
    if (message.offset <= this.#last) return "repeated";
    if (previous > this.#last) return "gap";
    const entry = new Entry(message, this.#tail.index + 1, bytesThrough(this.#tail));
    this.#tail.next = entry;
    this.#tail = entry;
    this.#last = entry.offset;
    this.#entries.push(entry);
    return "appended";
  }

  /** What came up to `offset` is lost: the list begins anew after it. */
  skip(offset: number): void {
    this.#entries = [];
    this.#start = 0;
    this.#before = this.#tail;
    this.#last = Math.max(this.#last, offset);
    this.#floor = this.#last;
  }

  /** The room has nothing above `last` up to `offset`, and never had: its position is that. */
  rest(offset: number): void {
    this.#last = Math.max(this.#last, offset);
  }

  /**
   * Puts older messages in front: all that the room has above `floor` up to the present floor, in
   * order. Throws TypeError when they are not in order, or when the list is empty and they are not:
   * a list that knows no message of its own cannot be sure that these are the last before it.
   */
  prepend(messages: readonly StoredMessage[], floor: number): void {
    let next = this.first;
    if (messages.length > 0 && next === undefined) {
      throw new TypeError("nothing to put them before");
    }
    if (floor > this.#floor) throw new TypeError("the floor would rise");
    const older: Entry[] = [];
    let above = this.#floor + 1;
    for (const message of messages.toReversed()) {
      if (message.offset >= above || message.offset <= floor) throw new TypeError("not in order");
      above = message.offset;
      const { index, bytes_before } = next as Entry;
      next = new Entry(message, index - 1, bytes_before - message.envelope.length, next);
      older.push(next);
    }
    this.#floor = floor;
    if (next === undefined || older.length === 0) return;
    this.#entries = [...older.reverse(), ...this.#entries.slice(this.#start)];
    this.#start = 0;
    this.#before = markBefore(next);
  }

  /** Drops the oldest above these bounds; the newest stays. True when it dropped any. */
  trim(max_messages: number, max_bytes: number): boolean {
    const stays = this.#entries.length - 1;
    let first: Entry | undefined;
    while (this.#start < stays && (this.count > max_messages || this.bytes > max_bytes)) {
      this.#before = this.#entries[this.#start] as Entry;
      this.#floor = this.#before.offset;
      this.#entries[this.#start++] = undefined;
      first = this.first;
    }
    if (first === undefined) return false;
    // The trimmed one itself would keep its envelope.
    this.#before = markBefore(first);
    if (this.#start > SLACK && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
    return true;
  }

  /** The entry that a reader at this offset has read last. Throws RangeError below `floor`. */
  at(offset: number): Entry {
    if (offset < this.#floor) throw new RangeError(`${offset} is below ${this.#floor}`);
    let low = this.#start;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as Entry).offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low === this.#start ? this.#before : this.#entries[low - 1] as Entry;
  }
}

/** Messages and bytes after `read` up to `tail`, and the first of them. */
export function missedBetween(
  read: Entry,
  tail: Entry,
): { readonly messages: number; readonly bytes: number; readonly first: Entry | undefined } {
  const bytes = bytesThrough(tail) - bytesThrough(read);
  return { messages: tail.index - read.index, bytes, first: read.next };
}

/** A cursor that has read up to `read`; `tail` tells where the newest timeline ends. */
export function cursorAfter(read: Entry, tail: () => Entry): Cursor {
  let place = read;
  return {
    next() {
      const { next } = place;
      if (next !== undefined) place = next;
      return next;
    },
    get lag_bytes() {
      return bytesThrough(tail()) - bytesThrough(place);
    },
    get lag_messages() {
      return tail().index - place.index;
    },
  };
}

/** A cursor whose next is `entry`. */
export function cursorBefore(entry: Entry, tail: () => Entry): Cursor {
  return cursorAfter(markBefore(entry), tail);
}
