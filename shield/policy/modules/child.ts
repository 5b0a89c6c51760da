/**
 * Starts our own programs as child processes without permissions: trial compilations.
 * Not for anything that a client names.
 */
import { denoCommand } from "../../../shared/process/deno_command.ts";

/** How a child process is to run. */
export interface ChildOptions {
  /** The URL of the program, which may import files beside it and nothing from a registry. */
  readonly program: string;
  /** The first argument by which a compiled server knows that it is to be that program. */
  readonly compiled_as: string;
  readonly args: readonly string[];
  readonly v8_flags: readonly string[];
  readonly stdin: Uint8Array<ArrayBuffer>;
  /** The time after which the child is killed, in ms. */
  readonly wall_ms: number;
}

/** How the child ended. `late`: it was killed because its time was over. */
export interface ChildResult {
  readonly code: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
  readonly late: boolean;
}

/**
 * The program and its arguments. A compiled server has no `deno` beside it, so it starts itself again
 * and gives its permissions up as it starts. V8 takes the flags that were compiled in and no others.
 */
export function childCommand(
  { program, compiled_as, args, v8_flags }: Omit<ChildOptions, "stdin" | "wall_ms">,
  standalone: boolean = Deno.build.standalone,
): { command: string; args: string[] } {
  if (standalone) return { command: Deno.execPath(), args: [compiled_as, ...args] };
  // Deno keeps one compiled form of each module: with other flags of V8 it would write that of the
  // server's modules anew, and the server's next start would write it back.
  const flags = [
    "--no-prompt",
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--no-code-cache",
  ];
  return {
    command: denoCommand(),
    args: ["run", ...flags, `--v8-flags=${v8_flags.join(",")}`, program, ...args],
  };
}

async function feed(child: Deno.ChildProcess, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const writer = child.stdin.getWriter();
  try {
    await writer.write(bytes);
    await writer.close();
  } catch {
    // The child has ended before it read everything; its exit code says why.
  }
}

/** Runs a child to its end. Rejects when it cannot be started. */
export async function runChild(options: ChildOptions): Promise<ChildResult> {
  const { command, args } = childCommand(options);
  const child = new Deno.Command(command, {
    args,
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
