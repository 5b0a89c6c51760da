/** The scanner's rules one by one: its results, and each refusal with its reason and field. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { scanEnvelope } from "./scan.ts";
import { type EnvelopeInit, varintBytes } from "../testing/arbitraries.ts";

const LIMITS = { headers: 3, header_bytes: 100, field_bytes: 32 };
const encoder = new TextEncoder();

function envelope(init: EnvelopeInit): number[] {
  return Array.from(toBinary(EnvelopeSchema, create(EnvelopeSchema, init)));
}

/** A length-delimited field. */
function field(number: number, body: string | number[]): number[] {
  const bytes = typeof body === "string" ? Array.from(encoder.encode(body)) : body;
  return [...varintBytes(number * 8 + 2), ...varintBytes(bytes.length), ...bytes];
}

function header(name: string, value: string): number[] {
  return field(5, [...field(1, name), ...field(2, value)]);
}

const EVENT = field(21, [...field(1, "chat"), ...field(2, "hello")]);
const scan = (bytes: number[]) => scanEnvelope(new Uint8Array(bytes), LIMITS);

/** Bytes, the reason, and what the message must name. */
type Refusal = [name: string, bytes: number[], reason: string, names: RegExp];

function testRefusals(rows: readonly Refusal[]): void {
  for (const [name, bytes, reason, names] of rows) {
    Deno.test(`${name} is refused as ${reason}`, () => {
      assert.throws(() => scan(bytes), { name: "ArqonError", code: 400, reason, message: names });
    });
  }
}

const text = (number: number) => field(number, "a");
const varint = (number: number) => [...varintBytes(number * 8), 1];

testRefusals([
  [
    "a repeated trace_id",
    [...field(1, "ab".repeat(16)), ...field(1, "ab".repeat(16)), ...EVENT],
    "repeated-field",
    /Envelope\.trace_id/,
  ],
  ["a repeated tenant_id", [...text(2), ...text(2), ...EVENT], "repeated-field", /tenant_id/],
  ["a repeated room_id", [...text(3), ...EVENT, ...text(3)], "repeated-field", /room_id/],
  ["a repeated timestamp", [...varint(4), ...varint(4)], "repeated-field", /timestamp/],
  ["a repeated ack_requested", [...varint(6), ...varint(6)], "repeated-field", /ack_requested/],
  ["a repeated request_id", [...varint(7), ...varint(7)], "repeated-field", /request_id/],
  ["a repeated sender_id", [...text(8), ...text(8)], "repeated-field", /sender_id/],
  ["a repeated offset", [...varint(9), ...varint(9)], "repeated-field", /offset/],
  ["a repeated signature", [...text(10), ...text(10)], "repeated-field", /signature/],
  ["a repeated message_id", [...text(11), ...text(11)], "repeated-field", /message_id/],
  [
    "a repeated empty room_id",
    [...field(3, ""), ...text(3), ...EVENT],
    "repeated-field",
    /room_id/,
  ],
  ["a repeated Event.type", field(21, [...text(1), ...text(1)]), "repeated-field", /Event\.type/],
  ["a repeated Event.data", field(21, [...text(2), ...text(2)]), "repeated-field", /Event\.data/],
  [
    "a repeated Event.schema_id",
    field(21, [...text(4), ...text(4)]),
    "repeated-field",
    /Event\.schema_id/,
  ],
  [
    "a repeated Command.data",
    field(20, [...text(2), ...text(2)]),
    "repeated-field",
    /Command\.data/,
  ],
  [
    "a repeated Command.fence",
    field(20, [...varint(6), ...varint(6)]),
    "repeated-field",
    /Command\.fence/,
  ],
  [
    "a repeated SystemSignal.kind",
    field(22, [...varint(1), ...varint(1)]),
    "repeated-field",
    /SystemSignal\.kind/,
  ],
  [
    "a repeated key in a header",
    [...field(5, [...text(1), ...text(1)]), ...EVENT],
    "repeated-field",
    /headers entry\.key/,
  ],
  [
    "a repeated value in a header",
    [...field(5, [...text(2), ...text(2)]), ...EVENT],
    "repeated-field",
    /headers entry\.value/,
  ],
  [
    "a header name that comes twice",
    [...header("k", "1"), ...header("k", "2"), ...EVENT],
    "repeated-field",
    /header "k"/,
  ],
  [
    "a header name that comes twice in another case",
    [...header("X-Kind", "1"), ...header("x-kIND", "2"), ...EVENT],
    "repeated-field",
    /header "x-kind"/,
  ],
  [
    "two nameless headers",
    [...field(5, []), ...field(5, []), ...EVENT],
    "repeated-field",
    /header ""/,
  ],
]);

testRefusals([
  ["an envelope without payload", text(3), "payload-count", /none/],
  ["no bytes at all", [], "payload-count", /none/],
  ["an event twice", [...EVENT, ...EVENT], "payload-count", /event and event/],
  ["a command after an event", [...EVENT, ...field(20, [])], "payload-count", /event and cmd/],
  [
    "a signal after an empty event",
    [...field(21, []), ...field(22, [])],
    "payload-count",
    /event and signal/,
  ],
  ["unknown field 12", [...text(12), ...EVENT], "unknown-field", /Envelope\.12/],
  ["unknown field 19", [...varint(19), ...EVENT], "unknown-field", /Envelope\.19/],
  ["unknown field 23", [...EVENT, ...text(23)], "unknown-field", /Envelope\.23/],
  ["unknown field 2^29-1", [...EVENT, ...varint(2 ** 29 - 1)], "unknown-field", /536870911/],
  [
    "a field that shares its low bits with a known one",
    [...EVENT, ...text(3 + 32)],
    "unknown-field",
    /Envelope\.35/,
  ],
]);

const BAD_UTF8 = [0xc3, 0x28];
testRefusals([
  ["field number 0", [0x02, 0x00, ...EVENT], "malformed-frame", /field number/],
  ["a tag beyond 32 bits", [0xff, 0xff, 0xff, 0xff, 0x7f, ...EVENT], "malformed-frame", /field/],
  ["a group", [...EVENT, 0x0b, 0x0c], "malformed-frame", /wire type 3/],
  ["a group inside the payload", field(21, [0x4b, 0x4c]), "malformed-frame", /wire type 3/],
  ["wire type 7", [0x0f], "malformed-frame", /wire type 7/],
  ["room_id as a varint", [...varint(3), ...EVENT], "malformed-frame", /room_id is a varint/],
  [
    "room_id as a fixed64",
    [0x19, ...new Array(8).fill(1), ...EVENT],
    "malformed-frame",
    /room_id is a fixed number/,
  ],
  ["request_id as bytes", [...text(7), ...EVENT], "malformed-frame", /request_id is bytes/],
  ["a header as a varint", [...varint(5), ...EVENT], "malformed-frame", /headers is a varint/],
  ["an event as a varint", varint(21), "malformed-frame", /event is a varint/],
  ["Event.data as a varint", field(21, varint(2)), "malformed-frame", /Event\.data is a varint/],
  ["SystemSignal.kind as bytes", field(22, text(1)), "malformed-frame", /kind is bytes/],
  ["a truncated tag", [...EVENT, 0x80], "malformed-frame", /truncated/],
  ["a truncated length", [0x1a], "malformed-frame", /truncated/],
  ["a length beyond the end", [0x1a, 0x05, 0x61], "malformed-frame", /truncated/],
  ["a length of 2^63", [0x1a, ...new Array(9).fill(0x80), 0x01], "malformed-frame", /too long/],
  [
    "an inner length beyond the payload",
    [...field(21, [0x12, 0x02, 0x61]), 0x1a, 0x00],
    "malformed-frame",
    /truncated/,
  ],
  [
    "a header value beyond its entry",
    [...field(5, [0x12, 0x02, 0x61]), ...EVENT],
    "malformed-frame",
    /truncated/,
  ],
  [
    "a truncated unknown fixed32 in the payload",
    field(21, [0x4d, 1, 2, 3]),
    "malformed-frame",
    /truncated/,
  ],
  [
    "a varint of 11 bytes",
    [0x38, ...new Array(10).fill(0x80), 0x01],
    "malformed-frame",
    /too long/,
  ],
  ["a varint of 65 bits", [0x38, ...new Array(9).fill(0x80), 0x02], "malformed-frame", /too long/],
  [
    "a foreign field in a header",
    [...field(5, [...text(1), ...text(3)]), ...EVENT],
    "malformed-frame",
    /headers entry/,
  ],
  [
    "a signal kind beyond int32",
    field(22, [0x08, 0x80, 0x80, 0x80, 0x80, 0x10]),
    "malformed-frame",
    /int32/,
  ],
  ["bad UTF-8 in room_id", [...field(3, BAD_UTF8), ...EVENT], "malformed-frame", /UTF-8/],
  ["bad UTF-8 in sender_id", [...field(8, BAD_UTF8), ...EVENT], "malformed-frame", /UTF-8/],
  [
    "bad UTF-8 in a header name",
    [...field(5, field(1, BAD_UTF8)), ...EVENT],
    "malformed-frame",
    /UTF-8/,
  ],
  [
    "bad UTF-8 in a header value",
    [...field(5, field(2, BAD_UTF8)), ...EVENT],
    "malformed-frame",
    /UTF-8/,
  ],
  ["bad UTF-8 in Event.type", field(21, field(1, BAD_UTF8)), "malformed-frame", /UTF-8/],
  ["bad UTF-8 in SystemSignal.target", field(22, field(2, BAD_UTF8)), "malformed-frame", /UTF-8/],
  ["an encoded surrogate", [...field(3, [0xed, 0xa0, 0x80]), ...EVENT], "malformed-frame", /UTF-8/],
  ["an overlong NUL", [...field(3, [0xc0, 0x80]), ...EVENT], "malformed-frame", /UTF-8/],
]);

const LONG = "x".repeat(33);
testRefusals([
  ["a trace_id of 31 digits", [...field(1, "a".repeat(31)), ...EVENT], "invalid-field", /trace_id/],
  [
    "a trace_id in upper case",
    [...field(1, "A".repeat(32)), ...EVENT],
    "invalid-field",
    /trace_id/,
  ],
  [
    "a trace_id that is no hex",
    [...field(1, "g".repeat(32)), ...EVENT],
    "invalid-field",
    /trace_id/,
  ],
  ["a trace_id of zeros", [...field(1, "0".repeat(32)), ...EVENT], "invalid-field", /trace_id/],
  [
    "a message_id over the limit",
    [...field(11, LONG), ...EVENT],
    "invalid-field",
    /message_id has 33 bytes, at most 32/,
  ],
  ["an Event.type over the limit", field(21, field(1, LONG)), "invalid-field", /Event\.type/],
  [
    "an Event.content_type over the limit",
    field(21, field(3, LONG)),
    "invalid-field",
    /content_type/,
  ],
  ["an Event.schema_id over the limit", field(21, field(4, LONG)), "invalid-field", /schema_id/],
  ["a Command.name over the limit", field(20, field(1, LONG)), "invalid-field", /Command\.name/],
  ["a Command.epoch over the limit", field(20, field(7, LONG)), "invalid-field", /epoch/],
  ["a Command.command_id over the limit", field(20, field(8, LONG)), "invalid-field", /command_id/],
  [
    "a signal until beyond 2^53",
    field(22, [0x20, ...new Array(8).fill(0xff), 0x7f]),
    "invalid-field",
    /2\^53/,
  ],
  [
    "one header over the limit",
    [..."abcd"].flatMap((name) => header(name, "")),
    "too-many-headers",
    /at most 3/,
  ],
  [
    "headers over the byte limit",
    [...header("a", "v".repeat(60)), ...header("b", "v".repeat(40))],
    "too-many-headers",
    /at most 100 bytes/,
  ],
]);

Deno.test("headers and small texts at their limits are accepted", () => {
  const bytes = [
    ...header("a", "v".repeat(97)),
    ...header("b", ""),
    ...header("c", ""),
    ...field(11, "x".repeat(32)),
    ...field(21, field(1, "x".repeat(32))),
  ];
  assert.equal(scan(bytes).header_spans.length, 12);
});

Deno.test("the scanner hands on the event, its data span and the whole payload field", () => {
  const bytes = new Uint8Array(envelope({
    tenantId: "acme",
    roomId: "lobby",
    requestId: 7n,
    ackRequested: true,
    payload: { case: "event", value: { type: "chat", data: encoder.encode("hello") } },
  }));
  const scanned = scanEnvelope(bytes, LIMITS);
  const { payload, event } = scanned;
  assert.equal(scanned.tenant_id, "acme");
  assert.equal(scanned.room_id, "lobby");
  assert.equal(scanned.request_id, 7);
  assert.equal(scanned.ack_requested, true);
  assert.equal(payload.kind, "event");
  assert.equal(event?.type, "chat");
  const data = bytes.subarray(event?.data_start, event?.data_end);
  assert.equal(new TextDecoder().decode(data), "hello");
  const whole = fromBinary(EnvelopeSchema, bytes.subarray(payload.field_start, payload.field_end));
  assert.equal(whole.payload.case, "event");
  assert.equal(payload.field_end - payload.body_start, 13);
});

Deno.test("unknown fields inside the payload are the sender's and stay", () => {
  const scanned = scan(field(21, [...text(1), ...text(9), ...text(9), ...varint(1_000)]));
  assert.equal(scanned.event?.type, "a");
  assert.deepEqual(scanned.owned_spans, [0, scanned.bytes.length]);
});

Deno.test("fields in any order: the sender's fields are listed in wire order", () => {
  const bytes = [...EVENT, ...text(3), ...text(11), ...text(10), ...text(2)];
  const scanned = scan(bytes);
  const end = EVENT.length;
  assert.deepEqual(scanned.owned_spans, [0, end, end + 3, end + 9]);
  assert.deepEqual(scanned.signature, encoder.encode("a"));
});

Deno.test("numbers up to 2^53-1 are numbers, beyond that bigints", () => {
  const request = (id: bigint) =>
    scan(envelope({ requestId: id, payload: { case: "event", value: {} } })).request_id;
  assert.equal(request(2n ** 53n - 1n), 2 ** 53 - 1);
  assert.equal(request(2n ** 53n), 2n ** 53n);
  assert.equal(request(2n ** 64n - 1n), 2n ** 64n - 1n);
});

Deno.test("varints longer than they need to be, and any nonzero bool, are read as Protobuf does", () => {
  const scanned = scan([0xb8, 0x80, 0x00, 0x85, 0x80, 0x00, 0x30, 0x80, 0x01, ...EVENT]);
  assert.equal(scanned.request_id, 5);
  assert.equal(scanned.ack_requested, true);
});

Deno.test("an empty signature is none, as Protobuf has it", () => {
  assert.equal(scan([...field(10, ""), ...EVENT]).signature, undefined);
});

Deno.test("text beginning with a byte order mark keeps it", () => {
  const text = "\uFEFFroom";
  assert.equal(scan([...field(3, text), ...EVENT]).room_id, text);
});
