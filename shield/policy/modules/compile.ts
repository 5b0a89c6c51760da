/**
 * Compiles metered modules for the process. A module that is new to the process is first compiled completely, by both
 * compilers of the engine, in child processes with limits on time and memory: one that compiles for minutes must not do
 * that here. A module that passed is then compiled lazily, as usual, and the verdict is stored (`verdict_store.ts`), so
 * that the same bytes are not tried again at the next start.
 */
import {
  EXIT_CPU,
  EXIT_MEMORY,
  EXIT_REFUSED,
  EXIT_STATE_KEYS,
  TRIAL_ARGUMENT,
} from "../../../wasm/instance/compile_child.ts";
import { METER_VERSION } from "../../../wasm/metering/meter_costs.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import type { Verdicts } from "./verdict_store.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { denoCommand } from "../../../shared/process/deno_command.ts";

/** The limits of one trial compilation. */
export interface CompileLimits {
  /** CPU time: how busy the machine is does not count. */
  readonly cpu_ms: number;
  readonly memory_bytes: number;
}

/** The limits by default: at most 10 s, and far less memory than a compile bomb takes. */
export const COMPILE_LIMITS: CompileLimits = { cpu_ms: 10_000, memory_bytes: 536_870_912 };
/** A trial that has not ended by then hangs, or gets no core: the module may be tried again. */
const TRIAL_MS = 60_000;

/** A module that has passed its trial. */
export interface CompiledPolicy {
  readonly compiled: WebAssembly.Module;
  /** The state that it declared in the trial, as text; "" for none. */
  readonly state_keys: string;
}

/** The compiler of the process. */
export interface Compiler {
  /**
   * Compiles a module; `sha256` names the upload that `bytes` were made from. Rejects with
   * `PolicyModuleError`: `compile-refused`, `compile-time`, `compile-memory`, `state-keys` when it cannot
   * say which state it keeps, or `compile-failed` when the engine broke down over it; with another Error
   * when the trial cannot be made at all.
   */
  compile(sha256: string, bytes: Uint8Array): Promise<CompiledPolicy>;
}

/** Flags of the two compilers: the baseline one, and the optimising one for every function. */
const TIERS = ["--liftoff-only", "--no-liftoff"];
/**
 * A compiled server tries the baseline compiler only, since V8's flags are compiled in. The optimising
 * one is bounded by the transform alone: a function at its limit takes it 25 ms and 4 MiB (measured).
 */
const TRIALS = Deno.build.standalone ? TIERS.slice(0, 1) : TIERS;
const CHILD = new URL("../../../wasm/instance/compile_child.ts", import.meta.url).href;
/**
 * A name for everything besides the bytes that a verdict depends on: the transform that made them, the
 * compilers that were tried under which limits, and the engine on its machine.
 */
export function engineOf(limits: CompileLimits = COMPILE_LIMITS): string {
  const { v8, deno } = Deno.version;
  const { cpu_ms, memory_bytes } = limits;
  const of_limits = `${cpu_ms} ms ${memory_bytes} bytes`;
  return `transform ${METER_VERSION}; ${TRIALS.join(" ")}; ${of_limits}; v8 ${v8}; deno ${deno}; ` +
    Deno.build.target;
}

/** The heap of the child, in MiB; it is kept small, as the child does nothing but compile. */
const CHILD_HEAP_MIB = 128;

/** Options of a compiler. */
export interface CompilerOptions {
  readonly limits?: CompileLimits;
  /** The trials that have passed before; absent: every module is tried. */
  readonly verdicts?: Verdicts | undefined;
}

/** Makes a compiler. */
export function createCompiler(
  { limits = COMPILE_LIMITS, verdicts }: CompilerOptions = {},
): Compiler {
  let last: Promise<unknown> = Promise.resolve();

  /** Runs one trial at a time: uploads must not take all cores from the traffic. */
  function inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = last.then(action);
    // Who asked for that turn is notified.
    last = turn.catch(() => {});
    return turn;
  }

  async function compile(sha256: string, bytes: Uint8Array): Promise<CompiledPolicy> {
    const copy = new Uint8Array(bytes);
    // The verdict is looked up by the bytes about to be compiled: one about other bytes does not count.
    const metered_sha256 = await sha256Hex(copy);
    const passed = await verdicts?.passed(sha256);
    let state_keys = passed?.state_keys ?? "";
    if (passed?.metered_sha256 !== metered_sha256) {
      await inTurn(async () => {
        for (const flags of TRIALS) state_keys = await tryCompile(copy, flags, limits);
      });
      await verdicts?.remember(sha256, { metered_sha256, state_keys });
    }
    return { compiled: await WebAssembly.compile(copy), state_keys };
  }

  return { compile };
}

/**
 * Makes one trial compilation in a child process; returns the module's declared state. Rejects with
 * `PolicyModuleError`.
 */
async function tryCompile(
  bytes: Uint8Array<ArrayBuffer>,
  flags: string,
  limits: CompileLimits,
): Promise<string> {
  const { cpu_ms, memory_bytes } = limits;
  const { code, stdout, stderr, late } = await runChild({
    program: CHILD,
    compiled_as: TRIAL_ARGUMENT,
    args: [String(memory_bytes), String(cpu_ms)],
    v8_flags: [
      "--no-wasm-lazy-compilation",
      // The trial takes one core at a time, also for the largest module: the others belong to the
      // messages.
      "--wasm-num-compilation-tasks=1",
      flags,
      `--max-old-space-size=${CHILD_HEAP_MIB}`,
    ],
    stdin: bytes,
  });
  if (late) throw new Error(`the trial compilation has not ended after ${TRIAL_MS} ms`);
  if (code !== 0) throw problem(code, stderr.slice(0, 1_024), limits);
  return new TextDecoder().decode(stdout);
}

function problem(code: number, said: string, limits: CompileLimits): PolicyModuleError {
  if (code === EXIT_REFUSED) return new PolicyModuleError("compile-refused", said);
  if (code === EXIT_STATE_KEYS) return new PolicyModuleError("state-keys", said);
  if (code === EXIT_CPU) {
    return new PolicyModuleError("compile-time", `compiling takes more than ${limits.cpu_ms} ms`);
  }
  if (code === EXIT_MEMORY) {
    const sentence = `compiling takes more than ${limits.memory_bytes} bytes`;
    return new PolicyModuleError("compile-memory", sentence);
  }
  return new PolicyModuleError(
    "compile-failed",
    `the trial compilation ended with ${code}: ${said}`,
  );
}

/** How a child process is to run. */
interface ChildOptions {
  /** The URL of the program, which may import files beside it and nothing from a registry. */
  readonly program: string;
  /** The first argument by which a compiled server knows that it is to be that program. */
  readonly compiled_as: string;
  readonly args: readonly string[];
  readonly v8_flags: readonly string[];
  readonly stdin: Uint8Array<ArrayBuffer>;
}

/** How the child ended. `late`: it was killed after `TRIAL_MS`. */
interface ChildResult {
  readonly code: number;
  readonly stdout: Uint8Array;
  readonly stderr: string;
  readonly late: boolean;
}

/**
 * The program and its arguments. A compiled server has no `deno` beside it, so it starts itself again and drops its
 * permissions at its start. V8 takes the flags that were compiled in and no others.
 */
export function childCommand(
  { program, compiled_as, args, v8_flags }: Omit<ChildOptions, "stdin">,
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
async function runChild(options: ChildOptions): Promise<ChildResult> {
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
  }, TRIAL_MS);
  try {
    feed(child, options.stdin);
    const { code, stdout, stderr } = await child.output();
    return { code, stdout, stderr: new TextDecoder().decode(stderr).trim(), late };
  } finally {
    clearTimeout(timer);
  }
}
