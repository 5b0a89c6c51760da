/** The totals are read from every form of deno's last line. */
import assert from "node:assert/strict";
import { formatTotals, readTotals } from "./test_summary.ts";

Deno.test("the totals of a run are read", () => {
  assert.deepEqual(readTotals("ok | 25 passed | 0 failed (1s)\n", true), { passed: 25, failed: 0 });
  assert.deepEqual(
    readTotals(
      "\nFAILED | 3 passed (12 steps) | 2 failed (1 step) | 4 filtered out (9ms)\n",
      false,
    ),
    { passed: 3, failed: 2 },
  );
  const coloured = "\x1b[0m\x1b[32mok\x1b[0m | 7 passed | 0 failed \x1b[38;5;245m(1s)\x1b[0m";
  assert.deepEqual(readTotals(coloured, true), { passed: 7, failed: 0 });
});

Deno.test("what a test prints is not taken for the summary", () => {
  const output = "say: ok | 99 passed | 0 failed\nok | 1 passed | 0 failed (1s)\nError: leaks\n";
  assert.deepEqual(readTotals(output, true), { passed: 1, failed: 0 });
});

Deno.test("a run that fails without a failed test counts one", () => {
  assert.deepEqual(readTotals("error: Type checking failed.\n", false), { passed: 0, failed: 1 });
  assert.deepEqual(readTotals("ok | 5 passed | 0 failed (1s)\n", false), { passed: 5, failed: 1 });
});

Deno.test("the line for .ci/run", () => {
  assert.equal(formatTotals({ passed: 12, failed: 0 }), "12 passed, 0 failed");
});
