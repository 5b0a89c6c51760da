/** Deltas on the wire: encoding and decoding give the same bytes, and protobuf-es reads them. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { writeEnvelope } from "../envelope/envelope.ts";
import { findData, withData } from "./delta.ts";
import { Opcode } from "./opcode.ts";

const part = fc.uint8Array({ minLength: 1, maxLength: 300 });
const some = fc.record({
  room_id: fc.constantFrom("a", "lobby"),
  headers: fc.dictionary(fc.constantFrom("x-key", "a", "b"), fc.string({ maxLength: 5 })),
  message_id: fc.string({ maxLength: 8 }),
  event: fc.record({
    type: fc.string({ maxLength: 5 }),
    data: part,
    content_type: fc.constantFrom("", "application/json"),
    schema_id: fc.constantFrom("", "s"),
  }),
});
const delta = fc.record({
  slot: fc.nat(300),
  number: fc.integer({ min: 1, max: 2 ** 50 }),
  base: fc.nat(2 ** 31 - 1),
  checksum: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
});

Deno.test("protobuf-es reads replaced data with a delta, and the original data gives the original bytes", () => {
  fc.assert(fc.property(some, part, delta, (envelope, data, is) => {
    const frame = writeEnvelope(envelope, Opcode.MSG);
    const span = findData(frame.subarray(1));
    assert.ok(span);
    assert.equal(span.room_id, envelope.room_id);
    assert.equal(span.delta, undefined);
    const folded = withData(frame, span, data, is);
    const read = fromBinary(EnvelopeSchema, folded.subarray(1));
    assert.deepEqual(read.delta?.slot, is.slot);
    assert.equal(read.delta?.number, BigInt(is.number));
    assert.equal(read.delta?.base, BigInt(is.base));
    assert.equal(read.delta?.checksum, is.checksum);
    assert.ok(read.payload.case === "event");
    assert.deepEqual([...read.payload.value.data], [...data]);
    const found = findData(folded.subarray(1));
    assert.deepEqual(found?.delta, { ...is });
    assert.deepEqual(withData(folded, found!, envelope.event.data, undefined), frame);
  }));
});

Deno.test("an envelope without data, or with an unusual encoding, is unchanged", () => {
  assert.equal(findData(writeEnvelope({ room_id: "a" })), undefined);
  assert.equal(findData(writeEnvelope({ room_id: "a", event: { type: "t" } })), undefined);
  const data = new Uint8Array([7]);
  const written = writeEnvelope({ event: { type: "t", data } });
  // Field 21, then a length in two bytes where one would do.
  const long = new Uint8Array([0xaa, 0x01, written[2]! | 0x80, 0, ...written.subarray(3)]);
  assert.deepEqual(
    toBinary(EnvelopeSchema, fromBinary(EnvelopeSchema, long)),
    toBinary(EnvelopeSchema, fromBinary(EnvelopeSchema, written)),
  );
  assert.equal(findData(long), undefined);
  assert.equal(findData(new Uint8Array([...written, ...written])), undefined);
  const with_delta = toBinary(
    EnvelopeSchema,
    create(EnvelopeSchema, { roomId: "a", delta: { slot: 1 } }),
  );
  assert.throws(() => findData(with_delta), { reason: "malformed-frame" });
});
