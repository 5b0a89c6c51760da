/**
 * The life of each module in this process: loading, loaded under a number that is cheap to send, or in
 * quarantine and not loaded. This is the only place that knows it: `module_set.ts` counts who holds a
 * module, `compile.ts` keeps what was compiled for whoever asks next, and `quarantine.ts` is the bus's
 * record of what no Shield may load.
 */
import type { AbiVersion } from "../abi/host_functions.ts";
import type { Compiler } from "../modules/compile.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { Renewal } from "../../../wasm/metering/renewal.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";
import { parseStateKeys, type StateSlot } from "../state/declaration.ts";

/** A metered module that is to run. */
export interface LoadableModule {
  readonly bytes: Uint8Array;
  /** The fuel that making an instance costs. */
  readonly instance_fuel: number;
  /** How each call begins with the state after initialisation; absent: state lives between calls. */
  readonly renewal?: Renewal | undefined;
}

/** What the modules need of the pool. */
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
  /** The number by which workers know it. */
  readonly number: number;
  /** Whether it can ask for headers or claims. */
  readonly asks: boolean;
  /** The version of the ABI that it is for. */
  readonly abi: AbiVersion;
  /** The keys under which it keeps state; empty when it keeps none. */
  readonly slots: readonly StateSlot[];
}

/** Host functions whose answers are `PolicyFacts`. */
const ASKING: ReadonlySet<string> = new Set(["host_get_header", "host_get_claim"]);
const canAsk = (compiled: WebAssembly.Module): boolean =>
  WebAssembly.Module.imports(compiled).some(({ name }) => ASKING.has(name));
/** The words for a module in quarantine. */
export const QUARANTINED =
  "the module has kept a worker busy without end, or killed it, and is in quarantine on every node " +
  "until an operator releases it (arq policy release)";

/** The life of a module in this process; absent when nobody wants it. */
type Life =
  | { readonly state: "loading"; readonly done: Promise<void> }
  | LoadedModule
  | { readonly state: "quarantined" };

/** The modules, by sha256 and by number. */
export class Modules {
  readonly #options: ModulesOptions;
  readonly #lives = new Map<string, Life>();
  /** The names of loaded modules by number, for the answers of workers. */
  readonly #names = new Map<number, string>();
  readonly #runnable = new Map<number, RunnableModule>();
  #last_number = 0;
  /** How many loaded modules keep state. */
  stateful = 0;

  constructor(options: ModulesOptions) {
    this.#options = options;
  }

  /**
   * Loads a module. Rejects with `PolicyModuleError` when it cannot be compiled within the limits, or
   * is in quarantine.
   */
  async load(sha256: string, module: LoadableModule): Promise<void> {
    const life = this.#lives.get(sha256);
    switch (life?.state) {
      case undefined:
        return await this.#begin(sha256, module);
      case "loading":
        return await life.done;
      case "loaded":
        return;
      case "quarantined":
        throw new PolicyModuleError("quarantined", QUARANTINED);
      default:
        life satisfies never;
    }
  }

  /** Unloads a module; true when it was loaded. */
  unload(sha256: string): boolean {
    return !this.isQuarantined(sha256) && this.#end(sha256);
  }

  /** Unloads a module, which is not loaded again before `release`. True when it was loaded. */
  quarantine(sha256: string): boolean {
    const was_loaded = this.#end(sha256);
    this.#lives.set(sha256, { state: "quarantined" });
    return was_loaded;
  }

  /** Lets a module be loaded again. */
  release(sha256: string): void {
    if (this.isQuarantined(sha256)) this.#lives.delete(sha256);
  }

  /** The loaded module; undefined while it is not loaded. */
  find(sha256: string): LoadedModule | undefined {
    const life = this.#lives.get(sha256);
    return life?.state === "loaded" ? life : undefined;
  }

  /** Whether that is still what `find` gives. */
  isLoaded({ number }: LoadedModule): boolean {
    return this.#names.has(number);
  }

  isQuarantined(sha256: string): boolean {
    return this.#lives.get(sha256)?.state === "quarantined";
  }

  /** The sha256 of a loaded module. */
  sha256(number: number): string | undefined {
    return this.#names.get(number);
  }

  /** The loaded modules by number; live. */
  get runnable(): ReadonlyMap<number, RunnableModule> {
    return this.#runnable;
  }

  /** Whether a module may keep memory from call to call (version 1); undefined while it is not loaded. */
  isStateful(sha256: string): boolean | undefined {
    const loaded = this.find(sha256);
    return loaded && this.#runnable.get(loaded.number)?.renewal === undefined;
  }

  /** sha256 of the modules that are loaded. */
  loaded(): readonly string[] {
    return this.#inState("loaded");
  }

  /** sha256 of the modules in quarantine. */
  quarantined(): readonly string[] {
    return this.#inState("quarantined");
  }

  #inState(state: Life["state"]): string[] {
    return [...this.#lives].filter(([, life]) => life.state === state).map(([sha256]) => sha256);
  }

  async #begin(sha256: string, module: LoadableModule): Promise<void> {
    const done = this.#make(sha256, module, () => this.#lives.get(sha256) === life);
    const life: Life = { state: "loading", done };
    this.#lives.set(sha256, life);
    try {
      await done;
    } finally {
      if (this.#lives.get(sha256) === life) this.#lives.delete(sha256);
    }
  }

  async #make(
    sha256: string,
    { bytes, instance_fuel, renewal }: LoadableModule,
    isWanted: () => boolean,
  ): Promise<void> {
    const { now, compiler, onCompiled, onLoad } = this.#options;
    const began_ms = now();
    const { compiled, state_keys } = await compiler.compile(sha256, bytes);
    const slots = parseStateKeys(state_keys);
    onCompiled(now() - began_ms);
    // The module was unloaded or put into quarantine while it was compiled.
    if (!isWanted()) return;
    const number = ++this.#last_number;
    const instance_units = instance_fuel * UNITS_PER_FUEL;
    const value_bytes = slots.map((slot) => slot.value_bytes);
    const runnable = { compiled, instance_units, renewal, value_bytes };
    const abi = renewal === undefined ? 1 : 2;
    this.#lives.set(sha256, { state: "loaded", number, asks: canAsk(compiled), abi, slots });
    if (slots.length > 0) this.stateful++;
    this.#names.set(number, sha256);
    this.#runnable.set(number, runnable);
    onLoad(number, runnable);
  }

  #end(sha256: string): boolean {
    const loaded = this.find(sha256);
    this.#lives.delete(sha256);
    if (loaded === undefined) return false;
    const { number, slots } = loaded;
    if (slots.length > 0) this.stateful--;
    this.#names.delete(number);
    this.#runnable.delete(number);
    this.#options.onUnload(number);
    return true;
  }
}
