/** Converts one connection's delta frames to whole ones, and requests deltas with each SUB. */
import { adler32, DecodeError, encodeBatch, encodeMsg, encodeSub } from "@arqon/proto";
import { findData, gapSignal, Opcode, readDelta, readRouted, readSubscribe } from "@arqon/proto";
import { readUnsubscribe, WireReader, withData, writeEnvelope } from "@arqon/proto";
import type { DataSpan, Delta } from "@arqon/proto";
import { applyFossil, applyVcdiff, isVcdiff } from "./diffs.ts";

/** Overhead of stored data beside its bytes. */
const DATA_BYTES = 256;

/** Stored base data, and its id. */
interface Base {
  readonly number: number;
  readonly data: Uint8Array;
}

/** The data of each slot of each room by `keyOf`, the oldest first. */
class Bases {
  readonly #bytes_max: number;
  readonly #bases = new Map<string, Base>();
  #bytes = 0;

  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
  }

  /** Removes the data of a slot, and returns it. */
  take(key: string): Base | undefined {
    const base = this.#bases.get(key);
    if (this.#bases.delete(key)) this.#bytes -= base!.data.length + DATA_BYTES;
    return base;
  }

  /** Replaces the data of a slot. */
  set(key: string, base: Base): void {
    this.take(key);
    this.#bases.set(key, base);
    this.#bytes += base.data.length + DATA_BYTES;
    for (const oldest of this.#bases.keys()) {
      if (this.#bytes <= this.#bytes_max) return;
      this.take(oldest);
    }
  }

  /** Keeps only the data of these rooms. */
  keep(isOpen: (room: string) => boolean): void {
    for (const key of this.#bases.keys()) {
      if (!isOpen(key.slice(key.indexOf(" ") + 1))) this.take(key);
    }
  }
}

const keyOf = (room: string, slot: number) => `${slot} ${room}`;

/** The largest output of a diff: no Shield sends a larger message. */
const DATA_BYTES_MAX = 16_777_216;
/** No room has more slots. */
const SLOTS_MAX = 4_096;
/** Lost messages after a SUB before it is sent again; doubles each time. */
const LOST_AGAIN = 64;

/** A room or a pattern that the client has subscribed to. */
interface Subscribed {
  /** The SUB that requests whole messages again. */
  readonly sub: Uint8Array<ArrayBuffer>;
  /** Lost messages of a room since its last whole one. */
  readonly lost: Map<string, number>;
}

/** The deltas of one connection. */
export class Unfolder {
  readonly #bytes_max: number;
  readonly #bases: Bases;
  readonly #rooms = new Map<string, Subscribed>();
  readonly #patterns = new Map<string, Subscribed>();
  readonly #subs = new Set<Uint8Array<ArrayBuffer>>();

  /** `bytes_max`: bound of the data of all rooms. */
  constructor(bytes_max: number) {
    this.#bytes_max = bytes_max;
    this.#bases = new Bases(bytes_max);
  }

  /** The frame to send instead of a client's frame. */
  sent(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (frame[0] === Opcode.UNSUB) this.#end(readUnsubscribe(frame.subarray(1)).room_id);
    if (frame[0] !== Opcode.SUB) return frame;
    const asked = { ...readSubscribe(frame.subarray(1)), delta: true, vcdiff: true };
    asked.delta_bytes = this.#bytes_max;
    const { request_id: _, after_offset: __, epoch: ___, ...rest } = asked;
    // Keeps the data: diffs from it may be under way until the Shield has read this frame.
    this.#table(rest.room_id).set(rest.room_id, { sub: encodeSub(rest), lost: new Map() });
    return encodeSub(asked);
  }

  #end(room: string): void {
    if (!this.#table(room).delete(room)) return;
    this.#bases.keep((kept) => this.#coveredBy(kept) !== undefined);
  }

  #table(room: string): Map<string, Subscribed> {
    return room.endsWith("*") ? this.#patterns : this.#rooms;
  }

  /** The subscription of a room: its own, otherwise the longest pattern. */
  #coveredBy(room: string): Subscribed | undefined {
    const own = this.#rooms.get(room);
    if (own !== undefined) return own;
    let longest = 0;
    let found = undefined as Subscribed | undefined;
    for (const [pattern, sub] of this.#patterns) {
      if (pattern.length <= longest || !room.startsWith(pattern.slice(0, -1))) continue;
      [longest, found] = [pattern.length, sub];
    }
    return found;
  }

  /** A Shield's frame without deltas; the same object if it has none. */
  received(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (frame[0] === Opcode.MSG) return this.#message(frame);
    if (frame[0] !== Opcode.BATCH) return frame;
    const envelopes: Uint8Array[] = [];
    let has_changed = false;
    try {
      const reader = new WireReader(frame.subarray(1));
      while (reader.pos < reader.end) {
        const before = encodeMsg(reader.view());
        const after = this.#message(before);
        has_changed ||= after !== before;
        envelopes.push(after.subarray(1));
      }
    } catch (error) {
      // The SDK reports the error.
      if (error instanceof DecodeError) return frame;
      throw error;
    }
    return has_changed ? encodeBatch(envelopes) : frame;
  }

  /** The SUBs to send since the last call. */
  takeSubs(): Uint8Array<ArrayBuffer>[] {
    const subs = [...this.#subs];
    if (subs.length > 0) this.#subs.clear();
    return subs;
  }

  #message(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const envelope = frame.subarray(1);
    try {
      const span = spanOf(envelope);
      if (span === undefined) return this.#oddMessage(frame);
      if (span.delta === undefined) return frame;
      const { room_id, delta, start, end } = span;
      const whole = this.#whole(room_id, delta, envelope.subarray(start, end));
      return whole === undefined ? gapFor(envelope) : withData(frame, span, whole, undefined);
    } catch (error) {
      // The sender wrote an unreadable message: the SDK turns it into a GAP.
      if (error instanceof DecodeError) return frame;
      throw error;
    }
  }

  /** A message with an unusual Protobuf encoding that may still be a diff. */
  #oddMessage(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const envelope = frame.subarray(1);
    const delta = readDelta(envelope);
    if (delta === undefined) return frame;
    const plain = readRouted(envelope);
    const { event, room_id } = plain;
    if (event === undefined) return frame;
    const data = this.#whole(room_id, delta, event.data);
    if (data === undefined) return gapFor(envelope);
    return encodeMsg(writeEnvelope({ ...plain, event: { ...event, data } }));
  }

  /** The whole data of a message, which is stored; if it cannot be restored, undefined and a SUB is queued. */
  #whole(room: string, delta: Delta, data: Uint8Array): Uint8Array | undefined {
    const { slot, number, base } = delta;
    const sub = this.#coveredBy(room);
    if (base === 0) {
      // Whole messages after an UNSUB are passed on but not stored.
      if (sub === undefined || slot >= SLOTS_MAX) return data;
      sub.lost.delete(room);
      this.#bases.set(keyOf(room, slot), { number, data: data.slice() });
      return data;
    }
    const held = this.#bases.take(keyOf(room, slot));
    if (sub === undefined) return undefined;
    const whole = held?.number === base ? applied(held.data, data, delta) : undefined;
    if (whole === undefined) this.#ask(room, sub);
    else this.#bases.set(keyOf(room, slot), { number, data: whole });
    return whole;
  }

  /** Requests whole messages, unless a request is under way. */
  #ask(room: string, { sub, lost }: Subscribed): void {
    const count = (lost.get(room) ?? 0) + 1;
    lost.set(room, count);
    const is_due = count >= LOST_AGAIN && Number.isInteger(Math.log2(count / LOST_AGAIN));
    if (count === 1 || is_due) this.#subs.add(sub);
  }
}

/** The result of a diff; undefined if it is invalid. */
function applied(base: Uint8Array, diff: Uint8Array, { checksum = 0 }: Delta) {
  if (!isVcdiff(diff)) return applyFossil(base, diff, DATA_BYTES_MAX);
  const whole = applyVcdiff(base, diff, DATA_BYTES_MAX);
  return whole === undefined || adler32(whole) !== checksum ? undefined : whole;
}

/** As `findData`; undefined for envelopes that it refuses. */
function spanOf(envelope: Uint8Array): DataSpan | undefined {
  try {
    return findData(envelope);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** The GAP that replaces a message that cannot be restored. */
function gapFor(envelope: Uint8Array): Uint8Array<ArrayBuffer> {
  const { event: _, ...plain } = readRouted(envelope);
  return encodeMsg(writeEnvelope({ ...plain, signal: gapSignal(plain.room_id, "delta") }));
}
