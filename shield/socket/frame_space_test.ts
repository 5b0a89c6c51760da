/** A frame whose head precedes its body equals a copied frame. */
import assert from "node:assert/strict";
import { OwnBuffers } from "@arqon/proto";
import fc from "fast-check";
import { ByteArena } from "../../shared/containers/byte_arena.ts";
import { BINARY, encodeFrame, frameAround, PING } from "./frame_head.ts";
import { HeadedSpace } from "./frame_space.ts";
import { WireTurn } from "./wire_turn.ts";

const spaces = { "pieces of slabs": () => new ByteArena(), "own buffers": () => new OwnBuffers() };

/** A body in a space, with every byte of it set. */
function put(space: HeadedSpace, size: number, fill: number): Uint8Array<ArrayBuffer> {
  const at = space.reserve(size);
  return space.bytes.subarray(at, at + size).fill(fill);
}

for (const [name, open] of Object.entries(spaces)) {
  Deno.test(`a frame in ${name} is not copied, and equals a copy`, () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 65_530, max: 65_540 }),
    );
    fc.assert(fc.property(fc.array(size, { maxLength: 60 }), (sizes) => {
      const space = new HeadedSpace(open());
      const bodies = sizes.map((bytes, at) => put(space, bytes, at));
      for (const body of bodies) {
        const frame = frameAround(BINARY, body);
        assert.equal(frame.buffer, body.buffer);
        assert.deepEqual(frame, encodeFrame(BINARY, body));
      }
    }));
  });
}

Deno.test("a body with anything else before it is copied", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(12), (bytes, from) => {
    const body = bytes.slice().subarray(Math.min(from, bytes.length));
    assert.deepEqual(frameAround(BINARY, body), encodeFrame(BINARY, body));
  }));
  const body = put(new HeadedSpace(new OwnBuffers()), 20, 1);
  assert.deepEqual(frameAround(PING, body), encodeFrame(PING, body));
  assert.notEqual(frameAround(PING, body).buffer, body.buffer);
});

Deno.test("a queued frame retains no slab, and is made once for all queues", () => {
  const turn = new WireTurn();
  const body = put(new HeadedSpace(new ByteArena()), 100, 7);
  assert.ok(turn.frameOf(body).buffer.byteLength > 10_000);
  const kept = turn.keptFrameOf(body);
  assert.equal(kept.buffer.byteLength, kept.length);
  assert.deepEqual(kept, turn.frameOf(body));
  assert.equal(turn.keptFrameOf(body), kept);
});
