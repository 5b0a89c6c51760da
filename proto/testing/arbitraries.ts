/**
 * fast-check generators of envelopes and of bytes that are nearly envelopes, for the property tests
 * of this folder. Not part of the package.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { EnvelopeSchema, SIGNAL_KINDS } from "./schemas.ts";

/** An envelope in the form of protobuf-es (camelCase, bigint), the reference of these tests. */
export type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;

/** Limits that no generated envelope reaches. */
export const WIDE = { headers: 1_000, header_bytes: 1_000_000, field_bytes: 65_536 };

/** Strings of any planes, also with lone combining marks; at most `maxLength` units or graphemes. */
export const text = (maxLength = 40): fc.Arbitrary<string> =>
  fc.oneof(fc.string({ maxLength }), fc.string({ unit: "grapheme", maxLength }));

/** Any bytes, also invalid UTF-8; at most `maxLength`. */
export const bytes = (maxLength = 60): fc.Arbitrary<Uint8Array<ArrayBuffer>> =>
  fc.uint8Array({ maxLength }).map((array) => new Uint8Array(array));

/** Small numbers, any numbers, and both sides of 2^53, where `Uint64` changes from number to bigint. */
export const uint64: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 300n }),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(2n ** 53n - 1n, 2n ** 53n, 2n ** 56n - 1n, 2n ** 63n, 2n ** 64n - 1n),
);

/** 0 to 2^53-1, the range of an int64 field in ms. */
export const safeInt64: fc.Arbitrary<bigint> = fc.maxSafeInteger().map(BigInt);

/** "" or 32 lowercase hex digits that are not all zero, as the scanner accepts them. */
export const traceId: fc.Arbitrary<string> = fc.oneof(
  fc.constant(""),
  fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }).map((id) => id.toString(16).padStart(32, "0")),
);

const HEADER_NAMES = ["x-arqon-a", "X-ARQON-Shadow", "x-timestamp", "X-TWIST-id", "__proto__", "k"];

/** Names that are unique ignoring case, as the scanner requires. */
export const headers: fc.Arbitrary<Record<string, string>> = fc.uniqueArray(
  fc.tuple(fc.oneof(text(12), fc.constantFrom(...HEADER_NAMES)), fc.oneof(text(40), fc.uuid())),
  { maxLength: 6, selector: ([name]) => name.toLowerCase() },
).map((pairs) => {
  const record: Record<string, string> = Object.create(null);
  for (const [name, value] of pairs) record[name] = value;
  return record;
});

const event = fc.record({ type: text(), data: bytes(300), contentType: text(), schemaId: text() });
const command = fc.record({
  name: text(),
  data: bytes(300),
  contentType: text(),
  expectVersion: uint64,
  afterVersion: uint64,
  fence: uint64,
  epoch: text(),
  commandId: text(),
});
const signal = fc.record({
  kind: fc.constantFrom(...SIGNAL_KINDS.keys()),
  target: text(),
  reason: text(),
  untilMs: safeInt64,
});

/** Envelopes that the scanner accepts, in the form of protobuf-es. */
export const envelopeInit: fc.Arbitrary<EnvelopeInit> = fc.record({
  traceId,
  tenantId: text(),
  roomId: text(),
  timestamp: safeInt64,
  headers,
  ackRequested: fc.boolean(),
  requestId: uint64,
  senderId: text(80),
  offset: uint64,
  signature: bytes(70),
  messageId: text(),
  payload: fc.oneof(
    event.map((value) => ({ case: "event" as const, value })),
    command.map((value) => ({ case: "cmd" as const, value })),
    signal.map((value) => ({ case: "signal" as const, value })),
  ),
});

/** `envelopeInit`, written by protobuf-es. */
export const envelopeBytes: fc.Arbitrary<Uint8Array<ArrayBuffer>> = envelopeInit.map((init) =>
  toBinary(EnvelopeSchema, create(EnvelopeSchema, init))
);

/** A varint, sometimes longer than necessary, or too long. */
const varint: fc.Arbitrary<number[]> = fc.tuple(
  uint64,
  fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 4 }) }),
).map(([value, padding]) => {
  const out: number[] = [];
  for (let rest = value; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  out.push(Number(value >> BigInt(7 * out.length)));
  for (let index = 0; index < padding; index++) {
    out[out.length - 1]! |= 0x80;
    out.push(0);
  }
  return out;
});

/** The shortest form of a safe integer of 0 or more. */
export function varintBytes(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
  out.push(rest);
  return out;
}

function lengthDelimited(field: number, body: ArrayLike<number>): number[] {
  return [...varintBytes(field * 8 + 2), ...varintBytes(body.length), ...Array.from(body)];
}

const utf8 = text(20).map((value) => Array.from(new TextEncoder().encode(value)));
const raw = bytes(20).map((value) => Array.from(value));

/** The first arbitrary with probability 19/20, otherwise the second. */
function mostly<Value>(usual: fc.Arbitrary<Value>, odd: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 19, arbitrary: usual }, { weight: 1, arbitrary: odd });
}

function varintField(field: number): fc.Arbitrary<number[]> {
  return varint.map((value) => [...varintBytes(field * 8), ...value]);
}

function bytesField(field: number, body: fc.Arbitrary<number[]>): fc.Arbitrary<number[]> {
  return body.map((value) => lengthDelimited(field, value));
}

/** Any number, any wire type. */
const oddField: fc.Arbitrary<number[]> = fc.tuple(
  fc.oneof(fc.nat({ max: 24 }), fc.integer({ min: 0, max: 2 ** 29 })),
  fc.nat({ max: 7 }),
  fc.nat({ max: 9 }),
).map(([field, type, size]) => [
  ...varintBytes(field * 8 + type),
  ...new Array<number>(size).fill(type === 2 ? size - 1 : 7),
]);

function fieldsOf(fields: fc.Arbitrary<number[]>[], maxLength: number): fc.Arbitrary<number[]> {
  return fc.array(mostly(fc.oneof(...fields), oddField), { maxLength }).map((list) => list.flat());
}

const leaf = mostly(utf8, raw);
const headerEntry = fieldsOf([bytesField(1, leaf), bytesField(2, leaf)], 2);
const event_fields = fieldsOf([1, 2, 3, 4, 9].map((field) => bytesField(field, leaf)), 3);
const command_fields = fieldsOf([
  ...[1, 2, 3, 7, 8].map((field) => bytesField(field, leaf)),
  ...[4, 5, 6, 17].map(varintField),
], 4);
const signal_fields = fieldsOf([
  bytesField(2, leaf),
  bytesField(3, leaf),
  fc.nat({ max: 9 }).map((kind) => [8, kind]),
  varintField(4),
], 3);
const payload_field = fc.oneof(
  bytesField(20, command_fields),
  bytesField(21, event_fields),
  bytesField(22, signal_fields),
);
const routing_fields = fc.array(
  mostly(
    fc.oneof(
      bytesField(1, mostly(traceId.map((id) => Array.from(new TextEncoder().encode(id))), leaf)),
      ...[2, 3, 8, 10, 11].map((field) => bytesField(field, leaf)),
      ...[4, 6, 7, 9].map(varintField),
      bytesField(5, headerEntry),
    ),
    fc.oneof(oddField, payload_field),
  ),
  { maxLength: 5 },
);

/** Valid Protobuf, rarely an envelope: repeated, missing, unknown and mistyped fields. */
export const nearlyEnvelope: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.tuple(
  routing_fields,
  mostly(payload_field, fc.constant<number[]>([])),
  routing_fields,
).map(([before, payload, after]) =>
  new Uint8Array([...before.flat(), ...payload, ...after.flat()])
);

/** An envelope with some bytes changed, removed or inserted, or truncated. */
export const damagedEnvelope: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.tuple(
  envelopeBytes,
  fc.array(
    fc.record({
      how: fc.constantFrom("change", "insert", "remove", "cut"),
      at: fc.nat(),
      byte: fc.nat({ max: 255 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
).map(([whole, edits]) => {
  const out = Array.from(whole);
  for (const { how, at, byte } of edits) {
    const place = out.length === 0 ? 0 : at % out.length;
    if (how === "change") out[place] = byte;
    else if (how === "insert") out.splice(place, 0, byte);
    else if (how === "remove") out.splice(place, 1);
    else out.length = place;
  }
  return new Uint8Array(out);
});

/** All kinds of bytes together. */
export const anyBytes: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.oneof(
  envelopeBytes,
  nearlyEnvelope,
  damagedEnvelope,
  bytes(200),
);
