/**
 * Removes unused modules: not deployed, not available to a rollback, in no configuration of this Brain, named by no
 * log. One Brain does it for all; two at a time do no harm. A Brain that begins to need a module meanwhile is seen, or
 * sees that it is being removed (`reducer_record.ts`). If in doubt, everything stays.
 */
import type { Env } from "../../../shared/env.ts";
import { encodeDeployment } from "../../../shared/records/reducer_deployment.ts";
import {
  decodeRemoval,
  encodeRemoval,
  moduleName,
  REMOVAL_KEY,
} from "../../../shared/records/reducer_record.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { nameOfProgram } from "../log/program.ts";
import type { RemovalMetrics } from "../metrics.ts";
import {
  deployedModules,
  type NeedSources,
  type StoredDeployment,
  storedDeployments,
  type StoredPrograms,
  storedPrograms,
  unneeded,
  Unsure,
} from "./needed_modules.ts";

/** Modules that are removed together. */
const TOGETHER = 64;
/** Between the mark and the last check for needs, in ms: replicas have both by then. */
export const SETTLE_MS = 10_000;
/** A module may still be removed for so long after that check. */
const LOOK_MS = 60_000;
/** A mark of another Brain that is not executed for so long is stale. */
export const LEFT_MS = 600_000;
/** The shortest and longest interval of passes. */
const PASS_MIN_MS = 1_000;
const PASS_MAX_MS = 900_000;

/** The dependencies and settings of `ModuleRemoval`. */
export interface ModuleRemovalOptions extends NeedSources, Pick<Env, "log" | "monotonic_ms"> {
  readonly objects: Pick<ObjectStore, "get" | "list" | "delete">;
  readonly configured: () => Iterable<string>;
  /** Whether this Brain is the one that removes modules. */
  readonly owns: () => boolean;
  /** How long a module must be unused before it is removed, in ms. */
  readonly unused_ms: number;
  readonly metrics: RemovalMetrics;
}

interface Look {
  readonly stored: StoredPrograms;
  readonly deployments: readonly StoredDeployment[];
  readonly unused: ReadonlySet<string>;
}

interface Marked {
  readonly number: number;
  readonly modules: readonly string[];
  readonly revision: number;
  readonly at_ms: number;
}

/** Removes unused modules whenever `look` is called. */
export class ModuleRemoval {
  readonly #options: ModuleRemovalOptions;
  /** When each module was first seen unused. */
  readonly #since = new Map<string, number>();
  readonly #programs = new Map<string, string>();
  #marked: Marked | undefined;
  /** The mark of another Brain, and when this Brain first saw it. */
  #foreign: { readonly revision: number; readonly since_ms: number } | undefined;
  #next_ms: number;
  #running: Promise<void> | undefined;
  #is_ended = false;

  constructor(options: ModuleRemovalOptions) {
    this.#options = options;
    this.#next_ms = options.monotonic_ms() + this.#pause_ms;
  }

  get #pause_ms(): number {
    return Math.min(PASS_MAX_MS, Math.max(PASS_MIN_MS, this.#options.unused_ms / 4));
  }

  /** Runs a pass if one is due. Resolves when it is done; never rejects. */
  look(): Promise<void> {
    const { owns, monotonic_ms } = this.#options;
    if (this.#running !== undefined) return this.#running;
    if (this.#is_ended) return Promise.resolve();
    if (!owns()) {
      this.#forget();
      return Promise.resolve();
    }
    const now_ms = monotonic_ms();
    if (now_ms < this.#next_ms) return Promise.resolve();
    const work = this.#marked === undefined ? this.#mark() : this.#remove(this.#marked);
    return this.#running = work.catch((error) => this.#failed(error)).finally(() => {
      this.#running = undefined;
      const settle_ms = Math.min(SETTLE_MS, this.#options.unused_ms);
      this.#next_ms = monotonic_ms() + (this.#marked ? settle_ms : this.#pause_ms);
    });
  }

  /** Resolves when nothing is running; nothing is started afterwards. */
  async end(): Promise<void> {
    this.#is_ended = true;
    await this.#running;
  }

  #forget(): void {
    this.#since.clear();
    this.#marked = undefined;
    this.#foreign = undefined;
    this.#options.metrics.modules({ stored: 0, unused: 0 });
  }

  #failed(error: unknown): void {
    const { metrics, log } = this.#options;
    // Marked modules may be removed for a while; the next mark checks everything again.
    this.#marked = undefined;
    metrics.removals.inc({ outcome: "unsure" });
    const text = "old modules of reducers stay: who needs them cannot be said";
    if (error instanceof Unsure) log.warn(text, { detail: error.message });
    else log.warn(text, { error });
  }

  /** Reads everything stored. */
  async #see(among?: readonly string[]): Promise<Look> {
    const { objects, deployments: bucket, configured } = this.#options;
    const stored = await storedPrograms(objects, this.#programs);
    const deployments = await storedDeployments(bucket);
    const needed = deployedModules(deployments).union(new Set(configured()));
    const listed = deployments.flatMap(({ deployment: { modules } }) => modules);
    const all = new Set(among ?? [...stored.modules.keys(), ...listed]);
    return {
      stored,
      deployments,
      unused: await unneeded(all.difference(needed), stored, this.#options),
    };
  }

  /** Marks modules that have been unused for long enough. */
  async #mark(): Promise<void> {
    const { records, unused_ms, monotonic_ms, metrics } = this.#options;
    const { stored, unused } = await this.#see();
    const now_ms = monotonic_ms();
    for (const module of this.#since.keys()) if (!unused.has(module)) this.#since.delete(module);
    for (const module of unused) this.#since.set(module, this.#since.get(module) ?? now_ms);
    metrics.modules({ stored: stored.modules.size, unused: unused.size });
    const due = [...this.#since].filter(([, since_ms]) => now_ms - since_ms >= unused_ms);
    const before = await records.get(REMOVAL_KEY);
    const { number, modules: others } = decodeRemoval(before?.value);
    const revision = before?.revision ?? 0;
    if (others.length > 0 && !this.#isLeft(revision, now_ms)) return;
    // With nothing to remove, a stale mark is cleared, since its modules may be needed again and nobody else clears it.
    if (due.length === 0 && others.length === 0) return;
    const modules = due.slice(0, TOGETHER).map(([module]) => module);
    const next = { number: modules.length === 0 ? number : number + 1, modules };
    try {
      const written = await records.update(REMOVAL_KEY, encodeRemoval(next), revision);
      if (modules.length > 0) this.#marked = { ...next, revision: written, at_ms: now_ms };
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  /** Whether nobody works on the marked modules. */
  #isLeft(revision: number, now_ms: number): boolean {
    if (this.#foreign?.revision !== revision) this.#foreign = { revision, since_ms: now_ms };
    return now_ms - this.#foreign.since_ms >= LEFT_MS;
  }

  /** Removes the marked modules unless they are needed by now. */
  async #remove({ number, modules, revision, at_ms }: Marked): Promise<void> {
    const { records, objects, monotonic_ms, metrics, log } = this.#options;
    const until_ms = monotonic_ms() + LOOK_MS;
    // Another Brain may consider the mark stale by then.
    if (until_ms - at_ms >= LEFT_MS) throw new Unsure("this Brain was stalled");
    const { stored, deployments, unused } = await this.#see(modules);
    for (const module of unused.difference(await this.#unlist(unused, deployments))) {
      const programs = (stored.modules.get(module) ?? []).map(nameOfProgram);
      // The module last: whoever finds a program finds its module, too.
      for (const name of [...programs, moduleName(module)]) {
        if (monotonic_ms() > until_ms) throw new Unsure("this Brain was stalled");
        await objects.delete(name);
      }
      this.#since.delete(module);
      metrics.removals.inc({ outcome: "removed" });
      log.info("a module that no room needs was removed", { module });
    }
    await records.update(REMOVAL_KEY, encodeRemoval({ number, modules: [] }), revision);
    this.#marked = undefined;
  }

  /** Removes the modules from the lists of classes. Returns those that a class may have got again meanwhile. */
  async #unlist(
    gone: ReadonlySet<string>,
    deployments: readonly StoredDeployment[],
  ): Promise<Set<string>> {
    const again = new Set<string>();
    for (const { key, revision, deployment } of deployments) {
      const modules = deployment.modules.filter((one) => !gone.has(one));
      if (modules.length === deployment.modules.length) continue;
      const document = encodeDeployment({ ...deployment, modules });
      await this.#options.deployments.update(key, document, revision).catch((error) => {
        if (!isConflict(error)) throw error;
        for (const one of deployment.modules) if (gone.has(one)) again.add(one);
      });
    }
    return again;
  }
}
