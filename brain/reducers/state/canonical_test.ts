/** Texts and digests have the same bytes as the engine's. */
import assert from "node:assert/strict";
import { utf8Size } from "@arqon/proto";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { anyNumber } from "../../../shared/testing/any_number.ts";
import { CanonicalReader, CanonicalWriter, copyOf } from "./canonical.ts";
import { digestOf } from "./room_state.ts";

const TEXTS = ["", "a", "\0\x7f", "ü", "aü", "€", "🦊", "a🦊b", "x".repeat(63) + "ü"].concat(
  [39, 40, 41, 63, 64, 65, 200].map((size) => "y".repeat(size)),
);

Deno.test("a text is written and read as the engine encodes it, short or long, ASCII or not", () => {
  for (const text of TEXTS) {
    const bytes = new TextEncoder().encode(text);
    const written = new CanonicalWriter().u32(7).text(text).bytes(bytes).done();
    const expected = new CanonicalWriter().u32(7).u32(bytes.length).raw(bytes).bytes(bytes).done();
    assert.deepEqual(written, expected);
    assert.equal(utf8Size(text), bytes.length);
    const reader = new CanonicalReader(written);
    assert.deepEqual([reader.u32(), reader.text(), reader.bytes()], [7, text, bytes]);
    const copy = copyOf(written, 4, 4 + bytes.length);
    written.fill(0);
    assert.deepEqual(copy, expected.slice(4, 8 + bytes.length));
  }
});

Deno.test("a state: any number is written and read back, or refused", () => {
  fc.assert(fc.property(anyNumber, (value) => {
    for (
      const [of, fits] of [["u32", value >>> 0 === value], [
        "i64",
        Number.isSafeInteger(value),
      ]] as const
    ) {
      const writer = new CanonicalWriter();
      if (!fits) assert.throws(() => writer[of](value), RangeError);
      else assert.equal(new CanonicalReader(writer[of](value).done())[of]() - value, 0);
    }
  }));
});

Deno.test("a digest is SHA-256, whoever computes it, and never changes", () => {
  const kept = [0, 1, 55, 56, 64, 280, 4_095, 4_096, 4_097, 100_000].map((size) => {
    const bytes = new Uint8Array(size).map((_, at) => at * 7);
    return [digestOf(bytes), createHash("sha256").update(bytes).digest("hex")] as const;
  });
  for (const [digest, expected] of kept) assert.equal(digest.toHex(), expected);
});
