/** The scanner against protobuf-es, over generated, damaged and random bytes. */
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { readEnvelope } from "./envelope.ts";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { scanEnvelope, scannedBytes, type ScannedEnvelope } from "./scan.ts";
import { anyBytes, envelopeBytes, nearlyEnvelope, WIDE } from "../testing/arbitraries.ts";
import { countReads } from "../testing/read_counter.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The most reads of one byte: four, for a long varint inside a payload. */
const READS_PER_BYTE = 4;

function tryScan(bytes: Uint8Array): ScannedEnvelope | DecodeError {
  try {
    return scanEnvelope(bytes, WIDE);
  } catch (error) {
    assert.ok(error instanceof DecodeError, `threw ${error}`);
    assert.equal(error.code, 400);
    return error;
  }
}

function headersOf(scan: ScannedEnvelope): Record<string, string> {
  const headers: Record<string, string> = {};
  const spans = scan.header_spans;
  for (let at = 0; at < spans.length; at += 4) {
    const name = decoder.decode(scan.bytes.subarray(spans[at]!, spans[at + 1]!));
    Object.defineProperty(headers, name, {
      value: decoder.decode(scan.bytes.subarray(spans[at + 2]!, spans[at + 3]!)),
      enumerable: true,
    });
  }
  return headers;
}

/** protobuf-es's view in the scanner's terms. */
function expectSame(scan: ScannedEnvelope): void {
  const bytes = scannedBytes(scan);
  const envelope = fromBinary(EnvelopeSchema, bytes);
  assert.equal(scan.trace_id, envelope.traceId);
  assert.equal(scan.tenant_id, envelope.tenantId);
  assert.equal(scan.room_id, envelope.roomId);
  assert.equal(scan.message_id, envelope.messageId);
  assert.equal(BigInt(scan.request_id), envelope.requestId);
  assert.equal(scan.ack_requested, envelope.ackRequested);
  assert.deepEqual(Object.entries(headersOf(scan)).sort(), Object.entries(envelope.headers).sort());
  assert.deepEqual(new Uint8Array(scan.signature ?? []), new Uint8Array(envelope.signature));
  assert.equal(scan.payload.kind, envelope.payload.case);
  assert.equal(scan.event !== undefined, envelope.payload.case === "event");
  assert.equal(scan.command !== undefined, envelope.payload.case === "cmd");
  if (envelope.payload.case === "event" && scan.event !== undefined) {
    const { value } = envelope.payload;
    assert.equal(scan.event.type, value.type);
    assert.equal(scan.event.content_type, value.contentType);
    assert.equal(scan.event.schema_id, value.schemaId);
    const data = bytes.slice(scan.event.data_start, scan.event.data_end);
    assert.deepEqual(data, new Uint8Array(value.data));
  }
  if (envelope.payload.case === "cmd" && scan.command !== undefined) {
    const { value } = envelope.payload;
    const { command } = scan;
    assert.equal(command.name, value.name);
    assert.equal(command.content_type, value.contentType);
    assert.equal(command.epoch, value.epoch);
    assert.equal(command.command_id, value.commandId);
    assert.deepEqual(
      [command.expect_version, command.after_version, command.fence].map(BigInt),
      [value.expectVersion, value.afterVersion, value.fence],
    );
    const data = bytes.slice(command.data_start, command.data_end);
    assert.deepEqual(data, new Uint8Array(value.data));
  }
}

Deno.test("the scanner accepts what protobuf-es writes, and reads the same values", () => {
  fc.assert(
    fc.property(envelopeBytes, (bytes) => {
      const scan = tryScan(bytes);
      assert.ok(!(scan instanceof DecodeError), String(scan));
      expectSame(scan);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("whatever the scanner accepts, protobuf-es reads alike and the plain reader can read", () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.oneof(nearlyEnvelope, anyBytes), (bytes) => {
      const scan = tryScan(bytes);
      if (scan instanceof DecodeError) return;
      accepted += 1;
      expectSame(scan);
      const owned = scan.owned_spans;
      for (let at = 0; at < owned.length; at += 2) {
        readEnvelope(bytes.subarray(owned[at], owned[at + 1]));
      }
    }),
    { numRuns: 2_500 },
  );
  assert.ok(accepted > 250, `only ${accepted} of 2,500 were accepted: the generator is too wild`);
});

/** Where each field of a well-formed message begins, and the end. */
function boundaries(bytes: Uint8Array): number[] {
  const reader = new BinaryReader(bytes);
  const starts = [0];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    reader.skip(type, field);
    starts.push(reader.pos);
  }
  return starts;
}

/** `bytes` with `extra` inserted before one of its fields, or at its end. */
function insert(bytes: Uint8Array, extra: Uint8Array, place: number): Uint8Array<ArrayBuffer> {
  const starts = boundaries(bytes);
  const at = starts[place % starts.length] ?? 0;
  return new Uint8Array([...bytes.subarray(0, at), ...extra, ...bytes.subarray(at)]);
}

Deno.test("any repeated field, which Protobuf would merge, is refused at any position", () => {
  fc.assert(
    fc.property(envelopeBytes, fc.nat(), fc.nat(), (bytes, which, place) => {
      const starts = boundaries(bytes);
      const index = which % (starts.length - 1);
      const twice = insert(bytes, bytes.slice(starts[index], starts[index + 1]), place);
      fromBinary(EnvelopeSchema, twice);
      const result = tryScan(twice);
      assert.ok(result instanceof DecodeError, "accepted");
      assert.ok(result.reason === "repeated-field" || result.reason === "payload-count");
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("a repeated field of the payload is refused", () => {
  fc.assert(
    fc.property(envelopeBytes, fc.nat(), fc.nat(), (bytes, which, place) => {
      const { payload } = scanEnvelope(bytes, WIDE);
      const body = bytes.slice(payload.body_start, payload.body_end);
      const starts = boundaries(body);
      fc.pre(starts.length > 1);
      const index = which % (starts.length - 1);
      const twice = insert(body, body.slice(starts[index], starts[index + 1]), place);
      const field = { event: 21, cmd: 20, signal: 22 }[payload.kind];
      const source = new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(twice).finish();
      fromBinary(EnvelopeSchema, source);
      const result = tryScan(source);
      assert.ok(result instanceof DecodeError && result.reason === "repeated-field");
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("any unknown field of an envelope, which Protobuf would skip, is refused", () => {
  const known = new Set(EnvelopeSchema.fields.map(({ number }) => number));
  const unknown = fc.integer({ min: 12, max: 2 ** 29 - 1 }).filter((field) => !known.has(field));
  fc.assert(fc.property(envelopeBytes, unknown, fc.nat(), (bytes, field, place) => {
    const extra = new BinaryWriter().tag(field, WireType.Varint).uint32(1).finish();
    const source = insert(bytes, extra, place);
    fromBinary(EnvelopeSchema, source);
    const result = tryScan(source);
    assert.ok(result instanceof DecodeError && result.reason === "unknown-field");
    assert.ok(result.message.includes(`Envelope.${field}`));
  }));
});

Deno.test("a delta, which only the bus sends, is refused as any unknown field", () => {
  fc.assert(fc.property(envelopeBytes, fc.nat(), (bytes, place) => {
    const delta = new BinaryWriter().tag(30, WireType.LengthDelimited).bytes(Uint8Array.of(8, 1));
    const source = insert(bytes, delta.finish(), place);
    fromBinary(EnvelopeSchema, source);
    const result = tryScan(source);
    assert.ok(result instanceof DecodeError && result.reason === "unknown-field");
    assert.ok(result.message.includes("Envelope.30"));
  }));
});

Deno.test("any bytes: only DecodeError, no read out of bounds, a constant number of reads a byte", () => {
  fc.assert(
    fc.property(anyBytes, (source) => {
      const { bytes, reads } = countReads(source);
      tryScan(bytes);
      assert.ok(
        reads() <= READS_PER_BYTE * source.length,
        `${reads()} reads of ${source.length} bytes`,
      );
    }),
    { numRuns: 3_000 },
  );
});

function repeat(pattern: number[], times: number): number[] {
  return Array.from({ length: times }, () => pattern).flat();
}

function inEvent(body: number[]): number[] {
  const { length } = body;
  return [0xaa, 0x01, length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14, ...body];
}

Deno.test("hostile shapes are scanned in linear time", () => {
  const shapes: Record<string, (times: number) => number[]> = {
    "empty headers": (times) => repeat([0x2a, 0x00], times),
    "distinct headers": (times) =>
      Array.from({ length: times }, (_, n) => [0x2a, 4, 0x0a, 2, 33 + n % 94, 33 + (n / 94 | 0)])
        .flat(),
    "unknown fields in the payload": (times) => inEvent(repeat([0x78, 0x01], times)),
    "ten-byte varints in the payload": (times) =>
      inEvent(repeat([0x78, ...repeat([0x80], 9), 0x01], times)),
    "non-ASCII text": (
      times,
    ) => [0x12, ...[0x80 | times & 0x7f, times >> 7], ...repeat([0xc3], times)],
    "continuation bytes": (times) => repeat([0x80], times),
  };
  for (const [name, shape] of Object.entries(shapes)) {
    for (const times of [1_000, 2_000, 4_000]) {
      const source = new Uint8Array(shape(times));
      const { bytes, reads } = countReads(source);
      try {
        scanEnvelope(bytes, { ...WIDE, headers: 100_000 });
      } catch (error) {
        assert.ok(error instanceof DecodeError, `${name}: ${error}`);
      }
      assert.ok(reads() <= READS_PER_BYTE * source.length, `${name} ${times}: ${reads()} reads`);
    }
  }
});

Deno.test("a million headers are refused at the first one over the limit", () => {
  const source = new Uint8Array(6_000_000);
  for (let n = 0; n < 1_000_000; n++) {
    source.set([0x2a, 4, 0x0a, 2, 33 + n % 94, 33 + Math.floor(n / 94) % 94], n * 6);
  }
  const { bytes, reads } = countReads(source);
  assert.throws(() => scanEnvelope(bytes, { ...WIDE, headers: 64 }), {
    reason: "too-many-headers",
  });
  assert.ok(reads() <= READS_PER_BYTE * 65 * 6, `${reads()} reads`);
});
