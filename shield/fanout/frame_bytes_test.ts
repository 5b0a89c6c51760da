/** Sizes of frames against the platform's own encoder. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import { frameBytes } from "./frame_bytes.ts";

Deno.test("the size of a frame is its size on the wire", () => {
  const encoder = new TextEncoder();
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "grapheme" }),
    fc.string({ unit: anyCharacter }),
  );
  fc.assert(fc.property(text, (text) => {
    assert.equal(frameBytes(text), encoder.encode(text).length);
  }));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assert.equal(frameBytes(bytes), bytes.length);
  }));
});

Deno.test("alternating long frames are measured correctly, for any number of them", () => {
  const encoder = new TextEncoder();
  const frames = Array.from({ length: 12 }, (_, at) => `${"ä".repeat(at)}${"x".repeat(20_000)}`);
  for (let round = 0; round < 3; round++) {
    for (const frame of frames.slice(0, 6 + 3 * round)) {
      assert.equal(frameBytes(frame), encoder.encode(frame).length);
    }
  }
});
