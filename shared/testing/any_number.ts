/** Numbers for tests of encoders; each test decides which are valid. */
import fc from "fast-check";

/** Any number, with more of those at the limits of encodings. */
export const anyNumber: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.maxSafeInteger(),
  fc.integer({ min: -70_000, max: 70_000 }),
  fc.tuple(fc.nat(70), fc.constantFrom(-1, 0, 1), fc.constantFrom(-1, 1))
    .map(([bit, more, sign]) => sign * (2 ** bit + more)),
  fc.constantFrom(NaN, Infinity, -Infinity, 0.5, -0.5, Number.MAX_VALUE, Number.MIN_VALUE),
);
