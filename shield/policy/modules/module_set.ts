/**
 * The modules that this process has loaded, counted by who holds them: a module is fetched and loaded
 * once, however many chains name it, and unloaded some time after the last chain let go of it. Loading
 * itself is the pool's business.
 */
import { ArqonError } from "@arqon/proto";
import { ModuleQueue } from "./module_queue.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

/** Loads modules: the pool, by way of the metering transform. */
export interface ModuleLoader {
  /**
   * Makes a module ready to run; `bytes` are as uploaded. Rejects with `PolicyModuleError` when the
   * module is no good, and with another Error when it may load later.
   */
  load(sha256: string, bytes: Uint8Array): Promise<void>;
  unload(sha256: string): void;
  /**
   * Whether a module's trial compilation has passed before, so that loading it takes little; absent:
   * all have passed. Never rejects.
   */
  isKnown?(sha256: string): Promise<boolean>;
}

/** What a set is made from. */
export interface ModuleSetOptions {
  readonly loader: ModuleLoader;
  /** Fetches the bytes as uploaded; undefined when they are not (yet) there. */
  readonly fetch: (sha256: string) => Promise<Uint8Array | undefined>;
  /**
   * How long a module stays loaded after the last chain let go of it, in ms. It must be longer than any
   * evaluation of an old chain may take.
   */
  readonly unload_delay_ms: number;
}

interface Entry {
  holders: number;
  /** The tenants that wait for the module. */
  readonly wanted_by: Set<string>;
  readonly loading: Promise<void>;
  loaded: boolean;
  unloading: ReturnType<typeof setTimeout> | undefined;
}

/** True when trying again cannot help: the module itself was refused. */
export function isFinal(error: unknown): boolean {
  return error instanceof PolicyModuleError;
}

/** The loaded modules of a process. */
export class ModuleSet {
  readonly #options: ModuleSetOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #queue: ModuleQueue;
  #closed = false;

  constructor(options: ModuleSetOptions) {
    const { loader } = options;
    this.#options = options;
    this.#queue = new ModuleQueue((sha256) => loader.isKnown?.(sha256) ?? Promise.resolve(true));
  }

  /** How many modules are loaded now. */
  get size(): number {
    let loaded = 0;
    for (const entry of this.#entries.values()) loaded += Number(entry.loaded);
    return loaded;
  }

  /** How many modules wait or are being loaded. */
  get pending(): number {
    let pending = 0;
    for (const entry of this.#entries.values()) pending += Number(!entry.loaded);
    return pending;
  }

  /** Resolves when only modules are left to load that must be tried first. */
  quickDone(): Promise<void> {
    return this.#queue.quickDone();
  }

  /** Loads what this tenant waits for before what others wait for. */
  urge(tenant_id: string): void {
    this.#queue.urge(tenant_id);
  }

  /**
   * Holds every module for a tenant, or none: then it rejects with the reason why the first of them
   * cannot be loaded. Each success needs one `release` of the same modules.
   */
  async hold(modules: ReadonlySet<string>, tenant_id: string): Promise<void> {
    const all = [...modules];
    const outcomes = await Promise.allSettled(all.map((sha256) => this.#hold(sha256, tenant_id)));
    this.#queue.calm(tenant_id);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed === undefined) return;
    this.release(new Set(all.filter((_, at) => outcomes[at]?.status === "fulfilled")));
    throw failed.reason;
  }

  /** Lets go of modules that were held. */
  release(modules: ReadonlySet<string>): void {
    for (const sha256 of modules) {
      const entry = this.#entries.get(sha256);
      if (entry === undefined || --entry.holders > 0) continue;
      entry.unloading = setTimeout(() => this.#unload(sha256), this.#options.unload_delay_ms);
    }
  }

  /**
   * Loads a module again that its loader has dropped on its own; does nothing when nobody holds it.
   */
  async reload(sha256: string): Promise<void> {
    if (this.#entries.get(sha256)?.loaded === true) await this.#load(sha256);
  }

  /** Unloads everything at once. */
  close(): void {
    this.#closed = true;
    for (const sha256 of [...this.#entries.keys()]) this.#unload(sha256);
  }

  async #hold(sha256: string, tenant_id: string): Promise<void> {
    const entry = this.#entries.get(sha256) ?? this.#add(sha256, tenant_id);
    entry.holders++;
    if (!entry.loaded) entry.wanted_by.add(tenant_id);
    clearTimeout(entry.unloading);
    entry.unloading = undefined;
    // When loading fails, the entry is gone already, and its count with it.
    await entry.loading;
  }

  #add(sha256: string, tenant_id: string): Entry {
    const wanted_by = new Set([tenant_id]);
    const entry: Entry = {
      holders: 0,
      wanted_by,
      loading: this.#queue.run(sha256, wanted_by, () => this.#load(sha256)),
      loaded: false,
      unloading: undefined,
    };
    this.#entries.set(sha256, entry);
    entry.loading.then(() => {
      entry.loaded = true;
      wanted_by.clear();
    }, () => {
      if (this.#entries.get(sha256) === entry) this.#entries.delete(sha256);
    });
    return entry;
  }

  async #load(sha256: string): Promise<void> {
    if (this.#closed) throw new ArqonError("draining");
    const bytes = await this.#options.fetch(sha256);
    if (bytes === undefined) {
      throw new ArqonError("policy-unknown", `module ${sha256} is not in the object store`);
    }
    await this.#options.loader.load(sha256, bytes);
    if (this.#closed) this.#options.loader.unload(sha256);
  }

  #unload(sha256: string): void {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) return;
    clearTimeout(entry.unloading);
    this.#entries.delete(sha256);
    if (entry.loaded) this.#options.loader.unload(sha256);
  }
}
