/**
 * A long-running task, from its command line to its exit code: its progress with the elapsed time, its verdict, and
 * exit code 2 for a wrong command line. `task_arguments.ts` has the command line, `verdict.ts` the text of a verdict.
 */
import { commit, machine, UsageError } from "../../bench/measure/scenario.ts";
import { endOnSignal } from "./end_on_signal.ts";
import { helpOf, readArguments } from "./task_arguments.ts";
import type { Options, TaskUsage, ValuesOf } from "./task_arguments.ts";
import { codeOf, renderVerdict, type Verdict } from "./verdict.ts";

/** Receives the progress, line by line. */
export type Say = (line: string) => void;

/** For `catch`: an error before the run is a wrong command line, all others are bugs. */
export function refused(error: unknown): never {
  throw error instanceof RangeError ? new UsageError(error.message) : error;
}

/** The conditions on which figures depend, and their time. */
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
 * Runs a task, prints its verdict and ends the process with the exit code; a task whose output other programs read
 * returns the code instead of a verdict. A signal ends everything that it has started.
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
