/** Runs one of the benchmark's own programs as a process with its own flags. */
import { ROOT } from "./scenario.ts";

/** How a program is run. */
export interface ProgramOptions {
  /** Flags of `deno run`; by default it may do everything. */
  readonly flags?: readonly string[];
}

/** Runs a program, and resolves with the JSON that it prints. Rejects with its standard error when it fails. */
export async function runProgram<T>(
  program: string,
  args: readonly string[],
  { flags = ["-A"] }: ProgramOptions = {},
): Promise<T> {
  const path = program.startsWith("file:") ? program : `${ROOT}/${program}`;
  const words = ["run", "--no-prompt", ...flags, path, ...args];
  const options = { args: words, cwd: ROOT, stdin: "null" } as const;
  const { success, code, stdout, stderr } = await new Deno.Command(Deno.execPath(), options)
    .output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`${program} ended with ${code}:\n${decoder.decode(stderr).slice(-8_192)}`);
  }
  return JSON.parse(decoder.decode(stdout));
}

/** Lets a module that ends with `answer` measure by this plan, in a process of its own. */
export async function measuredBy<T>(
  module: string,
  plan: unknown,
  options?: ProgramOptions,
): Promise<T> {
  return await runProgram<T>(module, [JSON.stringify(plan)], options);
}

/** Measures by the plan in this program's first argument, prints the result, and ends the program. */
export async function answer<P, R>(measure: (plan: P) => Promise<R> | R): Promise<void> {
  console.log(JSON.stringify(await measure(JSON.parse(Deno.args[0] ?? "{}"))));
  Deno.exit(0);
}
