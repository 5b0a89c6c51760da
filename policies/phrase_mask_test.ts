/**
 * The example phrase_mask, run as the Shield runs it: for any pieces, its output is the whole text after a regular
 * expression has masked the phrases, and never contains a byte of a phrase.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { judgedPiece } from "../shield/policy/piece.ts";
import { type Policy, startExample } from "./testing/guest_host.ts";
import { maskedWhole, PARTS } from "./testing/phrases.ts";

/** The output after each piece, and at the end. */
function grown(policy: Policy, pieces: readonly string[]): string[] {
  const released: string[] = [];
  let held = "";
  const ask = (text: string, is_last: boolean) => {
    const headers = is_last ? { "x-arqon-growing-last": "true" } : {};
    const outcome = policy({ hook: "on_append", payload: text, headers });
    assert.deepEqual([outcome.allowed, outcome.detail], [true, ""]);
    const { payload, added_headers } = outcome;
    const judged = judgedPiece({ text, is_last }, { payload, added_headers, outcomes: [] });
    released.push(judged.released);
    held = judged.held;
  };
  for (const piece of pieces) ask(held + piece, false);
  ask(held, true);
  return released;
}

const text = fc.array(fc.constantFrom(...PARTS), { maxLength: 24 }).map((parts) => parts.join(""));
const sizes = fc.array(fc.nat({ max: 9 }), { maxLength: 60 });

Deno.test("phrase_mask: for any split of a text, the output is the text with masked phrases", async () => {
  const policy = await startExample("phrase_mask");
  fc.assert(
    fc.property(text, sizes, (whole, cuts) => {
      const units = [...whole];
      const pieces = cuts.map((size) => units.splice(0, size).join(""));
      const released = grown(policy, [...pieces, units.join("")]);
      assert.equal(released.join(""), maskedWhole(whole));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("phrase_mask: text that cannot become a phrase is sent at once, and a possible phrase waits", async () => {
  const policy = await startExample("phrase_mask");
  assert.deepEqual(grown(policy, ["see Project F", "alco", "n now"]), [
    "see ",
    "",
    "************** now",
    "",
  ]);
  assert.deepEqual(grown(policy, ["see project f", "or"]), ["see ", "project for", ""]);
  assert.deepEqual(grown(policy, ["a pass"]), ["a ", "pass"]);
});
