/** The steps of a pattern search, besides those of creating its states. */
import assert from "node:assert/strict";
import { Pattern } from "./pattern.ts";

/** Steps of a second search in the same text: its states exist. */
function stepsOfLooking(text: string): number {
  let steps = 0;
  const pattern = new Pattern(text, (spent) => {
    steps += spent;
    return true;
  });
  const operand = "a".repeat(16_000);
  pattern.isIn(operand);
  steps = 0;
  pattern.isIn(operand);
  return steps;
}

Deno.test("only a pattern that looks for edges is paid at each character by its length", () => {
  for (const plain of ["[^b]{3}c", "a\\^c", "\\$b", "[$]b", "\\\\Bc"]) {
    assert.equal(stepsOfLooking(plain), 1_000, plain);
  }
  for (const edged of ["^b", "b$", "\\bb", "\\Bb", "\\Ab", "b\\z", "(?m)^b"]) {
    assert.ok(stepsOfLooking(edged) > 2_000, edged);
  }
});
