/**
 * The modules of a pool: compiled once in the process, under a number that is cheap to send. A module
 * in quarantine is not loaded; how long it stays there is `quarantine.ts`'s business.
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

/** Modules by sha256 and by number. */
export interface Modules {
  load(sha256: string, module: LoadableModule): Promise<void>;
  /** True when it was loaded. */
  unload(sha256: string): boolean;
  /** Unloads it, and does not load it again before `release`. True when it was loaded. */
  quarantine(sha256: string): boolean;
  /** Lets a module be loaded again. */
  release(sha256: string): void;
  number(sha256: string): number | undefined;
  isQuarantined(sha256: string): boolean;
  sha256(number: number): string | undefined;
  /** Whether a loaded one can ask for headers or claims. */
  asks(number: number): boolean;
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

/** No modules yet. */
export function createModules(options: ModulesOptions): Modules {
  const numbers = new Map<string, number>();
  const names = new Map<number, string>();
  const runnable = new Map<number, RunnableModule>();
  const asking = new Set<number>();
  const loading = new Map<string, Promise<void>>();
  const quarantined = new Set<string>();
  let last_number = 0;

  function refuseQuarantined(sha256: string): void {
    if (quarantined.has(sha256)) throw new PolicyModuleError("quarantined", QUARANTINED);
  }

  async function make(sha256: string, { bytes, instance_fuel }: LoadableModule): Promise<void> {
    const began_ms = options.now();
    const compiled = await options.compiler.compile(sha256, bytes);
    options.onCompiled(options.now() - began_ms);
    // Unloaded or quarantined while it was compiled.
    if (!loading.has(sha256) || quarantined.has(sha256)) return;
    const number = ++last_number;
    numbers.set(sha256, number);
    names.set(number, sha256);
    runnable.set(number, { compiled, instance_units: instance_fuel * UNITS_PER_FUEL });
    if (canAsk(compiled)) asking.add(number);
    options.onLoad(number, runnable.get(number)!);
  }

  function unload(sha256: string): boolean {
    loading.delete(sha256);
    const number = numbers.get(sha256);
    if (number === undefined) return false;
    numbers.delete(sha256);
    names.delete(number);
    runnable.delete(number);
    asking.delete(number);
    options.onUnload(number);
    return true;
  }

  return {
    async load(sha256, module) {
      refuseQuarantined(sha256);
      if (numbers.has(sha256)) return;
      if (loading.has(sha256)) return await loading.get(sha256);
      const promise = make(sha256, module);
      loading.set(sha256, promise);
      try {
        await promise;
      } finally {
        if (loading.get(sha256) === promise) loading.delete(sha256);
      }
    },
    unload,
    quarantine(sha256) {
      quarantined.add(sha256);
      return unload(sha256);
    },
    release: (sha256) => void quarantined.delete(sha256),
    number: (sha256) => numbers.get(sha256),
    isQuarantined: (sha256) => quarantined.has(sha256),
    sha256: (number) => names.get(number),
    asks: (number) => asking.has(number),
    runnable,
    loaded: () => [...numbers.keys()],
    quarantined: () => [...quarantined],
  };
}
