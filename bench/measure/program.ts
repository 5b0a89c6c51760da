/** Runs one of the benchmark's own programs as a process with its own flags and permissions. */
import { ROOT } from "./scenario.ts";

/**
 * Runs a program and resolves with the JSON that it prints. `flags` stand before the program, `input` becomes
 * its standard input. Rejects with its standard error when it fails.
 */
export async function runProgram<T>(
  program: string,
  flags: readonly string[],
  args: readonly string[],
  input = "",
): Promise<T> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...flags, `${ROOT}/${program}`, ...args],
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
