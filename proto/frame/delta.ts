/** Deltas on the wire: the field of a MSG that describes a diff. Not the diffs, and not the stored data. */
import { DecodeError } from "../errors/error.ts";
import type { PlainEnvelope } from "../envelope/envelope.ts";
import type { Subscribe } from "./control.ts";
import { decodeUtf8 } from "../wire/utf8.ts";
import { WireReader } from "../wire/wire.ts";
import { WIRE_VARINT } from "../wire/wire_numbers.ts";
import { putBytes, putVarint, varintSize, WireWriter } from "../wire/wire_writer.ts";

/** How the data of a message depends on earlier data. */
export interface Delta {
  /** The slot in which the receiver stores the data, per room and connection. */
  readonly slot: number;
  /** The number of the data, from 1; unique on a connection. */
  readonly number: number;
  /** The number of the diff's base data; 0: the data is whole. */
  readonly base: number;
  /** For a diff in VCDIFF: the Adler-32 of the whole data; absent: 0. */
  readonly checksum?: number;
}

/** The fields of a SUB about deltas. */
export type AskedDeltas = Readonly<Pick<Subscribe, "delta" | "delta_bytes" | "vcdiff">>;

/** The position of an event's data in an envelope's bytes. */
export interface DataSpan {
  /** The length of the event, and the start of its body. */
  readonly event_length: number;
  readonly event_start: number;
  /** The length of the data, and the data itself. */
  readonly length: number;
  readonly start: number;
  readonly end: number;
  readonly event_end: number;
  readonly room_id: string;
  /** The start of the delta field, if there is one; otherwise the end of the envelope. */
  readonly envelope_end: number;
  readonly delta: Delta | undefined;
}

const TAG_ROOM = 0x1a;
const TAG_EVENT = 0xaa;
const TAG_DATA = 0x12;
const FIELD_DELTA = 30;
const TAG_DELTA = 0xf2;
const TAG_CHECKSUM = 0x25;

/**
 * Finds the data of an event. Undefined without data, or for an unusual Protobuf encoding, whose bytes could not be
 * restored. Throws `DecodeError`.
 */
export function findData(envelope: Uint8Array): DataSpan | undefined {
  const reader = new WireReader(envelope);
  const seen = new Set<number>();
  let room_id = "";
  let event: Pick<DataSpan, "event_length" | "event_start" | "event_end"> | undefined;
  let data: Pick<DataSpan, "length" | "start" | "end"> | undefined;
  let delta: Delta | undefined;
  let envelope_end = envelope.length;
  while (reader.pos < envelope.length) {
    const at = reader.pos;
    const tag = reader.tag();
    if (tag === TAG_EVENT) {
      if (event !== undefined) return undefined;
      const event_length = reader.pos;
      const length = reader.length();
      const event_start = reader.pos;
      const event_end = event_start + length;
      if (event_start - event_length !== varintSize(length)) return undefined;
      event = { event_length, event_start, event_end };
      data = dataOf(reader, event_end);
      if (data === undefined) return undefined;
      reader.pos = event_end;
      reader.end = envelope.length;
    } else if (tag === TAG_ROOM) room_id = roomOf(reader);
    else if (tag === TAG_DELTA) {
      envelope_end = at;
      delta = deltaOf(reader);
      // It is the last field: later fields would be lost with it.
      if (reader.pos !== envelope.length) return undefined;
    } else reader.skip(tag);
    if (tag !== 0x2a && seen.has(tag)) return undefined;
    seen.add(tag);
  }
  if (event === undefined || data === undefined) return undefined;
  return { ...event, ...data, room_id, envelope_end, delta };
}

function roomOf(reader: WireReader): string {
  const view = reader.view();
  return decodeUtf8(view, 0, view.length);
}

/** The only data field of an event. */
function dataOf(
  reader: WireReader,
  end: number,
): Pick<DataSpan, "length" | "start" | "end"> | undefined {
  reader.end = end;
  let found: Pick<DataSpan, "length" | "start" | "end"> | undefined;
  while (reader.pos < end) {
    const tag = reader.tag();
    if (tag !== TAG_DATA) {
      reader.skip(tag);
      continue;
    }
    if (found !== undefined) return undefined;
    const length = reader.pos;
    const size = reader.length();
    if (reader.pos - length !== varintSize(size)) return undefined;
    found = { length, start: reader.pos, end: reader.pos + size };
    reader.pos = found.end;
  }
  return found;
}

function deltaOf(reader: WireReader): Delta {
  const delta = mergeDelta(reader, { slot: 0, number: 0, base: 0 });
  if (!Number.isSafeInteger(delta.number) || delta.number === 0) {
    throw new DecodeError("malformed-frame", "a delta without a number");
  }
  return delta;
}

/**
 * The delta of an envelope in any encoding that Protobuf accepts: the last one of a repeated field counts. Undefined:
 * none. Throws `DecodeError`.
 */
export function readDelta(envelope: Uint8Array): Delta | undefined {
  const reader = new WireReader(envelope);
  let delta: Delta | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag !== TAG_DELTA) reader.skip(tag);
    else delta = mergeDelta(reader, delta ?? { slot: 0, number: 0, base: 0 });
  }
  return delta;
}

function mergeDelta(reader: WireReader, before: Delta): Delta {
  const body = new WireReader(reader.view());
  const values = [0, before.slot, before.number, before.base];
  let checksum = before.checksum;
  while (body.pos < body.end) {
    const tag = body.tag();
    const field = tag >>> 3;
    if (field <= 3 && (tag & 7) === WIRE_VARINT) values[field] = Number(body.uint64());
    else {
      body.skip(tag);
      if (tag === TAG_CHECKSUM) checksum = fixed32(body.bytes, body.pos - 4);
    }
  }
  const [, slot = 0, number = 0, base = 0] = values;
  return checksum === undefined ? { slot, number, base } : { slot, number, base, checksum };
}

function fixed32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/**
 * A MSG frame with other data in its event, and with the field `delta`, if given. `span` is the result of `findData`
 * for the frame's envelope.
 */
export function withData(
  frame: Uint8Array,
  span: DataSpan,
  data: Uint8Array,
  delta: Delta | undefined,
): Uint8Array<ArrayBuffer> {
  const envelope = frame.subarray(1);
  const old_size = span.end - span.start;
  const data_size = varintSize(data.length) + data.length;
  const event_size = span.event_end - span.event_start - varintSize(old_size) - old_size +
    data_size;
  const written = delta === undefined ? undefined : writeDelta(delta);
  const size = 1 + span.event_length + varintSize(event_size) + event_size +
    (span.envelope_end - span.event_end) + (written?.length ?? 0);
  const out = new Uint8Array(size);
  out[0] = frame[0] ?? 0;
  let at = putBytes(out, 1, envelope, 0, span.event_length);
  at = putVarint(out, at, event_size);
  at = putBytes(out, at, envelope, span.event_start, span.length);
  at = putVarint(out, at, data.length);
  at = putBytes(out, at, data, 0, data.length);
  at = putBytes(out, at, envelope, span.end, span.event_end);
  at = putBytes(out, at, envelope, span.event_end, span.envelope_end);
  if (written !== undefined) at = putBytes(out, at, written, 0, written.length);
  if (at !== size) throw new TypeError(`wrote ${at} of ${size} bytes`);
  return out;
}

/** The whole field; values at 0 take no bytes. */
function writeDelta({ slot, number, base, checksum = 0 }: Delta): Uint8Array {
  const writer = new WireWriter();
  const mark = writer.open(FIELD_DELTA);
  writer.uint32(1, slot);
  writer.uint64(2, number);
  writer.uint64(3, base);
  if (checksum !== 0) {
    writer.byte(TAG_CHECKSUM);
    for (const bits of [0, 8, 16, 24]) writer.byte(checksum >>> bits & 0xff);
  }
  writer.close(mark);
  return writer.finish();
}

/** An event with other data, for the text form, which writes it with `encodeTextDelta`. */
export function plainWithData(envelope: PlainEnvelope, data: Uint8Array): PlainEnvelope {
  if (envelope.event === undefined) throw new TypeError("this envelope has no event");
  return { ...envelope, event: { ...envelope.event, data } };
}
