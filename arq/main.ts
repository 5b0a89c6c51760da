/**
 * The entry point of `arq`, around the commands. They get arguments, clocks, signals and files from here
 * and read none themselves.
 */
import { CALLED_BY_VARIABLES, calledAs } from "./program/called_as.ts";
import { diskFilesUntil } from "./terminal/disk_files.ts";
import { configFolder, FOLDER_VARIABLES, stateFolders } from "./bus/folders.ts";
import { behind, createOutput, flushWithin, remark } from "./terminal/io.ts";
import type { Io, ScreenSize } from "./terminal/io.ts";
import { denoProblem } from "../shared/deno_versions.ts";
import { VERSION } from "../shared/version.ts";

/** The folder of the caller. `deno task` changes the folder and leaves the caller's in a variable. */
function callerFolder(): string {
  return variable("INIT_CWD") ?? Deno.cwd();
}

/** A variable of the environment; undefined when the permissions hide it. */
function variable(name: string): string | undefined {
  const permission = Deno.permissions.querySync({ name: "env", variable: name });
  return permission.state === "granted" ? Deno.env.get(name) : undefined;
}

// Modules that only some command lines need are loaded on demand.
const endings = () => import("./terminal/exit.ts");
const program = () => import("./program/program.ts");

/** The paths of `.arqon` in this folder and the ones above it, then in this checkout. */
function allStateFolders(cwd: string): string[] {
  // This file is in `arq` wherever it is a file. node:url would be loaded for this alone.
  const own = import.meta.dirname?.replace(/([\\/])arq$/, "$1.arqon");
  return [...new Set([...stateFolders(cwd), ...(own === undefined ? [] : [own])])];
}

/** The receiver of the next Ctrl-C. */
interface Interrupts {
  onNext: (() => void) | undefined;
}

/** Stops the command cleanly at the first signal, and at once at the second. */
async function listenForSignals(stop: AbortController, interrupts: Interrupts): Promise<void> {
  const { EXIT, Interrupted } = await endings();
  const codes = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      const { onNext } = interrupts;
      interrupts.onNext = undefined;
      if (signal === "SIGINT" && onNext !== undefined) return onNext();
      if (stop.signal.aborted) Deno.exit(codes[signal]);
      stop.abort(new Interrupted(codes[signal]));
    });
  }
}

const FLUSH_MS = 1_000;

/** The size of the terminal of our streams; it may change at any time. Some terminals do not tell theirs: 0 by 0. */
function screenSize(): ScreenSize | undefined {
  try {
    const size = Deno.consoleSize();
    return size.columns === 0 || size.rows === 0 ? undefined : size;
  } catch {
    return undefined;
  }
}

async function main(): Promise<number> {
  const problem = denoProblem();
  if (problem !== undefined) {
    console.error(`arq: ${problem}`);
    return 1;
  }
  const stop = new AbortController();
  const interrupts: Interrupts = { onNext: undefined };
  await listenForSignals(stop, interrupts);
  const stopOn = (error: unknown) => stop.abort(error);
  const cwd = callerFolder();
  const has_color = Deno.stdout.isTerminal() && (variable("NO_COLOR") ?? "") === "";
  const stdout = createOutput(Deno.stdout, Deno.stdout.isTerminal(), stopOn, has_color);
  const stderr = createOutput(Deno.stderr, Deno.stderr.isTerminal(), stopOn);
  const io: Io = {
    stdout,
    stderr: stdout.is_tty && stderr.is_tty ? behind(stderr, stdout, FLUSH_MS) : stderr,
    // A read from a terminal may never end on its own.
    stdin: () => Deno.stdin.readable.pipeThrough(new TransformStream(), { signal: stop.signal }),
    is_stdin_tty: Deno.stdin.isTerminal(),
    files: diskFilesUntil(stop.signal),
    cwd,
    state_dirs: allStateFolders(cwd),
    config_dir: configFolder(
      Deno.build.os,
      Object.fromEntries(FOLDER_VARIABLES.map((name) => [name, variable(name)])),
    ),
    arq: calledAs(
      Object.fromEntries(CALLED_BY_VARIABLES.map((name) => [name, variable(name)])),
      import.meta.url.endsWith("/arq/main.ts") && variable("INIT_CWD") !== undefined,
    ),
    signal: stop.signal,
    takeInterrupt(onNext) {
      interrupts.onNext = onNext;
      return () => interrupts.onNext = undefined;
    },
    size: screenSize,
    now: () => Date.now(),
    monotonic_ms: () => performance.now(),
  };
  let exit_code: number;
  try {
    const { runProgram } = await program();
    exit_code = await runProgram(io, Deno.args);
    await io.stdout.flush();
  } catch (thrown) {
    // Whatever fails during a stop fails because of the stop.
    const error = stop.signal.aborted ? stop.signal.reason : thrown;
    const { asksForJson, exitCodeOf, explain, explainJson, Interrupted, isBrokenPipe } =
      await endings();
    exit_code = exitCodeOf(error);
    const silent = error instanceof Interrupted || isBrokenPipe(error);
    const text = asksForJson(Deno.args) ? explainJson(error) : explain(error);
    // The sequences that restore the terminal may still be in flight. A stalled reader is not waited for.
    await flushWithin(io.stdout, FLUSH_MS);
    if (!silent) await remark(io.stderr, text);
  }
  await flushWithin(io.stderr, FLUSH_MS);
  return exit_code;
}

if (import.meta.main) {
  // A compiled `arq serve` starts itself to compile new policies.
  if (Deno.args[0]?.startsWith("arqon:") === true) {
    const { isTrial, runTrial } = await import("../wasm/instance/compile_child.ts");
    if (isTrial(Deno.args)) await runTrial(Deno.args);
  }
  // Scripts use this often, and it needs no definition of commands.
  if (Deno.args.length === 1 && Deno.args[0] === "--version") console.log(VERSION);
  else Deno.exit(await main());
}
