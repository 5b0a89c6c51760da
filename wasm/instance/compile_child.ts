/**
 * A process that compiles one module from its standard input, eagerly, and prints the declaration of its state. Exit
 * codes: 0 success, 3 the engine refuses the module (a sentence on stderr), 4 too much memory, 5 no valid declaration
 * (a sentence on stderr), 6 too much CPU time. It has no permissions; `compile.ts` starts it. Its arguments are the
 * limits: memory in bytes and CPU time in ms, on top of the usage at its start. A compiled server contains this
 * program, too: its `main.ts` calls `isTrial` first.
 */
import process from "node:process";
import { stateKeysText } from "./state_keys.ts";

/** Exit code: the engine refuses the module; the sentence is on standard error. */
export const EXIT_REFUSED = 3;
/** Exit code: compiling took more memory than allowed. */
export const EXIT_MEMORY = 4;

/** Exit code: the module has no valid declaration of its state; the sentence is on standard error. */
export const EXIT_STATE_KEYS = 5;

/** Exit code: compiling took more CPU time than allowed. */
export const EXIT_CPU = 6;

/** The first argument with which a compiled server runs this program. */
export const TRIAL_ARGUMENT = "arqon:compile-trial";

const encoder = new TextEncoder();
const WATCH_MS = 10;
const PERMISSIONS = ["run", "read", "write", "net", "env", "sys", "ffi", "import"] as const;

/** Whether the arguments of a compiled server ask for this program. */
export function isTrial(args: readonly string[]): boolean {
  return args[0] === TRIAL_ARGUMENT;
}

/** Drops the permissions that `deno run` would not have granted, then compiles. Does not return. */
export async function runTrial(args: readonly string[]): Promise<never> {
  for (const name of PERMISSIONS) Deno.permissions.revokeSync({ name });
  return await compileInput(args.slice(1));
}

async function compileInput(args: readonly string[]): Promise<never> {
  const [memory_bytes = NaN, cpu_ms = NaN] = args.map(Number);
  const bytes = new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
  const before_bytes = Deno.memoryUsage().rss;
  const before = process.cpuUsage();
  const watch = () => {
    if (Deno.memoryUsage().rss - before_bytes > memory_bytes) Deno.exit(EXIT_MEMORY);
    const { user, system } = process.cpuUsage(before);
    if ((user + system) / 1_000 > cpu_ms) Deno.exit(EXIT_CPU);
  };
  // The engine compiles on threads of its own, so that this one can watch.
  setInterval(watch, WATCH_MS);
  let code = EXIT_REFUSED;
  try {
    const module = await WebAssembly.compile(bytes);
    watch();
    code = EXIT_STATE_KEYS;
    // At most the size of a pipe's buffer.
    Deno.stdout.writeSync(encoder.encode(stateKeysText(module)));
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    Deno.stderr.writeSync(encoder.encode(sentence.slice(0, 1_024)));
    Deno.exit(code);
  }
  Deno.exit(0);
}

if (import.meta.main) await compileInput(Deno.args);
