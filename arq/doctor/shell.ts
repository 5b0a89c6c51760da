/**
 * Runs commands of the system's shell for facts that Deno cannot tell. The commands are fixed and hold
 * nothing that a person wrote.
 */

const SHELL_MS = 5_000;

/** The output of a command; undefined when there is no shell, or the command may not run or fails. */
export async function runShell(command: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("sh", {
      args: ["-c", command],
      stdin: "null",
      stderr: "null",
      signal: AbortSignal.any([signal, AbortSignal.timeout(SHELL_MS)]),
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}
