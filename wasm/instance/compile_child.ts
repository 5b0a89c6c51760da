/**
 * A process that compiles one module from its standard input, eagerly, and ends: with 0 when it could,
 * 3 with a sentence on standard error when the engine refuses, 4 when it needed too much memory, 5 with a
 * sentence when it cannot say which state it keeps, which otherwise stands on standard output, 6 when it
 * needed too much CPU time. It has no permissions; `compile.ts` starts it. Its arguments are the limits: memory in
 * bytes, and CPU time in ms, on top of what it uses at its start. A compiled server is this program, too: its
 * `main.ts` asks `isTrial` first.
 */
import process from "node:process";
import { stateKeysText } from "./state_keys.ts";

/** Exit code: the engine refuses the module; the sentence is on standard error. */
export const EXIT_REFUSED = 3;
/** Exit code: compiling took more memory than allowed. */
export const EXIT_MEMORY = 4;

/** Exit code: the module cannot say which state it keeps; the sentence is on standard error. */
export const EXIT_STATE_KEYS = 5;

/** Exit code: compiling took more CPU time than allowed. */
export const EXIT_CPU = 6;

/** The first argument of a compiled server that is to be this program. */
export const TRIAL_ARGUMENT = "arqon:compile-trial";

const encoder = new TextEncoder();
const WATCH_MS = 10;
const PERMISSIONS = ["run", "read", "write", "net", "env", "sys", "ffi", "import"] as const;

/** Whether the arguments of a compiled server ask it to be this program. */
export function isTrial(args: readonly string[]): boolean {
  return args[0] === TRIAL_ARGUMENT;
}

/** Gives up the permissions that `deno run` would not have given, then compiles. Does not return. */
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
    // No more than a pipe holds.
    Deno.stdout.writeSync(encoder.encode(stateKeysText(module)));
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    Deno.stderr.writeSync(encoder.encode(sentence.slice(0, 1_024)));
    Deno.exit(code);
  }
  Deno.exit(0);
}

if (import.meta.main) await compileInput(Deno.args);
