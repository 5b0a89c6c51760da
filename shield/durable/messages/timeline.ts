/**
 * The newest messages of one durable room, as a list that readers walk at their own pace. Pure: it knows no log and no
 * clock. `recovery.ts` decides who may read from where.
 *
 * Invariant: every message of the room above `floor` and up to `last` is in the list, in the order of the offsets.
 */
import { encodeMsgAt, type FrameSpace } from "@arqon/proto";
import type { Entry as RoomEntry } from "../../fanout/entry.ts";
import {
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "../../../shared/spine/contract/durable_log.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { ORIGIN_HEADER } from "../../../shared/records/caller_headers.ts";
import { readable } from "../../../shared/spine/contract/read_page.ts";

/** A message as the log has stored it. */
export interface StoredMessage {
  readonly offset: number;
  /** The log's time of storing it, in Unix ms. */
  readonly time_ms: number;
  readonly envelope: Uint8Array;
  /** The connection that published it without echo; "" for none. */
  readonly origin: string;
}

// An array with its own buffer takes 200 B of heap and about 200 B of malloc in addition to its bytes, so several
// frames share one. Each buffer belongs to one room: a quiet room must not retain a busy room's dropped messages.

const NOTHING = new Uint8Array(0);

/** One message of the list. The cache has one object per message, so their size matters. */
export class Entry implements StoredMessage, RoomEntry {
  readonly offset: number;
  readonly time_ms: number;
  readonly origin: string;
  /** Running count: the difference of two entries is the number of messages between them. May be negative. */
  readonly index: number;
  /** Running bytes of the envelopes before this one; only differences mean something. */
  readonly bytes_before: number;
  /** Size of the envelope as it was stored. */
  readonly size_bytes: number;
  next: Entry | undefined;
  /** The text frame, made for the first receiver. */
  text: string | undefined = undefined;
  /** The array in which the binary frame lies, and from where to where. */
  #bytes = NOTHING;
  #start = 0;
  #end = 0;

  constructor(message: StoredMessage, index: number, bytes_before: number, next?: Entry) {
    this.offset = message.offset;
    this.time_ms = message.time_ms;
    this.origin = message.origin;
    this.index = index;
    this.bytes_before = bytes_before;
    this.size_bytes = message.envelope.length;
    this.next = next;
  }

  /** Copies the message's bytes into this space, as the frame that all receivers get. */
  keep(envelope: Uint8Array, space: FrameSpace): this {
    const frame = encodeMsgAt(envelope, this.offset, space);
    this.#bytes = space.bytes;
    this.#start = frame.byteOffset;
    this.#end = this.#start + frame.length;
    shown = frame;
    return this;
  }

  /** Moves the frame into its own array. */
  settle(): void {
    if (this.#end - this.#start === this.#bytes.length) return;
    this.#bytes = this.#bytes.slice(this.#start, this.#end);
    [this.#start, this.#end] = [0, this.#bytes.length];
  }

  /** The binary frame: an opcode, the envelope as stored, and the offset. */
  get binary(): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes;
    if (shown.buffer !== bytes.buffer || shown.byteOffset !== this.#start) {
      shown = bytes.subarray(this.#start, this.#end);
    }
    return shown;
  }

  get envelope(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(this.#start + 1, this.#start + 1 + this.size_bytes);
  }
}

/** The frame that was requested last: all receivers of a message request it at once. */
let shown = NOTHING;

/** A reader's place in the list. A cursor never skips: trimmed messages stay reachable for it. */
export interface Cursor {
  /** Returns the next message and moves past it; undefined at the end, for now. */
  next(): Entry | undefined;
  /** The offset after which it continues. */
  readonly offset: number;
  /** Bytes of the envelopes that the cursor has not read. It may be the only one that keeps them in memory. */
  readonly lag_bytes: number;
  readonly lag_messages: number;
}

/** The outcome of an offer. `repeated`: the message is in the list, or lies before it. */
export type Offer = "appended" | "repeated" | "gap";

/** The most trimmed slots at the head of the array. */
const SLACK = 64;

/** The running bytes up to and including this entry. */
function bytesThrough(entry: Entry): number {
  return entry.bytes_before + entry.size_bytes;
}

/** An entry before all others that is never delivered. */
function mark(offset: number, index: number, bytes_before: number, next?: Entry): Entry {
  const nothing = { offset, time_ms: 0, envelope: NOTHING, origin: "" };
  return new Entry(nothing, index, bytes_before, next);
}

/** A mark directly before `entry`. */
function markBefore(entry: Entry): Entry {
  return mark(entry.offset - 1, entry.index - 1, entry.bytes_before, entry);
}

/**
 * The list of one room in one epoch. The lists of one room are linked, so that readers continue from one to the next.
 */
export class Timeline {
  #floor: number;
  #last: number;
  /** The entries; those from `#start` on are in the list. */
  #entries: (Entry | undefined)[] = [];
  #start = 0;
  readonly #frames = new KeptFrames();
  /** The entry right before the first: a mark, or the end of the previous list. */
  #before: Entry;
  #tail: Entry;

  /** Makes an empty list at position `offset`; readers at the end of `previous` continue in it. */
  constructor(offset: number, previous?: Timeline) {
    this.#floor = offset;
    this.#last = offset;
    this.#before = previous?.tail ?? mark(offset, 0, 0);
    this.#tail = this.#before;
  }

  get floor(): number {
    return this.#floor;
  }

  /** The current position: the newest message's offset, or the position of an empty room. */
  get last(): number {
    return this.#last;
  }

  get first(): Entry | undefined {
    return this.#entries[this.#start];
  }

  get newest(): Entry | undefined {
    return this.#entries.at(-1);
  }

  /** The position of readers that have read everything; not necessarily a message. */
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
   * Adds a message that follows `previous`, which was then the log's newest of the room. A `previous` below `last`
   * means that earlier messages have expired from the log.
   */
  offer(message: StoredMessage, previous: number): Offer {
    if (message.offset <= this.#last) return "repeated";
    if (previous > this.#last) return "gap";
    const entry = this.#keep(
      new Entry(message, this.#tail.index + 1, bytesThrough(this.#tail)),
      message,
    );
    this.#tail.next = entry;
    this.#tail = entry;
    this.#last = entry.offset;
    this.#entries.push(entry);
    return "appended";
  }

  /** Restarts the list after `offset`: everything up to there is lost. */
  skip(offset: number): void {
    this.#entries = [];
    this.#start = 0;
    this.#frames.restart();
    this.#before = this.#tail;
    this.#last = Math.max(this.#last, offset);
    this.#floor = this.#last;
  }

  /** Drops the messages below `offset`, which the log no longer has. Messages of a reader stay with it. */
  forgetBelow(offset: number): boolean {
    const { first } = this;
    if (first === undefined || first.offset >= offset) return false;
    let last = first;
    for (let next = this.first; next !== undefined && next.offset < offset; next = this.first) {
      last = next;
      this.#entries[this.#start++] = undefined;
    }
    this.#floor = last.offset;
    const { first: left } = this;
    this.#before = left === undefined ? this.#tail : markBefore(left);
    if (left === undefined) {
      this.#entries = [];
      this.#start = 0;
      this.#frames.restart();
    }
    return true;
  }

  /** Moves the position to `offset`: the room never had a message between `last` and there. */
  rest(offset: number): void {
    this.#last = Math.max(this.#last, offset);
  }

  /**
   * Puts older messages in front: all of the room's above `floor` up to the present floor, in order. Throws TypeError
   * if they are not in order, or the list is empty and they are not: a list without its own message cannot prove that
   * these are the last ones before it.
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
      next = this.#keep(
        new Entry(message, index - 1, bytes_before - message.envelope.length, next),
        message,
      );
      older.push(next);
    }
    this.#floor = floor;
    if (next === undefined || older.length === 0) return;
    this.#entries = [...older.reverse(), ...this.#entries.slice(this.#start)];
    this.#start = 0;
    this.#before = markBefore(next);
  }

  /** Drops the oldest messages above these limits; the newest stays. True if it dropped any. */
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
    // A mark takes the place of the trimmed entry, which would keep its envelope.
    this.#before = markBefore(first);
    if (this.count === 1) {
      // The entry may stay for long, and its neighbours are dropped.
      first.settle();
      this.#frames.restart();
    }
    if (this.#start > SLACK && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
    return true;
  }

  #keep(entry: Entry, { envelope }: StoredMessage): Entry {
    this.#frames.kept_bytes = this.bytes;
    return entry.keep(envelope, this.#frames);
  }

  /** The last entry that a reader at this offset has read. Throws RangeError below `floor`. */
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

/** The messages and bytes after `read` up to `tail`, and the first of the messages. */
export function missedBetween(
  read: Entry,
  tail: Entry,
): { readonly messages: number; readonly bytes: number; readonly first: Entry | undefined } {
  const bytes = bytesThrough(tail) - bytesThrough(read);
  return { messages: tail.index - read.index, bytes, first: read.next };
}

/** A cursor that has read up to `read`; `tail` returns the newest timeline. */
export function cursorAfter(read: Entry, tail: () => Entry): Cursor {
  let place = read;
  return {
    next() {
      const { next } = place;
      if (next !== undefined) place = next;
      return next;
    },
    get offset() {
      return place.offset;
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

/** An entry that is in no list. */
export function loneEntry(message: StoredMessage): Entry {
  return new Entry(message, 0, 0).keep(message.envelope, new KeptFrames());
}

/** A cursor whose next is a lone entry, and then what follows the end of the list. */
export function cursorFrom(lone: Entry, tail: () => Entry): Cursor {
  const rest = cursorAfter(tail(), tail);
  let first: Entry | undefined = lone;
  return {
    next() {
      const next = first ?? rest.next();
      first = undefined;
      return next;
    },
    get offset() {
      return first === undefined ? rest.offset : first.offset - 1;
    },
    get lag_bytes() {
      return rest.lag_bytes + (first?.size_bytes ?? 0);
    },
    get lag_messages() {
      return rest.lag_messages + (first === undefined ? 0 : 1);
    },
  };
}

const CHUNK_BYTES = 4_096;
/** The reserved space is at most this fraction of the room's messages, so that a small room wastes little. */
const PART = 2;

/** The space for one room's frames. Nothing in it is ever written to again. */
class KeptFrames implements FrameSpace {
  #chunk = NOTHING;
  #used = 0;
  /** Bytes of the cached messages of the room. */
  kept_bytes = 0;

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#chunk;
  }

  reserve(size_bytes: number): number {
    if (this.#used + size_bytes > this.#chunk.length) {
      const aside_bytes = Math.min(CHUNK_BYTES, this.kept_bytes / PART);
      // The next messages are most often as large as this one.
      this.#chunk = new Uint8Array(size_bytes * Math.max(1, Math.floor(aside_bytes / size_bytes)));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += size_bytes;
    return at;
  }

  restart(): void {
    this.#chunk = NOTHING;
    this.#used = 0;
  }
}

// Live messages wait until older ones have been read. One that does not fit is dropped, since the log has it; only
// its offset is remembered.

/** The most messages and bytes that may wait. */
interface LiveBufferBounds {
  readonly messages: number;
  readonly bytes: number;
}

/** How many former streams are remembered, whose late messages may still arrive. */
const FORMER_STREAMS = 16;

/** The live messages that wait; they are in no order until they are taken. */
export class LiveBuffer {
  readonly #bounds: LiveBufferBounds;
  #messages: LiveMessage[] = [];
  #bytes = 0;
  /** Former streams, whose messages are dropped; the latest is the last. */
  #former: string[] = [];
  /** The highest offset that was forgotten, by stream. */
  readonly #forgotten = new Map<string, number>();

  constructor(bounds: LiveBufferBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#messages.length;
  }

  /** Adds a message. `buffer-full`: the message was dropped; `old-stream`: messages of that stream are dropped. */
  add(message: LiveMessage): "kept" | "buffer-full" | "old-stream" {
    const { stream, offset } = message;
    if (this.#former.includes(stream)) return "old-stream";
    const bytes = this.#bytes + message.envelope.length;
    if (this.size >= this.#bounds.messages || bytes > this.#bounds.bytes) {
      this.#forgotten.set(stream, Math.max(this.forgotten(stream), offset));
      return "buffer-full";
    }
    this.#messages.push(message);
    this.#bytes = bytes;
    return "kept";
  }

  /** The highest offset of the stream that was forgotten; 0 when none was. */
  forgotten(stream: string): number {
    return this.#forgotten.get(stream) ?? 0;
  }

  /** The message of that stream with the lowest offset. */
  first(stream: string): LiveMessage | undefined {
    let first: LiveMessage | undefined;
    for (const message of this.#messages) {
      if (message.stream === stream && message.offset < (first?.offset ?? Infinity)) {
        first = message;
      }
    }
    return first;
  }

  /** Takes out the messages of one stream, in the order of their offsets. */
  take(stream: string): LiveMessage[] {
    const taken = this.#messages.filter((message) => message.stream === stream);
    this.#keep((message) => message.stream !== stream);
    return taken.sort((a, b) => a.offset - b.offset);
  }

  /** The streams that messages came from. */
  streams(): Set<string> {
    const streams = new Set(this.#forgotten.keys());
    for (const { stream } of this.#messages) streams.add(stream);
    return streams;
  }

  /** Stops taking messages of these streams, except of `present`. Returns how many messages are lost by that. */
  retire(streams: ReadonlySet<string>, present: string): number {
    const { size } = this;
    const former = [...streams].filter((stream) => stream !== present && stream !== "");
    for (const stream of former) this.forget(stream);
    const others = this.#former.filter((stream) => stream !== present && !streams.has(stream));
    this.#former = [...others, ...former].slice(-FORMER_STREAMS);
    return size - this.size;
  }

  /** Drops every message of a stream. */
  forget(stream: string): void {
    this.#forgotten.delete(stream);
    this.#keep((message) => message.stream !== stream);
  }

  clear(): void {
    this.#messages = [];
    this.#bytes = 0;
    this.#forgotten.clear();
  }

  #keep(stays: (message: LiveMessage) => boolean): void {
    this.#messages = this.#messages.filter(stays);
    this.#bytes = this.#messages.reduce((sum, { envelope }) => sum + envelope.length, 0);
  }
}

/** A live message on `in`, after its log has stored it. */
export interface LiveMessage extends StoredMessage {
  /** The incarnation of the log that assigned its offset. */
  readonly stream: string;
  /** The offset of the message before it that the log then had of the room; 0: none. */
  readonly previous: number;
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Reads a live message; undefined if its headers are not those of a log. */
export function readLive(
  { payload, headers }: SpineMessage,
  log: Pick<DurableLog, "lifeOf">,
): LiveMessage | undefined {
  const stream = headers[LOG_STREAM_HEADER] ?? "";
  const offset = Number(headers[LOG_OFFSET_HEADER] ?? NaN);
  const previous = Number(headers[LOG_PREVIOUS_HEADER] ?? NaN);
  const time_ms = Date.parse(headers[LOG_TIME_HEADER] ?? "");
  if (stream === "" || !isOffset(offset) || !isOffset(previous) || Number.isNaN(time_ms)) {
    return undefined;
  }
  if (previous >= offset) return undefined;
  const origin = headers[ORIGIN_HEADER] ?? "";
  return {
    offset,
    time_ms,
    envelope: payload,
    origin,
    stream: log.lifeOf(stream, offset),
    previous,
  };
}

/** Converts a message that was read, which an older Shield may have stored. */
export function fromLog({ offset, time_ms, payload, headers }: LogMessage): StoredMessage {
  return { offset, time_ms, envelope: readable(payload), origin: headers[ORIGIN_HEADER] ?? "" };
}
