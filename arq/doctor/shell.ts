/** Asks the system's shell what Deno has no way to say. Only fixed commands; nothing that a person wrote. */

const SHELL_MS = 5_000;

/** What a command prints; undefined where there is no shell, it may not be run or it fails. */
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
