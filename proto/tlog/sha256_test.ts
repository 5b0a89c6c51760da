/** SHA-256 compared with OpenSSL, for every length around the block size. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { sha256 } from "./sha256.ts";
import { sha256All } from "./sha256_lanes.ts";

const opensslOf = (...parts: readonly Uint8Array[]) => {
  const made = createHash("sha256");
  for (const part of parts) made.update(part);
  return made.digest("hex");
};

Deno.test("the hash equals OpenSSL's, also for parts of buffers", () => {
  const all = crypto.getRandomValues(new Uint8Array(65_536));
  for (let length = 0; length < 400; length++) {
    const bytes = all.subarray(length, 2 * length);
    assert.equal(sha256(bytes).toHex(), opensslOf(bytes));
  }
  assert.equal(sha256(all).toHex(), opensslOf(all));
});

Deno.test("hashes of many inputs equal OpenSSL's, whatever their lengths are", () => {
  const all = crypto.getRandomValues(new Uint8Array(20_000));
  const inputs = [...Array(300).keys(), 2_037, 2_038, 2_039, 2_048, 20_000]
    .map((length) => all.subarray(0, length));
  const shuffled = inputs.toSorted((a, b) => a.length * 97 % 101 - b.length * 97 % 101);
  // Neighbours of any lengths share the lanes.
  for (const order of [inputs, inputs.toReversed(), shuffled]) {
    for (const prefix of [0, 1]) {
      const expected = order.map((input) => opensslOf(Uint8Array.of(prefix), input));
      assert.equal(sha256All(prefix, order).toHex(), expected.join(""));
    }
  }
});
