/** The forms of pytest's last line. */
import assert from "node:assert/strict";
import { pytestTotals } from "./test_python.ts";

Deno.test("totals of a pytest run are read from its last line", () => {
  const table: [string, { passed: number; failed: number } | undefined][] = [
    ["....\n76 passed in 28.10s\n", { passed: 76, failed: 0 }],
    ["1 failed, 75 passed, 2 warnings in 3.00s (0:00:03)\n", { passed: 75, failed: 1 }],
    ["3 failed, 1 passed, 2 errors in 1.0s", { passed: 1, failed: 5 }],
    ["1 error in 0.10s", { passed: 0, failed: 1 }],
    ["ImportError: boom", undefined],
  ];
  for (const [output, totals] of table) assert.deepEqual(pytestTotals(output), totals, output);
});
