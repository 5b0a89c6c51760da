/** The totals are read from every form of deno's last line, the slowest files from its report. */
import assert from "node:assert/strict";
import { addTotals, formatSlowest, formatTotals, lastTotals, readTotals } from "./test_summary.ts";

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

Deno.test("a test's own output is not mistaken for the summary", () => {
  const output = "say: ok | 99 passed | 0 failed\nok | 1 passed | 0 failed (1s)\nError: leaks\n";
  assert.deepEqual(readTotals(output, true), { passed: 1, failed: 0 });
});

Deno.test("a run that fails without a failed test counts one failure", () => {
  assert.deepEqual(readTotals("error: Type checking failed.\n", false), { passed: 0, failed: 1 });
  assert.deepEqual(readTotals("ok | 5 passed | 0 failed (1s)\n", false), { passed: 5, failed: 1 });
});

Deno.test("the line for .ci/run", () => {
  assert.equal(formatTotals({ passed: 12, failed: 0 }), "12 passed, 0 failed");
});

Deno.test("the slowest files are named, each with the sum of its tests without their steps", () => {
  const test = (name: string, time: number) =>
    `<testcase name="${name}" classname="x" time="${time}" line="1" col="1">\n</testcase>`;
  const suite = (name: string, ...tests: string[]) =>
    `<testsuite name="./${name}" tests="1" errors="0">${tests.join("")}</testsuite>\n`;
  const quick = Array.from({ length: 10 }, (_, at) => suite(`q${at}_test.ts`, test("a", 0.1)));
  const slow = suite("a/slow_test.ts", test("a", 1.25), test("a &gt; step", 1), test("b", 2));
  const lines = formatSlowest(quick.join("") + slow).trim().split("\n");
  assert.equal(lines.length, 11);
  assert.equal(lines[1], "    3.3 s  a/slow_test.ts".trim().padStart(lines[1]!.length));
  assert.equal(formatSlowest(slow), "");
});

Deno.test("a task's totals are those of its last line, and one failure without that line", () => {
  assert.deepEqual(lastTotals("say\n3 passed, 0 failed\n", true), { passed: 3, failed: 0 });
  assert.deepEqual(lastTotals("3 passed, 0 failed\n", false), { passed: 3, failed: 1 });
  for (const other of ["", "3 passed, 0 failed\nboom\n"]) {
    assert.deepEqual(lastTotals(other, true), { passed: 0, failed: 1 });
  }
  assert.deepEqual(addTotals([{ passed: 1, failed: 2 }, { passed: 3, failed: 4 }]), {
    passed: 4,
    failed: 6,
  });
});
