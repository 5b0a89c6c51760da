/**
 * The modules of workers, under numbers that are cheap to send. `module_set.ts` counts the holders of a module, and
 * loads and unloads it; `quarantine.ts` has the forbidden modules.
 */
import type { AbiVersion } from "../abi/host_functions.ts";
import type { CompiledPolicy } from "../modules/compile.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { Renewal } from "../../../wasm/metering/renewal.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
import { parseStateKeys, type StateSlot } from "../state/declaration.ts";

/** A metered and compiled module that is going to run. */
export interface LoadableModule extends CompiledPolicy {
  readonly instance_fuel: number;
  /** Restores the state after initialisation for each call; absent: state lives between calls. */
  readonly renewal?: Renewal | undefined;
}

interface ModulesOptions {
  readonly onLoad: (number: number, runnable: RunnableModule) => void;
  readonly onUnload: (number: number) => void;
}

/** A loaded module. */
export interface LoadedModule {
  /** The number of the module in workers. */
  readonly number: number;
  /** Whether it can read headers or claims. */
  readonly asks: boolean;
  readonly abi: AbiVersion;
  /** The keys of its state; empty if it has none. */
  readonly slots: readonly StateSlot[];
}

/** Host functions that return `PolicyFacts`. */
const ASKING: ReadonlySet<string> = new Set(["host_get_header", "host_get_claim"]);
const canAsk = (compiled: WebAssembly.Module): boolean =>
  WebAssembly.Module.imports(compiled).some(({ name }) => ASKING.has(name));
/** The modules, by sha256 and by number. */
export class Modules {
  readonly #options: ModulesOptions;
  readonly #loaded = new Map<string, LoadedModule>();
  /** The names of loaded modules by number, for workers' answers. */
  readonly #names = new Map<number, string>();
  readonly #runnable = new Map<number, RunnableModule>();
  #last_number = 0;
  /** The number of loaded modules with state. */
  stateful = 0;

  constructor(options: ModulesOptions) {
    this.#options = options;
  }

  /** Loads a module, unless it is loaded. */
  load(sha256: string, { compiled, state_keys, instance_fuel, renewal }: LoadableModule): void {
    if (this.#loaded.has(sha256)) return;
    const slots = parseStateKeys(state_keys);
    const number = ++this.#last_number;
    const instance_units = instance_fuel * UNITS_PER_FUEL;
    const value_bytes = slots.map((slot) => slot.value_bytes);
    const runnable = { compiled, instance_units, renewal, value_bytes };
    const abi = renewal === undefined ? 1 : 2;
    this.#loaded.set(sha256, { number, asks: canAsk(compiled), abi, slots });
    if (slots.length > 0) this.stateful++;
    this.#names.set(number, sha256);
    this.#runnable.set(number, runnable);
    this.#options.onLoad(number, runnable);
  }

  /** Unloads a module; returns true if it was loaded. */
  unload(sha256: string): boolean {
    const loaded = this.#loaded.get(sha256);
    if (loaded === undefined) return false;
    const { number, slots } = loaded;
    this.#loaded.delete(sha256);
    if (slots.length > 0) this.stateful--;
    this.#names.delete(number);
    this.#runnable.delete(number);
    this.#options.onUnload(number);
    return true;
  }

  /** The loaded module; undefined while it is not loaded. */
  find(sha256: string): LoadedModule | undefined {
    return this.#loaded.get(sha256);
  }

  /** Whether `find` still returns this module. */
  isLoaded({ number }: LoadedModule): boolean {
    return this.#names.has(number);
  }

  sha256(number: number): string | undefined {
    return this.#names.get(number);
  }

  /** The loaded modules by number; live. */
  get runnable(): ReadonlyMap<number, RunnableModule> {
    return this.#runnable;
  }

  /** Whether a module may keep memory between calls (version 1); undefined while it is not loaded. */
  isStateful(sha256: string): boolean | undefined {
    const loaded = this.find(sha256);
    return loaded && this.#runnable.get(loaded.number)?.renewal === undefined;
  }

  /** sha256 of the loaded modules. */
  loaded(): readonly string[] {
    return [...this.#loaded.keys()];
  }
}
