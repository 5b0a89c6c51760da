/**
 * Compiles metered modules for the process. A module that is new to the process is first compiled completely, by both
 * compilers of the engine, in child processes with limits on time and memory: a module that compiles for minutes must
 * not stop this process. A module that passed is then compiled lazily, as usual, and the verdict is stored
 * (`verdict_store.ts`), so that the same bytes are not tried again at the next start.
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
import type { VerdictStore } from "./verdict_store.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { denoCommand, startChild } from "../../../shared/process/deno_command.ts";

interface CompileLimits {
  /** CPU time, so the load of the machine does not count. */
  readonly cpu_ms: number;
  readonly memory_bytes: number;
}

/** The default limits: at most 10 s, and far less memory than a compile bomb takes. */
export const COMPILE_LIMITS: CompileLimits = { cpu_ms: 10_000, memory_bytes: 536_870_912 };
/** A trial that takes longer hangs, or gets no core; the module may be tried again. */
const TRIAL_MS = 60_000;

/** A module that has passed its trial. */
export interface CompiledPolicy {
  readonly compiled: WebAssembly.Module;
  /** The state that the module declared in the trial, as text; "" for none. */
  readonly state_keys: string;
}

/** Flags of the two compilers: the baseline one, and the optimising one for every function. */
const TIERS = ["--liftoff-only", "--no-liftoff"];
/**
 * A compiled server only tries the baseline compiler, since V8's flags are compiled in. The transform alone limits the
 * optimising compiler: a function at the limit takes 25 ms and 4 MiB (measured).
 */
const TRIALS = Deno.build.standalone ? TIERS.slice(0, 1) : TIERS;
const CHILD = new URL("../../../wasm/instance/compile_child.ts", import.meta.url).href;
/**
 * A name for everything except the bytes on which a verdict depends: the transform, the tried compilers with their
 * limits, and the engine on its machine.
 */
export function engineOf(limits: CompileLimits = COMPILE_LIMITS): string {
  const { v8, deno } = Deno.version;
  const { cpu_ms, memory_bytes } = limits;
  const of_limits = `${cpu_ms} ms ${memory_bytes} bytes`;
  return `transform ${METER_VERSION}; ${TRIALS.join(" ")}; ${of_limits}; v8 ${v8}; deno ${deno}; ` +
    Deno.build.target;
}

/** The heap of the child, in MiB; it is small, since the child only compiles. */
const CHILD_HEAP_MIB = 128;

/** Options of a compiler. */
export interface CompilerOptions {
  readonly limits?: CompileLimits;
  /** The stored trials that have passed; absent: every module is tried. */
  readonly verdicts?: Pick<VerdictStore, "passed" | "remember"> | undefined;
}

/** Compiles modules of a process, with one trial at a time: uploads must not use all cores. */
export class Compiler {
  readonly #limits: CompileLimits;
  readonly #verdicts: CompilerOptions["verdicts"];
  #last: Promise<unknown> = Promise.resolve();

  constructor({ limits = COMPILE_LIMITS, verdicts }: CompilerOptions = {}) {
    this.#limits = limits;
    this.#verdicts = verdicts;
  }

  /**
   * Compiles a module; `sha256` names the upload that `bytes` were made from. Rejects with `PolicyModuleError`:
   * `compile-refused`, `compile-time`, `compile-memory`, `state-keys` if its declaration of state fails, or
   * `compile-failed` if the engine crashed; with another Error if the trial cannot run at all.
   */
  async compile(sha256: string, bytes: Uint8Array): Promise<CompiledPolicy> {
    const copy = new Uint8Array(bytes);
    // The lookup uses the bytes that are about to be compiled: a verdict about other bytes does not count.
    const metered_sha256 = await sha256Hex(copy);
    const passed = await this.#verdicts?.passed(sha256);
    let state_keys = passed?.state_keys ?? "";
    if (passed?.metered_sha256 !== metered_sha256) {
      const turn = this.#last.then(async () => {
        for (const flags of TRIALS) state_keys = await tryCompile(copy, flags, this.#limits);
      });
      // The caller of that turn gets the error.
      this.#last = turn.catch(() => {});
      await turn;
      await this.#verdicts?.remember(sha256, { metered_sha256, state_keys });
    }
    return { compiled: await WebAssembly.compile(copy), state_keys };
  }
}

/**
 * Runs one trial compilation in a child process; returns the module's declared state. Rejects with `PolicyModuleError`,
 * or with another Error when the child cannot be started.
 */
async function tryCompile(
  bytes: Uint8Array<ArrayBuffer>,
  flags: string,
  limits: CompileLimits,
): Promise<string> {
  const { command, args } = childCommand({
    program: CHILD,
    compiled_as: TRIAL_ARGUMENT,
    args: [String(limits.memory_bytes), String(limits.cpu_ms)],
    v8_flags: [
      "--no-wasm-lazy-compilation",
      // The trial uses one core, also for the largest module: the others are for messages.
      "--wasm-num-compilation-tasks=1",
      flags,
      `--max-old-space-size=${CHILD_HEAP_MIB}`,
    ],
  });
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = startChild(command, { args, ...piped });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, TRIAL_MS);
  try {
    feed(child, bytes);
    const { code, stdout, stderr } = await child.output();
    if (late) throw new Error(`the trial compilation has not ended after ${TRIAL_MS} ms`);
    const decoder = new TextDecoder();
    if (code !== 0) throw problem(code, decoder.decode(stderr).trim().slice(0, 1_024), limits);
    return decoder.decode(stdout);
  } finally {
    clearTimeout(timer);
  }
}

function problem(code: number, text: string, limits: CompileLimits): PolicyModuleError {
  if (code === EXIT_REFUSED) return new PolicyModuleError("compile-refused", text);
  if (code === EXIT_STATE_KEYS) return new PolicyModuleError("state-keys", text);
  if (code === EXIT_CPU) {
    return new PolicyModuleError("compile-time", `compiling takes more than ${limits.cpu_ms} ms`);
  }
  if (code === EXIT_MEMORY) {
    const sentence = `compiling takes more than ${limits.memory_bytes} bytes`;
    return new PolicyModuleError("compile-memory", sentence);
  }
  return new PolicyModuleError(
    "compile-failed",
    `the trial compilation ended with ${code}: ${text}`,
  );
}

interface ChildOptions {
  /** The URL of the program, which may import files beside it and nothing from a registry. */
  readonly program: string;
  /** The first argument that makes a compiled server run that program. */
  readonly compiled_as: string;
  readonly args: readonly string[];
  readonly v8_flags: readonly string[];
}

/**
 * The program and its arguments. A compiled server has no `deno` command, so it starts itself again and drops its
 * permissions at the start. V8 only takes the flags that were compiled in.
 */
export function childCommand(
  { program, compiled_as, args, v8_flags }: ChildOptions,
  standalone: boolean = Deno.build.standalone,
): { command: string; args: string[] } {
  if (standalone) return { command: Deno.execPath(), args: [compiled_as, ...args] };
  // Deno caches one compiled form of each module. With other flags of V8 the child would overwrite that of the server's
  // modules, and the server's next start would write it back.
  const off = ["prompt", "config", "lock", "remote", "npm", "code-cache"];
  const flags = off.map((what) => `--no-${what}`);
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
    // The child ended before it read everything; its exit code has the reason.
  }
}
