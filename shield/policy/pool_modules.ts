/**
 * The modules of a pool: compiled once in the process, under a number that is cheap to send. A module
 * that has wedged a worker is quarantined, which lasts as long as the process.
 */
import type { Compiler } from "./compile.ts";
import { UNITS_PER_FUEL } from "./meter_costs.ts";
import { PolicyModuleError } from "./wasm/errors.ts";
import type { RunnableModule } from "./worker_protocol.ts";

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
  /** Unloads it for good. Returns its sha256. */
  quarantine(number: number): string | undefined;
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
const QUARANTINED =
  "the module has kept a worker busy without end and stays refused until the process restarts";

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
    refuseQuarantined(sha256);
    // Unloaded while it was compiled.
    if (!loading.has(sha256)) return;
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
    quarantine(number) {
      const sha256 = names.get(number);
      if (sha256 === undefined) return undefined;
      quarantined.add(sha256);
      unload(sha256);
      return sha256;
    },
    number: (sha256) => numbers.get(sha256),
    isQuarantined: (sha256) => quarantined.has(sha256),
    sha256: (number) => names.get(number),
    asks: (number) => asking.has(number),
    runnable,
    loaded: () => [...numbers.keys()],
    quarantined: () => [...quarantined],
  };
}
