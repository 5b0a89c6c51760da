/** Numbers for tests of what writes numbers: which are written is for the test to say. */
import fc from "fast-check";

/** Any number at all, and more of those at the edges of what can be written. */
export const anyNumber: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.maxSafeInteger(),
  fc.integer({ min: -70_000, max: 70_000 }),
  fc.tuple(fc.nat(70), fc.constantFrom(-1, 0, 1), fc.constantFrom(-1, 1))
    .map(([bit, more, sign]) => sign * (2 ** bit + more)),
  fc.constantFrom(NaN, Infinity, -Infinity, 0.5, -0.5, Number.MAX_VALUE, Number.MIN_VALUE),
);
