/** Which parts of a scenario run, in which order, and what a report has of them. */
import assert from "node:assert/strict";
import { part, runParts } from "./parts.ts";
import { UsageError } from "./scenario.ts";

const PARTS = {
  first: ({ rounds }: { rounds: number }) => part(Promise.resolve(rounds), (one) => `first ${one}`),
  second: ({ seconds }: { seconds: number }) =>
    part(Promise.resolve(seconds), (one) => `second ${one}`),
};

const valuesOf = (only: string) => ({ only, rounds: 3, seconds: 2 });

Deno.test("all parts run in their order, or those that --only lists", async () => {
  const all = await runParts(PARTS, valuesOf(""));
  assert.deepEqual(all.tables, ["first 3", "second 2"]);
  assert.deepEqual(all.report, {
    options: { parts: ["first", "second"], rounds: 3, seconds: 2 },
    first: 3,
    second: 2,
  });
  const one = await runParts(PARTS, valuesOf("second"));
  assert.deepEqual(one.tables, ["second 2"]);
});

Deno.test("a part that there is not is a wrong option", async () => {
  const wrong = runParts(PARTS, valuesOf("third"));
  await assert.rejects(wrong, UsageError);
});
