/**
 * The self-checking scenarios with small numbers, on four real nodes. `deno task stress` runs them with
 * the numbers of the list. Which number is what: README.md.
 */
import assert from "node:assert/strict";
import { chosen, runStress, SCENARIOS } from "./run.ts";

Deno.test("every scenario holds with small numbers, and nothing is left afterwards", async () => {
  const lines: string[] = [];
  const results = await runStress({
    wanted: [],
    unwanted: [],
    repeat: 1,
    scale: 0.03,
    seed: 1,
    at_once: 4,
    deadline_ms: 120_000,
    say: (line) => void lines.push(line),
  });
  const failed = results.filter(({ failure }) => failure !== undefined);
  assert.deepEqual(failed, [], lines.join("\n"));
  assert.equal(results.length, SCENARIOS.length + 2);
});

Deno.test("scenarios are chosen by number or name, and a name that there is not is refused", () => {
  const numbers = (wanted: string[], unwanted: string[]) =>
    chosen({ wanted, unwanted }).map(({ number }) => number);
  assert.deepEqual(numbers(["7", "no_pong"], []), [7, 38]);
  assert.deepEqual(numbers(["7"], ["7"]), []);
  assert.throws(
    () => chosen({ wanted: ["sse_transport"], unwanted: [] }),
    /no scenario "sse_transport"/,
  );
  assert.equal(new Set(SCENARIOS.map(({ number }) => number)).size, SCENARIOS.length);
});
