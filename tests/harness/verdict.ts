/**
 * The verdict of a long-running task, as lines for people and as an exit code: 0 passed, 1 something is wrong, 3
 * undecided. Pure; a wrong command line exits with 2 (`task.ts`).
 */

/** The verdict of a run. */
export interface Verdict {
  /** What is wrong, one or more lines each; empty if nothing. */
  readonly problems: readonly string[];
  /** Why the run, or the rest of it, could not be judged. */
  readonly undecided?: readonly string[];
  /** Repeats the run. */
  readonly seed?: number;
  /** Where the logs of its processes are; unused once it has passed. */
  readonly dir?: string;
}

/** Number of listed problems; the total is always printed. */
const LISTED_MAX = 200;

type Outcome = "passed" | "wrong" | "undecided";

const CODES: Readonly<Record<Outcome, number>> = { passed: 0, wrong: 1, undecided: 3 };

function outcomeOf({ problems, undecided = [] }: Verdict): Outcome {
  if (problems.length > 0) return "wrong";
  return undecided.length > 0 ? "undecided" : "passed";
}

function headOf({ problems, seed, dir }: Verdict, outcome: Outcome): string {
  const again = seed === undefined ? "" : `, seed ${seed}`;
  const logs = dir === undefined ? "" : `, logs in ${dir}`;
  switch (outcome) {
    case "passed":
      return `PASSED${again}`;
    case "wrong":
      return `FAILED: ${problems.length} wrong${again}${logs}`;
    case "undecided":
      return `UNDECIDED${again}${logs}`;
    default:
      return outcome satisfies never;
  }
}

/** The exit code of the task. */
export function codeOf(verdict: Verdict): number {
  return CODES[outcomeOf(verdict)];
}

/** One line for the verdict, followed by what is wrong or was not judged. */
export function renderVerdict(verdict: Verdict): string {
  const { problems, undecided = [] } = verdict;
  const listed = [...problems.slice(0, LISTED_MAX), ...undecided].map((text) => `- ${text}`);
  const more = problems.length - LISTED_MAX;
  const rest = more > 0 ? [`- and ${more} more`] : [];
  return [headOf(verdict, outcomeOf(verdict)), ...listed, ...rest].join("\n");
}
