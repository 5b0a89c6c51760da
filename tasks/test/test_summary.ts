/**
 * Reads the totals from the output of `deno test`, so that `deno task test` and `.ci/run` can add them up, and the
 * slowest files from its report. Pure text functions.
 */

export interface TestTotals {
  readonly passed: number;
  readonly failed: number;
}

// deno-lint-ignore no-control-regex -- the escape character is what starts a colour
const COLOURS = /\x1b\[[0-9;]*m/g;
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed\b/;

/**
 * The totals of one run. A run that failed without naming a test (a file does not compile, a leak) counts as one failed
 * test, so that a failure never adds up to nothing.
 */
export function readTotals(output: string, success: boolean): TestTotals {
  const lines = output.replace(COLOURS, "").split("\n");
  const match = lines.map((line) => SUMMARY.exec(line)).findLast((found) => found !== null);
  const passed = Number(match?.[1] ?? 0);
  const failed = Number(match?.[2] ?? 0);
  return { passed, failed: success ? failed : Math.max(1, failed) };
}

/** The totals in a program's last line, as `formatTotals` writes it; one failure if it has none. */
export function lastTotals(output: string, success: boolean): TestTotals {
  const match = /^(\d+) passed, (\d+) failed$/m.exec(output.trimEnd().split("\n").at(-1) ?? "");
  const failed = Number(match?.[2] ?? 1);
  return { passed: Number(match?.[1] ?? 0), failed: success ? failed : Math.max(1, failed) };
}

/** The sum of totals. */
export function addTotals(totals: readonly TestTotals[]): TestTotals {
  const sum = (of: (one: TestTotals) => number) => totals.reduce((all, one) => all + of(one), 0);
  return { passed: sum(({ passed }) => passed), failed: sum(({ failed }) => failed) };
}

/** The line with the totals that `.ci/run` searches for. */
export function formatTotals({ passed, failed }: TestTotals): string {
  return `${passed} passed, ${failed} failed`;
}

/** Files that `formatSlowest` names. */
const SLOWEST = 10;

interface FileReport {
  readonly name: string;
  /** Sum over its tests. A test's time includes its steps. */
  readonly seconds: number;
  /** Failed tests. A test with a failed step is replaced by the step, with the test's name before the step's. */
  readonly failed: readonly string[];
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&gt;": ">",
  "&lt;": "<",
  "&quot;": '"',
  "&apos;": "'",
  "&amp;": "&",
};

/** The report of each file, from a report in JUnit's format. */
export function readReport(report: string): FileReport[] {
  const plain = (text: string) => text.replace(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity);
  return [...report.matchAll(/<testsuite name="([^"]*)"[^]*?<\/testsuite>/g)].map(
    ([suite, name = ""]) => {
      const cases = [
        ...suite.matchAll(/<testcase name="([^"]*)"[^>]*? time="([\d.]+)"[^]*?<\/testcase>/g),
      ]
        .map(([text, test = "", time]) => {
          return { test: plain(test), seconds: Number(time), failed: text.includes("<failure") };
        });
      const tests = cases.filter(({ test }) => !test.includes(" > "));
      const failed = cases.filter(({ failed }) => failed).map(({ test }) => test);
      return {
        name: name.replace(/^\.\//, ""),
        seconds: tests.reduce((sum, { seconds }) => sum + seconds, 0),
        failed: failed.filter((test) => !failed.some((other) => other.startsWith(`${test} > `))),
      };
    },
  );
}

/**
 * The slowest files, with their seconds, from a report in JUnit's format. Empty if the report has fewer than two files:
 * a run of one file shows the times of its tests.
 */
export function formatSlowest(report: string): string {
  const files = readReport(report);
  if (files.length < 2) return "";
  const longest = files.toSorted((one, other) => other.seconds - one.seconds).slice(0, SLOWEST);
  const lines = longest.map(({ name, seconds }) =>
    `${seconds.toFixed(1).padStart(7)} s  ${name}\n`
  );
  return `\nslowest files\n${lines.join("")}\n`;
}
