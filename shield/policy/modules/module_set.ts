/**
 * The loaded modules of this process, reference-counted: a module is fetched and loaded once, however many chains name
 * it, and unloaded some time after the last chain has released it. The pool loads them.
 */
import { ArqonError } from "@arqon/proto";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { createTurns, type TenantTurns, UNBOUNDED } from "../../../shared/turns/tenant_turns.ts";

/** Loads modules: the pool, after the metering transform. */
export interface ModuleLoader {
  /**
   * Makes a module ready to run; `bytes` are as uploaded. Rejects with `PolicyModuleError` if the module is invalid,
   * and with another Error if it may load later.
   */
  load(sha256: string, bytes: Uint8Array): Promise<void>;
  unload(sha256: string): void;
  /**
   * Whether a module's trial compilation has passed before, so that it loads quickly; absent: all have passed. Never
   * rejects.
   */
  isKnown?(sha256: string): Promise<boolean>;
}

interface ModuleSetOptions {
  readonly loader: ModuleLoader;
  /** Fetches the bytes as uploaded; undefined if they are not (yet) there. */
  readonly fetch: (sha256: string) => Promise<Uint8Array | undefined>;
  /**
   * How long a module stays loaded after the last chain has released it, in ms. It must be longer than any evaluation
   * of an old chain.
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

/** True if a retry cannot help: the module itself was refused. */
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

  get size(): number {
    let loaded = 0;
    for (const entry of this.#entries.values()) loaded += Number(entry.loaded);
    return loaded;
  }

  /** The number of modules that wait or are being loaded. */
  get pending(): number {
    let pending = 0;
    for (const entry of this.#entries.values()) pending += Number(!entry.loaded);
    return pending;
  }

  /** Resolves when all modules that remain to load need a trial. */
  quickDone(): Promise<void> {
    return this.#queue.quickDone();
  }

  /** Loads this tenant's modules before those of others. */
  urge(tenant_id: string): void {
    this.#queue.urge(tenant_id);
  }

  /**
   * Holds every module for a tenant, or none; then it rejects with the error of the first module that cannot be loaded.
   * Each success needs one `release` of the same modules.
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

  release(modules: ReadonlySet<string>): void {
    for (const sha256 of modules) {
      const entry = this.#entries.get(sha256);
      if (entry === undefined || --entry.holders > 0) continue;
      entry.unloading = setTimeout(() => this.#unload(sha256), this.#options.unload_delay_ms);
    }
  }

  /** Loads a module again that its loader has dropped; does nothing if no chain uses it. */
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
    // When loading fails, the entry is already removed, with its count.
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

// The order in which a process makes modules ready. Modules with a passed trial have their own slots; tenants take
// turns; tenants with waiting clients go first.

/** The modules with a passed trial that are made ready at a time: each is fetched and metered. */
export const QUICK_AT_ONCE = 4;
/** The modules that are tried at a time: one is tried while the next is fetched and metered. */
export const TRIED_AT_ONCE = 2;

interface Waiting {
  /** The tenants whose chains name the module. */
  readonly wanted_by: ReadonlySet<string>;
  readonly start: () => void;
}

interface Track {
  readonly at_once: number;
  running: number;
  readonly waiting: TenantTurns<Waiting>;
}

const track = (at_once: number): Track => ({
  at_once,
  running: 0,
  waiting: createTurns(UNBOUNDED),
});

/** The modules that wait to be made ready. */
export class ModuleQueue {
  readonly #isKnown: (sha256: string) => Promise<boolean>;
  readonly #quick = track(QUICK_AT_ONCE);
  readonly #tried = track(TRIED_AT_ONCE);
  readonly #urgent = new Set<string>();
  /** Callbacks that wait until no module with a passed trial is left. */
  readonly #idle = new Set<() => void>();

  /** Makes an empty queue. `isKnown` says whether a module's trial has passed before; it must not reject. */
  constructor(isKnown: (sha256: string) => Promise<boolean>) {
    this.#isKnown = isKnown;
  }

  /** Runs `job` when its turn has come; `wanted_by` is read until then, and may grow. */
  async run<T>(sha256: string, wanted_by: ReadonlySet<string>, job: () => Promise<T>): Promise<T> {
    const quick = await this.#inTurn(
      this.#quick,
      wanted_by,
      async () => await this.#isKnown(sha256) ? { value: await job() } : undefined,
    );
    return quick === undefined ? await this.#inTurn(this.#tried, wanted_by, job) : quick.value;
  }

  /** Resolves when all modules that are left need a trial. */
  quickDone(): Promise<void> {
    if (this.#quick.running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Gives this tenant's modules precedence from now on. */
  urge(tenant_id: string): void {
    this.#urgent.add(tenant_id);
  }

  /** Ends the precedence of `urge`: the tenant no longer waits. */
  calm(tenant_id: string): void {
    this.#urgent.delete(tenant_id);
  }

  async #inTurn<T>(
    track: Track,
    wanted_by: ReadonlySet<string>,
    job: () => Promise<T>,
  ): Promise<T> {
    if (track.running >= track.at_once) {
      const [tenant_id = ""] = wanted_by;
      await new Promise<void>((start) => track.waiting.push(tenant_id, { wanted_by, start }, 0));
    } else track.running++;
    try {
      return await job();
    } finally {
      this.#next(track);
    }
  }

  /** Passes a finished module's slot to the next. */
  #next(track: Track): void {
    const isUrgent = (_: string, { wanted_by }: Waiting) => !this.#urgent.isDisjointFrom(wanted_by);
    const urgent = this.#urgent.size === 0 ? undefined : track.waiting.take(isUrgent);
    const next = urgent ?? track.waiting.take();
    if (next !== undefined) return next.start();
    track.running--;
    if (track !== this.#quick || track.running > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }
}
