/**
 * Any character of Unicode, for `fc.string`. Its own unit "binary" first builds a table of all characters, which takes
 * two seconds of a core in each isolate.
 */
import fc from "fast-check";

/** Before these the numbers of characters are without a gap. */
const SURROGATES = 0xd800;
const SURROGATES_COUNT = 0x800;

/** One character, never half of a surrogate pair. */
export const anyCharacter: fc.Arbitrary<string> = fc
  .nat(0x10ffff - SURROGATES_COUNT)
  .map((n) => String.fromCodePoint(n < SURROGATES ? n : n + SURROGATES_COUNT));
