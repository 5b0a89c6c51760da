/**
 * Deletes stored modules that neither a chain nor a version in its history names, after `policy.unused_module_seconds`:
 * until then an upload can still be deployed. Every Shield sweeps. `module_set.ts` and `compile.ts` have modules in
 * memory.
 */
import { ClockSteps } from "../../../shared/clock_steps.ts";
import type { Env } from "../../../shared/env.ts";
import { scraped } from "../../../shared/metrics/metrics.ts";
import type { StoredObject } from "../../../shared/spine/contract/spine.ts";
import type { PolicyStore } from "../chain/store.ts";

/** The longest pause between two passes, in ms; shorter when modules are kept for less. */
const LONGEST_PAUSE_MS = 3_600_000;
const SHORTEST_PAUSE_MS = 500;

/** How long an upload stays in a full store for its deployment, in ms. */
const DEPLOYED_MS = 60_000;

/** What the sweep needs of the process. */
interface ModuleSweepOptions extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly store: PolicyStore;
  /** A random number in [0, 1). */
  readonly random: () => number;
  /** How long a module without references is kept, in ms. */
  readonly kept_ms: number;
}

/** The stored modules with and without references, in a pass. */
const nothingHeld = () => ({
  modules: { named: 0, unnamed: 0 },
  bytes: { named: 0, unnamed: 0 },
});

interface SweepPass {
  /** The hashes of the deleted modules. */
  readonly swept: readonly string[];
}

/** The sweep of one process. */
export class ModuleSweep {
  readonly #options: ModuleSweepOptions;
  /** Nothing is deleted by a clock that was set lately. */
  readonly #steps: ClockSteps;
  #swept = 0;
  #held = nothingHeld();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #making: Promise<SweepPass> | undefined;

  constructor(options: ModuleSweepOptions) {
    this.#options = options;
    this.#steps = new ClockSteps(options);
    scraped(options.registry, {
      "shield_policy_modules_swept_total": [
        "Stored policy modules without references that this process has deleted.",
        () => this.#swept,
      ],
      "shield_policy_stored_modules": [
        "Policy modules in the object store, with and without references, at the last count.",
        "state",
        () => this.#held.modules,
      ],
      "shield_policy_stored_module_bytes": [
        "Bytes of the policy modules in the object store, at the last count.",
        "state",
        () => this.#held.bytes,
      ],
    });
  }

  /** Runs a pass from time to time until it is closed. A failed pass is retried at the next one. */
  start(): void {
    const { random, kept_ms, log } = this.#options;
    const pause_ms = Math.max(SHORTEST_PAUSE_MS, Math.min(LONGEST_PAUSE_MS, kept_ms / 2));
    // The pause is partly random, so that Shields that start together do not sweep at the same time.
    const delay_ms = pause_ms * (0.5 + random() / 2);
    this.#timer = setTimeout(() => {
      this.pass().catch((error: unknown) => {
        if (!this.#closed) log.warn("stored policy modules cannot be swept now", { error });
      }).finally(() => this.#closed || this.start());
    }, delay_ms);
    Deno.unrefTimer(this.#timer);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** The store is full: deletes what nobody has deployed in a minute. Rejects as `pass` does. */
  async makeRoom(): Promise<void> {
    this.#making ??= this.pass(DEPLOYED_MS).finally(() => this.#making = undefined);
    await this.#making;
  }

  /**
   * Checks all stored modules once; those without references stay for `kept_ms`. Rejects, and deletes nothing more, if
   * the Spine or a document cannot be read.
   */
  async pass(kept_ms = this.#options.kept_ms): Promise<SweepPass> {
    const { store, now } = this.#options;
    const modules = await store.modules();
    // The references are read after the listing of modules, so that a module uploaded and deployed since is not in the
    // listing.
    const named = await store.named();
    const held = nothingHeld();
    const is_believed = this.#steps.isBelieved(kept_ms);
    const swept: string[] = [];
    for (const module of modules) {
      const { name, size_bytes, modified_ms } = module;
      const is_old = is_believed && now() - modified_ms >= kept_ms;
      if (!this.#closed && is_old && !named.has(name) && await this.#delete(module)) {
        swept.push(name);
        continue;
      }
      const state = named.has(name) ? "named" : "unnamed";
      held.modules[state]++;
      held.bytes[state] += size_bytes;
    }
    this.#held = held;
    return { swept };
  }

  /** Deletes a module; returns true if it is gone. If a deployment at the same time names it, it is stored again. */
  async #delete({ name: sha256, size_bytes }: StoredObject): Promise<boolean> {
    const { store, log } = this.#options;
    const bytes = await store.module(sha256).catch((error) => {
      // A damaged module cannot be stored again; one that cannot be read now may be whole.
      if (error.reason !== "internal") throw error;
    });
    await store.deleteModule(sha256);
    // A deployment first writes its document and then checks the module; the sweep first deletes the module and then
    // checks the documents. So one of the two sees the change of the other.
    if (bytes !== undefined && (await store.named()).has(sha256)) {
      await store.keepModule(sha256, bytes);
      return false;
    }
    this.#swept++;
    log.info("a stored policy module without references was deleted", { sha256, size_bytes });
    return true;
  }
}
