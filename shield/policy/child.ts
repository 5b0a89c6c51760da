/**
 * Starts our own programs as child processes without permissions: trial compilations.
 * Not for anything that a client names.
 */

/** How a child is to run. */
export interface ChildOptions {
  /** URL of the program; it may import files beside it and nothing from a registry. */
  readonly program: string;
  readonly args: readonly string[];
  readonly v8_flags: readonly string[];
  readonly stdin: Uint8Array<ArrayBuffer>;
  /** After this it is killed. */
  readonly wall_ms: number;
}

/** How it ended. `late`: it was killed for its time. */
export interface ChildResult {
  readonly code: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
  readonly late: boolean;
}

/** The running deno where that may be started, else the one that the permissions name. */
function denoCommand(): string {
  const command = Deno.execPath();
  const { state } = Deno.permissions.querySync({ name: "run", command });
  return state === "granted" ? command : "deno";
}

async function feed(child: Deno.ChildProcess, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const writer = child.stdin.getWriter();
  try {
    await writer.write(bytes);
    await writer.close();
  } catch {
    // It has ended before it read everything; its exit code says why.
  }
}

/** Rejects when the child cannot be started. */
export async function runChild(options: ChildOptions): Promise<ChildResult> {
  const child = new Deno.Command(denoCommand(), {
    args: [
      "run",
      "--no-prompt",
      "--no-config",
      "--no-lock",
      "--no-remote",
      "--no-npm",
      `--v8-flags=${options.v8_flags.join(",")}`,
      options.program,
      ...options.args,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, options.wall_ms);
  try {
    feed(child, options.stdin);
    const { code, stdout, stderr } = await child.output();
    return { code, stdout, stderr: new TextDecoder().decode(stderr).trim(), late };
  } finally {
    clearTimeout(timer);
  }
}
