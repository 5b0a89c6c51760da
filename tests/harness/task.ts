/**
 * A task that runs for long, from its command line to its exit code: its progress with the time that has
 * passed, its verdict, 2 for a wrong command line. What there is on a command line is
 * `task_arguments.ts`, what a verdict says `verdict.ts`.
 */
import { commit, machine, UsageError } from "../../bench/measure/scenario.ts";
import { endOnSignal } from "./end_on_signal.ts";
import { helpOf, readArguments } from "./task_arguments.ts";
import type { Options, TaskUsage, ValuesOf } from "./task_arguments.ts";
import { codeOf, renderVerdict } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

/** Hears the progress, line by line. */
export type Say = (line: string) => void;

/** For `catch`: what a run refuses before it begins is a wrong command line, all else a bug. */
export function refused(error: unknown): never {
  throw error instanceof RangeError ? new UsageError(error.message) : error;
}

/** What figures depend on, and when they were taken. */
export async function machineLine(): Promise<string> {
  const about = { ...await machine(), commit: await commit(), at: new Date().toISOString() };
  return Object.entries(about).map((pair) => pair.join(" ")).join(", ");
}

/** Prints each line with the seconds since this call. */
function clock(): Say {
  const began_ms = performance.now();
  return (line) => {
    const passed = ((performance.now() - began_ms) / 1_000).toFixed(1);
    console.log(`${passed.padStart(7)} s  ${line}`);
  };
}

async function conclude(verdict: Verdict): Promise<number> {
  const code = codeOf(verdict);
  if (code === 0 && verdict.dir !== undefined) await Deno.remove(verdict.dir, { recursive: true });
  console.log(`\n${renderVerdict(verdict)}`);
  return code;
}

/**
 * Runs a task, says its verdict and ends the process with the exit code; one whose output other programs
 * read gives the code instead of a verdict. A signal ends everything that it has started.
 */
export async function runTask<O extends Options>(
  usage: TaskUsage<O>,
  args: readonly string[],
  run: (values: ValuesOf<O>, say: Say) => Promise<Verdict | number>,
): Promise<never> {
  endOnSignal();
  try {
    const values = readArguments(usage, args);
    if (values === undefined) {
      console.log(helpOf(usage));
      Deno.exit(0);
    }
    const result = await run(values, clock());
    Deno.exit(typeof result === "number" ? result : await conclude(result));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
}
