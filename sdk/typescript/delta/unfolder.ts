/**
 * One connection's frames with deltas as frames without: it asks for deltas with each SUB, keeps the data that
 * diffs are from, and puts whole data into the messages. Knows no socket.
 */
import {
  askDeltas,
  DecodeError,
  encodeBatch,
  encodeMsg,
  encodeSub,
  findData,
  gapSignal,
  Opcode,
  readDelta,
  readRouted,
  readSubscribe,
  readUnsubscribe,
  WireReader,
  withData,
  writeEnvelope,
} from "@arqon/proto";
import type { DataSpan, Delta } from "@arqon/proto";
import { applyFossil } from "./fossil.ts";

/** The most bytes that a diff may make: no Shield sends a larger message. */
const DATA_BYTES_MAX = 16_777_216;
/** No room has more slots. */
const SLOTS_MAX = 4_096;

/** A room that the client has subscribed to. */
interface Heard {
  /** The SUB that asks for whole messages again. */
  readonly sub: Uint8Array<ArrayBuffer>;
  readonly slots: Map<number, { readonly number: number; readonly data: Uint8Array }>;
  /** Whether the SUB was sent again, and nothing whole has come since. */
  has_asked: boolean;
}

/** The deltas of one connection. */
export class Unfolder {
  readonly #rooms = new Map<string, Heard>();
  #subs: Uint8Array<ArrayBuffer>[] = [];

  /** What to send in place of a client's frame. */
  sent(frame: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (frame[0] === Opcode.UNSUB) this.#rooms.delete(readUnsubscribe(frame.subarray(1)).room_id);
    if (frame[0] !== Opcode.SUB) return frame;
    const { request_id: _, after_offset: __, epoch: ___, ...asked } = readSubscribe(
      frame.subarray(1),
    );
    const sub = askDeltas(encodeSub(asked));
    // Diffs from what is kept may be on their way: the Shield has yet to read this.
    const slots = this.#rooms.get(asked.room_id)?.slots ?? new Map();
    this.#rooms.set(asked.room_id, { sub, slots, has_asked: false });
    return askDeltas(frame);
  }

  /** What a Shield's frame is without deltas; the same object when it has none. */
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
      // The SDK says what is wrong with it.
      if (error instanceof DecodeError) return frame;
      throw error;
    }
    return has_changed ? encodeBatch(envelopes) : frame;
  }

  /** The SUBs that are to be sent since the last call. */
  takeSubs(): Uint8Array<ArrayBuffer>[] {
    const subs = this.#subs;
    if (subs.length > 0) this.#subs = [];
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
      // A message that its sender wrote so is for the SDK, which makes a gap of it.
      if (error instanceof DecodeError) return frame;
      throw error;
    }
  }

  /** A message that is written in another way than Protobuf writes it, and may be a diff all the same. */
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

  /**
   * The whole data of a message, which is kept; undefined when it cannot be made. Then a SUB asks for whole
   * messages again.
   */
  #whole(room: string, { slot, number, base }: Delta, data: Uint8Array): Uint8Array | undefined {
    const heard = this.#rooms.get(room);
    if (base === 0) {
      // What came after an UNSUB is whole, too, but nothing is kept of it.
      if (heard === undefined || slot >= SLOTS_MAX) return data;
      heard.has_asked = false;
      heard.slots.set(slot, { number, data: data.slice() });
      return data;
    }
    const held = heard?.slots.get(slot);
    const whole = held?.number === base ? applyFossil(held.data, data, DATA_BYTES_MAX) : undefined;
    if (whole === undefined) heard?.slots.delete(slot);
    else heard?.slots.set(slot, { number, data: whole });
    if (whole === undefined && heard !== undefined && !heard.has_asked) {
      heard.has_asked = true;
      this.#subs.push(heard.sub);
    }
    return whole;
  }
}

/** As `findData`; what it refuses is read by `readDelta`. */
function spanOf(envelope: Uint8Array): DataSpan | undefined {
  try {
    return findData(envelope);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** What stands in place of a message that cannot be made. */
function gapFor(envelope: Uint8Array): Uint8Array<ArrayBuffer> {
  const { event: _, ...plain } = readRouted(envelope);
  return encodeMsg(writeEnvelope({ ...plain, signal: gapSignal(plain.room_id, "delta") }));
}
