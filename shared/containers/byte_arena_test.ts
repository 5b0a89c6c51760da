/** Pieces of a slab are separate, zeroed and of the requested length. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ByteArena, owned } from "./byte_arena.ts";

function take(arena: ByteArena, size: number): Uint8Array {
  const start = arena.reserve(size);
  return arena.bytes.subarray(start, start + size);
}

Deno.test("pieces are zeroed, never overlap and are never used again", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 100 }), (sizes) => {
      const arena = new ByteArena();
      const pieces = sizes.map((size, at) => {
        const piece = take(arena, size);
        assert.equal(piece.length, size);
        assert.ok(piece.every((byte) => byte === 0));
        return piece.fill(at + 1);
      });
      for (const [at, piece] of pieces.entries()) {
        assert.ok(piece.every((byte) => byte === at + 1));
      }
    }),
  );
});

Deno.test("a stored piece does not retain its slab", () => {
  const arena = new ByteArena();
  const small = take(arena, 100).fill(7);
  assert.ok(small.buffer.byteLength > 10_000);
  const kept = owned(small);
  assert.equal(kept.buffer.byteLength, 100);
  assert.deepEqual(kept, small);
  assert.equal(owned(small), kept, "one copy for all who keep it");
  const large = take(arena, 3_000);
  assert.equal(owned(large), large);
});
