/**
 * The life of each module in this process: loading, loaded under a number that is cheap to send, or in
 * quarantine and not loaded. This is the only place that knows it: `module_set.ts` counts who holds a
 * module, `compile.ts` keeps what was compiled for whoever asks next, and `quarantine.ts` is the bus's
 * record of what no Shield may load.
 */
import type { Compiler } from "../modules/compile.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";

/** A metered module that is to run. */
export interface LoadableModule {
  readonly bytes: Uint8Array;
  /** Fuel that making an instance costs. */
  readonly instance_fuel: number;
}

/** What the modules need. */
export interface ModulesOptions {
  readonly compiler: Compiler;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly onLoad: (number: number, runnable: RunnableModule) => void;
  readonly onUnload: (number: number) => void;
  readonly onCompiled: (duration_ms: number) => void;
}

/** A loaded module. */
export interface LoadedModule {
  readonly state: "loaded";
  /** What workers know it by. */
  readonly number: number;
  /** It can ask for headers or claims. */
  readonly asks: boolean;
}

/** Modules by sha256 and by number. */
export interface Modules {
  load(sha256: string, module: LoadableModule): Promise<void>;
  /** True when it was loaded. */
  unload(sha256: string): boolean;
  /** Unloads it, and does not load it again before `release`. True when it was loaded. */
  quarantine(sha256: string): boolean;
  /** Lets a module be loaded again. */
  release(sha256: string): void;
  /** Undefined while it is not loaded. */
  find(sha256: string): LoadedModule | undefined;
  isQuarantined(sha256: string): boolean;
  sha256(number: number): string | undefined;
  /** Loaded ones by number; live. */
  readonly runnable: ReadonlyMap<number, RunnableModule>;
  loaded(): readonly string[];
  quarantined(): readonly string[];
}

/** Host functions whose answers are `PolicyFacts`. */
const ASKING: ReadonlySet<string> = new Set(["host_get_header", "host_get_claim"]);
const canAsk = (compiled: WebAssembly.Module): boolean =>
  WebAssembly.Module.imports(compiled).some(({ name }) => ASKING.has(name));
/** What is said of a module in quarantine. */
export const QUARANTINED =
  "the module has kept a worker busy without end, or killed it, and is in quarantine on every node " +
  "until an operator releases it (arq policy release)";

/** Where a module is in its life here; absent: nobody wants it. */
type Life =
  | { readonly state: "loading"; readonly done: Promise<void> }
  | LoadedModule
  | { readonly state: "quarantined" };

/** No modules yet. */
export function createModules(options: ModulesOptions): Modules {
  const lives = new Map<string, Life>();
  /** The loaded ones by number, for workers and for what they answer. */
  const names = new Map<number, string>();
  const runnable = new Map<number, RunnableModule>();
  let last_number = 0;

  const inState = (state: Life["state"]): string[] =>
    [...lives].filter(([, life]) => life.state === state).map(([sha256]) => sha256);

  function find(sha256: string): LoadedModule | undefined {
    const life = lives.get(sha256);
    return life?.state === "loaded" ? life : undefined;
  }

  async function make(
    sha256: string,
    { bytes, instance_fuel }: LoadableModule,
    isWanted: () => boolean,
  ): Promise<void> {
    const began_ms = options.now();
    const compiled = await options.compiler.compile(sha256, bytes);
    options.onCompiled(options.now() - began_ms);
    // Unloaded or quarantined while it was compiled.
    if (!isWanted()) return;
    const number = ++last_number;
    lives.set(sha256, { state: "loaded", number, asks: canAsk(compiled) });
    names.set(number, sha256);
    runnable.set(number, { compiled, instance_units: instance_fuel * UNITS_PER_FUEL });
    options.onLoad(number, runnable.get(number)!);
  }

  async function begin(sha256: string, module: LoadableModule): Promise<void> {
    const done = make(sha256, module, () => lives.get(sha256) === life);
    const life: Life = { state: "loading", done };
    lives.set(sha256, life);
    try {
      await done;
    } finally {
      if (lives.get(sha256) === life) lives.delete(sha256);
    }
  }

  /** True when it was loaded. */
  function end(sha256: string): boolean {
    const loaded = find(sha256);
    lives.delete(sha256);
    if (loaded === undefined) return false;
    names.delete(loaded.number);
    runnable.delete(loaded.number);
    options.onUnload(loaded.number);
    return true;
  }

  return {
    async load(sha256, module) {
      const life = lives.get(sha256);
      switch (life?.state) {
        case undefined:
          return await begin(sha256, module);
        case "loading":
          return await life.done;
        case "loaded":
          return;
        case "quarantined":
          throw new PolicyModuleError("quarantined", QUARANTINED);
        default:
          life satisfies never;
      }
    },
    unload: (sha256) => lives.get(sha256)?.state !== "quarantined" && end(sha256),
    quarantine(sha256) {
      const was_loaded = end(sha256);
      lives.set(sha256, { state: "quarantined" });
      return was_loaded;
    },
    release(sha256) {
      if (lives.get(sha256)?.state === "quarantined") lives.delete(sha256);
    },
    find,
    isQuarantined: (sha256) => lives.get(sha256)?.state === "quarantined",
    sha256: (number) => names.get(number),
    runnable,
    loaded: () => inState("loaded"),
    quarantined: () => inState("quarantined"),
  };
}
