/** Heads of records that are written one after the other, small and large. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { headPart, headRoom, partsFrom } from "./ring_message.ts";

Deno.test("a head has the bytes written last, whatever its size and earlier heads", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 20 }), (sizes) => {
      for (const [index, size_bytes] of sizes.entries()) {
        const room = headRoom(size_bytes);
        for (let at = 0; at < size_bytes; at++) room.setUint8(at, index + at);
        const count = 1 + index % 3;
        const parts = partsFrom(headPart(size_bytes), count);
        assert.deepEqual(parts.length, count);
        assert.deepEqual(parts[0], Uint8Array.from({ length: size_bytes }, (_, at) => index + at));
      }
    }),
  );
});
