/**
 * The payload of a load run's messages, in two forms: JSON text and Protobuf (`load.Sample`, so that a
 * schema can be mapped to it). It says whose message it is, which one, and when it was sent.
 */
import { field, gzippedSet } from "../../shield/schema/testing/messages.ts";

/** What a message says. */
export interface Sample {
  readonly tenant_id: string;
  readonly room_id: string;
  /** From 1; the sender's own count in this room. */
  readonly sequence: number;
  /** `performance.now()` of the sender's process. */
  readonly sent_ms: number;
}

/** Full name of the Protobuf form. */
export const SAMPLE = "bench.Sample";

const FILLER = "the quick brown fox jumps over the lazy dog ".repeat(3);
const TAGS = { sequence: 0x09, sent_ms: 0x11, tenant_id: 0x1a, room_id: 0x22, filler: 0x2a };
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const FILLER_BYTES = encoder.encode(FILLER);

/** A gzipped descriptor set of `SAMPLE`, as the admin API takes it; with rules for some fields. */
export function sampleUpload(): Uint8Array<ArrayBuffer> {
  const rule = (rules: { double: { gte: number } }) => (
    { options: { "[buf.validate.field]": rules } }
  );
  return gzippedSet([{
    name: "Sample",
    field: [
      field("sequence", 1, "double", rule({ double: { gte: 1 } })),
      field("sent_ms", 2, "double", rule({ double: { gte: 0 } })),
      field("tenant_id", 3, "string"),
      field("room_id", 4, "string"),
      field("filler", 5, "string"),
    ],
  }]);
}

/** As JSON text. */
export function sampleJson(sample: Sample): Uint8Array<ArrayBuffer> {
  return encoder.encode(JSON.stringify({ ...sample, text: FILLER }));
}

/** Throws SyntaxError. */
export function readSampleJson(bytes: Uint8Array): Sample {
  return JSON.parse(decoder.decode(bytes));
}

/** The tenant and room have at most 127 bytes. */
export function sampleProtobuf(sample: Sample): Uint8Array<ArrayBuffer> {
  const texts = [sample.tenant_id, sample.room_id].map((text) => encoder.encode(text));
  const size = 18 + texts.reduce((sum, { length }) => sum + 2 + length, 3 + FILLER_BYTES.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes[0] = TAGS.sequence;
  view.setFloat64(1, sample.sequence, true);
  bytes[9] = TAGS.sent_ms;
  view.setFloat64(10, sample.sent_ms, true);
  let at = 18;
  for (const [index, text] of texts.entries()) {
    bytes.set([index === 0 ? TAGS.tenant_id : TAGS.room_id, text.length], at);
    bytes.set(text, at + 2);
    at += 2 + text.length;
  }
  bytes.set([TAGS.filler, (FILLER_BYTES.length & 0x7f) | 0x80, FILLER_BYTES.length >> 7], at);
  bytes.set(FILLER_BYTES, at + 3);
  return bytes;
}

/** Reads what `sampleProtobuf` wrote. Throws RangeError for anything else. */
export function readSampleProtobuf(bytes: Uint8Array): Sample {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] !== TAGS.sequence || bytes[9] !== TAGS.sent_ms) throw new RangeError("no sample");
  const [sequence, sent_ms] = [view.getFloat64(1, true), view.getFloat64(10, true)];
  const end = 20 + view.getUint8(19);
  const tenant_id = decoder.decode(bytes.subarray(20, end));
  const room_id = decoder.decode(bytes.subarray(end + 2, end + 2 + view.getUint8(end + 1)));
  return { tenant_id, room_id, sequence, sent_ms };
}
