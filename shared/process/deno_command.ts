/**
 * The command that starts one of our programs in a separate process. `deno` need not be on the PATH: this process may
 * have been started by its path. Not for compiled programs, which have no `deno`.
 */

/** Whether a permission is granted; `Deno.permissions` in a process. */
export type IsGranted = (descriptor: Deno.PermissionDescriptor) => boolean;

/** Whether this process has a permission. */
export function isGranted(descriptor: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(descriptor).state === "granted";
}

/** The path of the running deno if it may be started, otherwise `deno`, as the permissions name it. */
export function denoCommand(is_granted: IsGranted = isGranted): string {
  const command = Deno.execPath();
  return is_granted({ name: "run", command }) ? command : "deno";
}

/**
 * Starts a program without the caller's variables `LD_…` (allocators, folders of libraries): Deno starts no child with
 * them unless this process may start any program. Throws as `Deno.Command` does.
 */
export function startChild(command: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(command, options).spawn();
  } catch (error) {
    // The error names them; for Deno and the loader an empty one is unset.
    const [, names] = /subprocess with (.+?) environment/.exec(String(error)) ?? [];
    if (names === undefined) throw error;
    const env = Object.fromEntries(names.split(", ").map((name) => [name, ""]));
    return new Deno.Command(command, { ...options, env: { ...options.env, ...env } }).spawn();
  }
}

/**
 * Flags of `deno run` for a program with a Shield. A policy's first call does not wait for the compiler. The garbage
 * collector makes no long pauses: the young generation is collected in small steps; allocation sites are not marked as
 * long-lived after one busy moment (that caused a full collection every 20 s instead of every minute); the old
 * generation may grow to four times its size. Policies run in workers without permissions; an upgrade is answered with
 * success, without an AbortError with a stack for each.
 */
export const SERVER_FLAGS: readonly string[] = [
  "--no-prompt",
  "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4,--no-allocation-site-pretenuring,--heap-growing-percent=300",
  "--unstable-worker-options",
  "--unstable-net",
  "--unstable-no-legacy-abort",
];

/**
 * Flags for a Brain alone: a reducer's first command does not wait for the compiler, and the young generation is
 * collected in small steps.
 */
export const BRAIN_FLAGS: readonly string[] = [
  "--no-prompt",
  "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4,--no-allocation-site-pretenuring",
];
