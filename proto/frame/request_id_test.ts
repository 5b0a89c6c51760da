/** The request id of a frame that cannot be decoded, at any position, or none. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { DecodeError } from "../errors/error.ts";
import { writeEnvelope } from "../envelope/envelope.ts";
import { encodeSub, encodeUnsub } from "./control.ts";
import { decodeClientFrame, encodePub, requestIdOf } from "./frame.ts";

const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const id = fc.oneof(fc.integer({ min: 1 }), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }));

function refusalOf(frame: Uint8Array): DecodeError {
  try {
    decodeClientFrame(frame, LIMITS);
  } catch (error) {
    assert.ok(error instanceof DecodeError);
    return error;
  }
  throw new Error("it was decoded");
}

/** The frame with extra bytes. */
const withTail = (frame: Uint8Array, ...tail: number[]) => new Uint8Array([...frame, ...tail]);

Deno.test("invalid-field, unknown-field, malformed-frame: the refusal of a frame has its request id", () => {
  fc.assert(fc.property(id, fc.integer({ min: 257, max: 2_000 }), (request_id, length) => {
    const event = { type: "x".repeat(length), data: new Uint8Array(3) };
    const published = encodePub(writeEnvelope({ room_id: "hall", request_id, event }));
    const refused = refusalOf(published);
    assert.deepEqual([refused.reason, refused.request_id], ["invalid-field", request_id]);
    assert.match(refused.detail, /type/);
    for (const encode of [encodeSub, encodeUnsub]) {
      const asked = encode({ room_id: "hall", request_id });
      // An unknown field, and a truncated one.
      assert.equal(refusalOf(withTail(asked, 0xf8, 0x06, 0x01)).request_id, request_id);
      assert.equal(refusalOf(withTail(asked, 0x0a, 0x7f)).request_id, request_id);
    }
  }));
});

Deno.test("repeated-field: of two request ids none is named", () => {
  const asked = withTail(encodeUnsub({ room_id: "hall", request_id: 7 }), 0x10, 0x08);
  const { reason, request_id } = refusalOf(asked);
  assert.deepEqual([reason, request_id], ["repeated-field", undefined]);
});

Deno.test("a request id is searched in any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void requestIdOf(bytes)));
});
