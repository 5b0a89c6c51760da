/**
 * `arq`: the shell around the commands. The only file here that reads arguments, clocks, signals
 * and files.
 */
import { EXIT, exitCodeOf, explain, Interrupted, isBrokenPipe } from "./exit.ts";
import { createOutput, print } from "./io.ts";
import type { Files, Io } from "./io.ts";
import { runProgram } from "./program.ts";

/** `deno task` changes the folder and leaves the caller's here. */
function callerFolder(): string {
  const permission = Deno.permissions.querySync({ name: "env", variable: "INIT_CWD" });
  const initial = permission.state === "granted" ? Deno.env.get("INIT_CWD") : undefined;
  return initial ?? Deno.cwd();
}

/** `.arqon` in this folder and the ones above it, then in this checkout. */
function stateFolders(cwd: string): string[] {
  const folders: string[] = [];
  for (let at = cwd.replace(/\/+$/, ""); at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
    folders.push(`${at}/.arqon`);
  }
  if (import.meta.url.startsWith("file:")) {
    folders.push(new URL("../.arqon", import.meta.url).pathname);
  }
  return [...new Set(folders)];
}

const files: Files = {
  read: (path) => Deno.readFile(path),
  open: async (path) => (await Deno.open(path)).readable,
  create: (path, text, mode) => Deno.writeTextFile(path, text, { createNew: true, mode }),
  write: (path, bytes) => Deno.writeFile(path, bytes),
  makeDirectory: (path) => Deno.mkdir(path, { recursive: true }),
  async list(path) {
    try {
      return (await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return [];
      }
      throw error;
    }
  },
};

/** The first signal ends orderly, the second one at once. */
function listenForSignals(stop: AbortController): void {
  const codes = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (stop.signal.aborted) Deno.exit(codes[signal]);
      stop.abort(new Interrupted(codes[signal]));
    });
  }
}

async function main(): Promise<number> {
  const stop = new AbortController();
  listenForSignals(stop);
  const stopOn = (error: unknown) => stop.abort(error);
  const cwd = callerFolder();
  const io: Io = {
    stdout: createOutput(Deno.stdout, Deno.stdout.isTerminal(), stopOn),
    stderr: createOutput(Deno.stderr, Deno.stderr.isTerminal(), stopOn),
    // A read from a terminal may never end by itself.
    stdin: () => Deno.stdin.readable.pipeThrough(new TransformStream(), { signal: stop.signal }),
    files,
    cwd,
    state_dirs: stateFolders(cwd),
    signal: stop.signal,
    now: () => Date.now(),
    monotonic_ms: () => performance.now(),
  };
  let exit_code: number;
  try {
    exit_code = await runProgram(io, Deno.args);
    await io.stdout.flush();
  } catch (thrown) {
    // Whatever fails because everything is being stopped failed for that reason.
    const error = stop.signal.aborted ? stop.signal.reason : thrown;
    exit_code = exitCodeOf(error);
    const silent = error instanceof Interrupted || isBrokenPipe(error);
    if (!silent) await print(io.stderr, explain(error)).catch(() => {});
  }
  await io.stderr.flush().catch(() => {});
  return exit_code;
}

if (import.meta.main) Deno.exit(await main());
