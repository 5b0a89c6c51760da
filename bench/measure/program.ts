/** Runs one of the benchmark's own programs as a process with its own flags. */
import { ROOT } from "./scenario.ts";

/** How a program is run. */
export interface ProgramOptions {
  /** Flags of `deno run`; by default it may do everything. */
  readonly flags?: readonly string[];
  /** Words in front of the command, such as `nice`. */
  readonly before?: readonly string[];
  /** Its standard input. */
  readonly input?: string;
}

/** Runs a program, and resolves with the JSON that it prints. Rejects with its standard error when it fails. */
export async function runProgram<T>(
  program: string,
  args: readonly string[],
  { flags = ["-A"], before = [], input = "" }: ProgramOptions = {},
): Promise<T> {
  const deno = [Deno.execPath(), "run", "--no-prompt", ...flags];
  const path = program.startsWith("file:") ? program : `${ROOT}/${program}`;
  const [command = "", ...words] = [...before, ...deno, path, ...args];
  const child = new Deno.Command(command, {
    args: words,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // When the program ends before it has read everything, its exit code says more than a failed write.
  const fed = writer.write(new TextEncoder().encode(input)).then(() => writer.close())
    .catch(() => {});
  const { success, code, stdout, stderr } = await child.output();
  await fed;
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
