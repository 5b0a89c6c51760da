/**
 * Reads the totals from the output of `deno test`, so that `deno task test` and `.ci/run` can add them up.
 * Pure text functions.
 */

/** How many tests passed and failed. */
export interface TestTotals {
  readonly passed: number;
  readonly failed: number;
}

// deno-lint-ignore no-control-regex -- the escape character is what starts a colour
const COLOURS = /\x1b\[[0-9;]*m/g;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed\b/;

/**
 * The totals of one run. A run that failed without naming a test (a file does not compile, a leak) counts as
 * one failed test, so that a failure never adds up to nothing.
 */
export function readTotals(output: string, success: boolean): TestTotals {
  const lines = output.replace(COLOURS, "").split("\n");
  const match = lines.map((line) => SUMMARY.exec(line)).findLast((found) => found !== null);
  const passed = Number(match?.[1] ?? 0);
  const failed = Number(match?.[2] ?? 0);
  return { passed, failed: success ? failed : Math.max(1, failed) };
}

/** The line with the totals, which `.ci/run` looks for. */
export function formatTotals({ passed, failed }: TestTotals): string {
  return `${passed} passed, ${failed} failed`;
}
