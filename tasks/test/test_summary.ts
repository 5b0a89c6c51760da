/**
 * Reads the totals out of what `deno test` prints, so that `deno task test` and `.ci/run` can add
 * them up. Pure text functions.
 */

/** Tests that passed and failed. */
export interface TestTotals {
  readonly passed: number;
  readonly failed: number;
}

// deno-lint-ignore no-control-regex -- the escape character is what starts a colour
const COLOURS = /\x1b\[[0-9;]*m/g;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed\b/;

/**
 * The totals of one run. A run that failed without saying which test did (a file that does not
 * compile, a leak) counts as one failed test, so that a failure is never added up to nothing.
 */
export function readTotals(output: string, success: boolean): TestTotals {
  const lines = output.replace(COLOURS, "").split("\n");
  const match = lines.map((line) => SUMMARY.exec(line)).findLast((found) => found !== null);
  const passed = Number(match?.[1] ?? 0);
  const failed = Number(match?.[2] ?? 0);
  return { passed, failed: success ? failed : Math.max(1, failed) };
}

/** The line that `.ci/run` looks for. */
export function formatTotals({ passed, failed }: TestTotals): string {
  return `${passed} passed, ${failed} failed`;
}
