/**
 * Our own rules for the workflows of GitHub Actions, beside those of actionlint and zizmor, as pure functions
 * over the text (`tasks/version_pins_test.ts` has that there is one Deno): pins have their version, tasks exist, jobs have time limits.
 * They parse no YAML; they look at lines, in the way our workflows are written.
 */
import type { Violation } from "../checkout/violation.ts";

/** The questions of the rules about the rest of the checkout. */
export interface Expected {
  /** Names of the tasks in deno.json. */
  readonly tasks: ReadonlySet<string>;
}

const PINNED = /^[\w.-]+(\/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;

function lineProblems(line: string, { tasks }: Expected): string[] {
  const problems: string[] = [];
  const action = /^\s*(?:- )?uses: (.*)$/.exec(line)?.[1]?.trim();
  if (
    action !== undefined && !/^\.\/[\w.\/-]+( # zizmor: .*)?$/.test(action) && !PINNED.test(action)
  ) {
    problems.push(`"${action}": pin a commit and name its version: owner/name@<40 hex> # v1.2.3`);
  }
  if (/registry-url:|\bregistry\.npmjs\.org\b/.test(line)) {
    problems.push("name no registry of npm: its default is the one that is meant");
  }
  for (const [, name = ""] of line.matchAll(/\bdeno task ([\w:-]+)/g)) {
    if (!tasks.has(name)) problems.push(`deno.json has no task "${name}"`);
  }
  return problems;
}

/** The jobs without a time limit. A job that calls another workflow cannot have one. */
function endless(path: string, lines: readonly string[]): Violation[] {
  const first = lines.indexOf("jobs:");
  if (first < 0) return [];
  const starts = lines.flatMap((line, index) =>
    index > first && /^ {2}[\w-]+:$/.test(line) ? [index] : []
  );
  return starts.flatMap((start, index) => {
    const body = lines.slice(start, starts[index + 1]);
    const runs = body.some((line) => /^ {4}runs-on:/.test(line));
    const limited = body.some((line) => /^ {4}timeout-minutes: \d+$/.test(line));
    return runs && !limited
      ? [{ path, line: start + 1, message: "give the job timeout-minutes" }]
      : [];
  });
}

/** The violations of one workflow. */
export function checkWorkflow(path: string, text: string, expected: Expected): Violation[] {
  const lines = text.split("\n");
  const problems = lines.flatMap((line, index) => {
    // A comment line may say anything; a version after a pin is not on a comment line.
    if (line.trimStart().startsWith("#")) return [];
    return lineProblems(line, expected).map((message) => ({ path, line: index + 1, message }));
  });
  return [...problems, ...endless(path, lines)];
}
