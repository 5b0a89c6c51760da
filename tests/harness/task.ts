/**
 * A task that runs for long, from its command line to its exit code: 2 for a wrong command line. What
 * there is on a command line is `task_arguments.ts`; what a run does and prints is its own business.
 */
import { UsageError } from "../../bench/measure/scenario.ts";
import { endOnSignal } from "./end_on_signal.ts";
import { helpOf, readArguments } from "./task_arguments.ts";
import type { Options, TaskUsage, ValuesOf } from "./task_arguments.ts";

/** For `catch`: what a run refuses before it begins is a wrong command line, all else a bug. */
export function refused(error: unknown): never {
  throw error instanceof RangeError ? new UsageError(error.message) : error;
}

/**
 * Runs a task and ends the process with the exit code that `run` gives. A signal ends everything that
 * it has started.
 */
export async function runTask<O extends Options>(
  usage: TaskUsage<O>,
  args: readonly string[],
  run: (values: ValuesOf<O>) => Promise<number>,
): Promise<never> {
  endOnSignal();
  try {
    const values = readArguments(usage, args);
    if (values !== undefined) Deno.exit(await run(values));
    console.log(helpOf(usage));
    Deno.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
}
