/** Coherent sampling: known hashes, subsets, edges, and how near the share comes to its fraction. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isSampled, samplingHash, samplingThreshold } from "./sampling.ts";

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const key = fc.string({ unit: "grapheme", maxLength: 64 });

Deno.test("the hash is xxHash64 with seed 0, so that any language can compute the sample", () => {
  // From the reference implementation's documentation and test vectors.
  assert.equal(samplingHash(""), 0xef46db3751d8e999n);
  assert.equal(samplingHash("a"), 0xd24ec4f1a98c6e5bn);
  assert.equal(samplingHash("abc"), 0x44bc2cf5ad770999n);
});

Deno.test("a larger fraction includes the sample of a smaller one", () => {
  fc.assert(fc.property(key, fraction, fraction, (one, a, b) => {
    const [smaller, larger] = a < b ? [a, b] : [b, a];
    assert.ok(!isSampled(one, smaller) || isSampled(one, larger));
    assert.equal(isSampled(one, a), isSampled(one, a), "the same key twice");
  }));
});

Deno.test("1 is every key and 0 is none, also for the fractions next to them", () => {
  assert.equal(samplingThreshold(0), 0n);
  assert.equal(samplingThreshold(1), 2n ** 64n);
  assert.ok(samplingThreshold(1 - Number.EPSILON / 2) < 2n ** 64n);
  assert.equal(samplingThreshold(Number.MIN_VALUE), 0n);
  fc.assert(fc.property(key, (one) => isSampled(one, 1) && !isSampled(one, 0)));
});

Deno.test("the threshold grows with the fraction and halves the hashes at a half", () => {
  assert.equal(samplingThreshold(0.5), 2n ** 63n);
  assert.equal(samplingThreshold(0.25), 2n ** 62n);
  fc.assert(fc.property(fraction, fraction, (a, b) => {
    assert.ok(a > b || samplingThreshold(a) <= samplingThreshold(b));
  }));
});

Deno.test("of many keys about the fraction is in", () => {
  const keys = Array.from({ length: 20_000 }, (_, n) => `connection-${n}`);
  for (const part of [0.001, 0.1, 0.5, 0.9]) {
    const picked = keys.filter((one) => isSampled(one, part)).length;
    const deviation = Math.sqrt(keys.length * part * (1 - part));
    assert.ok(Math.abs(picked - keys.length * part) < 5 * deviation, `${picked} for ${part}`);
  }
});

Deno.test("an invalid fraction is refused", () => {
  for (const wrong of [-0.1, 1.1, NaN, Infinity, -Infinity]) {
    assert.throws(() => isSampled("a", wrong), RangeError);
    assert.throws(() => samplingThreshold(wrong), RangeError);
  }
});
