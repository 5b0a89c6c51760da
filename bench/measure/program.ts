/** Runs one of the benchmark's own programs as a process with separate flags. */
import { deno } from "../../tasks/checkout/programs.ts";

/**
 * Runs a program, and resolves with its JSON output. `flags` are those of `deno run`; by default it has all
 * permissions. Rejects with its output if it fails.
 */
export async function runProgram<T>(
  program: string,
  args: readonly string[],
  flags: readonly string[] = ["-A"],
): Promise<T> {
  return JSON.parse((await deno(["run", "--no-prompt", ...flags, program, ...args])).stdout);
}

/** Runs a module that ends with `answer` on this plan, in a separate process. */
export function measuredBy<T>(module: string, plan: unknown, flags?: string[]): Promise<T> {
  return runProgram<T>(module, [JSON.stringify(plan)], flags);
}

/** Measures the plan in this program's first argument, prints the result, and ends the program. */
export async function answer<P, R>(measure: (plan: P) => Promise<R> | R): Promise<void> {
  console.log(JSON.stringify(await measure(JSON.parse(Deno.args[0] ?? "{}"))));
  Deno.exit(0);
}
