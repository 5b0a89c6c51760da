/** FNV-1a and the finalizer of MurmurHash3 by the published values of their authors. */
import assert from "node:assert/strict";
import { fnvBytes, fnvText, mixBits } from "./fnv.ts";

/** From the test vectors of the FNV reference code. */
const FNV: readonly (readonly [text: string, hash: number])[] = [
  ["", 0x811c9dc5],
  ["a", 0xe40c292c],
  ["b", 0xe70c2de5],
  ["foobar", 0xbf9cf968],
];

Deno.test("texts and bytes have their FNV-1a hash", () => {
  for (const [text, hash] of FNV) {
    assert.equal(fnvText(text) >>> 0, hash, text);
    assert.equal(fnvBytes(new TextEncoder().encode(text)) >>> 0, hash, text);
    assert.equal(fnvText(text.slice(1), fnvText(text.slice(0, 1))), fnvText(text), text);
  }
});

Deno.test("bits are mixed as MurmurHash3 ends", () => {
  assert.deepEqual([0, 1, 2].map(mixBits), [0, 0x514e28b7, 0x30f4c306]);
});
