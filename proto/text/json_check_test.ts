/** The check accepts exactly what `JSON.parse` accepts, also after mutations. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isJson } from "./json_check.ts";

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const pieces = [
  ...[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    '""',
    "\\",
    '"\\u00e9"',
    '"\\u12"',
    '"\\x"',
    '"\\"',
  ],
  ...["0", "1", "-", "+", ".", "e", "E5", "01", "-0.5e-7", "true", "false", "null", "nul", "NaN"],
  ...[" ", "\n", "\t", "\r", "\u00a0", "\ufeff", "\u0000", "é", "\ud800"],
];

Deno.test("the check accepts exactly what JSON.parse accepts", () => {
  const broken = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((all) => all.join(""));
  const whole = fc.json({ maxDepth: 5 });
  const changed = fc.tuple(whole, fc.nat(), fc.nat(2), fc.constantFrom("", ...pieces)).map(
    ([text, place, cut, put]) => {
      const at = place % (text.length + 1);
      return text.slice(0, at) + put + text.slice(at + cut);
    },
  );
  const text = fc.oneof(
    broken,
    whole,
    changed,
    whole.map((one) => JSON.stringify([one, one], null, 1)),
  );
  fc.assert(fc.property(text, (one) => assert.equal(isJson(one), isParsed(one))), {
    numRuns: 5_000,
  });
  assert.ok(isJson("[".repeat(100_000) + "]".repeat(100_000)));
});
