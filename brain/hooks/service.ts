/**
 * The hooks of a Brain: one Brain has each hook, by the same choice as for rooms, and another takes over when it
 * is gone. Where a hook begins is stored before its first call, so that none is left out. What one hook does is
 * `hook_runner.ts`.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { HookEntry } from "../../shared/config/automation/hooks.ts";
import {
  hookBytes,
  hookKey,
  HOOKS_BUCKET,
  NEW_HOOK,
  readHookDocument,
} from "../../shared/hooks/hook_document.ts";
import type { HookDocument, HookPosition } from "../../shared/hooks/hook_document.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { KeyValue, KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import type { ClusterView } from "../cluster_view.ts";
import { JournaledRooms } from "../membership/journaled_rooms.ts";
import { HookRunner } from "./hook_runner.ts";
import { createHookMetrics } from "./metrics.ts";
import type { HookMetrics } from "./metrics.ts";

/** What hooks need of their Brain. */
export interface HookServiceOptions {
  readonly config: Pick<Config, "hooks" | "webhooks" | "rooms">;
  readonly spine: Spine;
  readonly view: ClusterView;
  readonly registry: Registry;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Reads a file as text; absent: no hook can have a secret in a file. */
  readonly readTextFile?: (path: string) => string;
}

/** The hooks of a running Brain. */
export interface HookService {
  /** Calls nothing more. Idempotent. */
  drain(): Promise<void>;
}

/** A room of that name has its Brain where the hook has: no room is called so. */
const ownerKey = (hook_id: string) => `hook.${hook_id}`;

class Hooks implements HookService {
  readonly #options: HookServiceOptions;
  readonly #bucket: KeyValue;
  readonly #rooms: JournaledRooms;
  readonly #metrics: HookMetrics;
  readonly #runners = new Map<HookEntry, HookRunner>();
  readonly #documents = new Map<string, HookDocument>();
  readonly #replaying = new Set<HookEntry>();
  readonly #watch: KvWatch;
  readonly #stops: (() => void)[];
  #is_closed = false;

  constructor(options: HookServiceOptions, bucket: KeyValue, rooms: JournaledRooms) {
    this.#options = options;
    this.#bucket = bucket;
    this.#rooms = rooms;
    this.#metrics = createHookMetrics(options.registry, () => this.#failing());
    this.#watch = bucket.watch([], (change) => this.#hear(change), { depth: 2 });
    this.#stops = [options.view.onOwnership(() => this.#share())];
    void this.#watch.ready.then(() => this.#share(), () => {});
  }

  async drain(): Promise<void> {
    this.#is_closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    this.#watch.stop();
    await Promise.all([...this.#runners.values()].map((runner) => runner.close()));
    this.#rooms.close();
  }

  *#failing(): Generator<readonly [string, number]> {
    for (const [{ id }, { failing }] of this.#runners) yield [id, failing];
  }

  #hear(change: KvChange): void {
    const { key } = change.type === "put" ? change.entry : change;
    const document = change.type === "put" ? readHookDocument(change.entry.value) : undefined;
    if (document === undefined) this.#documents.delete(key.join("/"));
    else this.#documents.set(key.join("/"), document);
    this.#share();
  }

  #documentOf({ tenant, id }: HookEntry): HookDocument {
    return this.#documents.get(`${tenant}/${id}`) ?? NEW_HOOK;
  }

  #isOurs(hook: HookEntry): boolean {
    const { view } = this.#options;
    const { tenant, id } = hook;
    return !this.#is_closed && view.serving && !this.#documentOf(hook).paused &&
      view.ownerOf(tenant, ownerKey(id)) === view.brain_id;
  }

  /** Begins with hooks that are this Brain's, and lets those go that are not. */
  #share(): void {
    for (const hook of this.#options.config.hooks) {
      const runner = this.#runners.get(hook);
      if (this.#isOurs(hook)) {
        if (runner === undefined) this.#runners.set(hook, this.#run(hook));
        void this.#replay(hook);
      } else if (runner !== undefined) {
        this.#runners.delete(hook);
        void runner.close();
      }
    }
  }

  #run(hook: HookEntry): HookRunner {
    const { webhooks } = this.#options.config;
    const { spine, log, now, random, readTextFile } = this.#options;
    const { secret, secret_file } = hook;
    const openLog = () => this.#rooms.openLog(hook.tenant);
    return new HookRunner({
      ...{ hook, webhooks, spine, openLog, log, now, random },
      bucket: this.#bucket,
      since: () => this.#sinceOf(hook, openLog),
      secret: () => secret ?? (readTextFile?.(secret_file ?? "") ?? "").trim(),
      metrics: this.#metrics,
    });
  }

  /** Where the hook begins: at the end of what there is when a Brain first has it. */
  #sinceOf(
    { tenant, id }: HookEntry,
    openLog: () => Promise<DurableLog>,
  ): Promise<HookPosition> {
    return changeDocument(async (mayLose) => {
      const { document, revision } = await this.#stored(tenant, id);
      if (document.since !== undefined) return document.since;
      const { stream, log_offset } = await (await openLog()).head("~");
      const since = { stream, offset: log_offset };
      const bytes = hookBytes({ ...document, since });
      await mayLose(this.#bucket.update(hookKey(tenant, id), bytes, revision));
      return since;
    });
  }

  async #stored(tenant_id: string, hook_id: string) {
    const entry = await this.#bucket.get(hookKey(tenant_id, hook_id));
    const document = (entry && readHookDocument(entry.value)) ?? NEW_HOOK;
    return { document, revision: entry?.revision ?? 0 };
  }

  /** Does what somebody has ordered, once. */
  async #replay(hook: HookEntry): Promise<void> {
    const { replay, replayed } = this.#documentOf(hook);
    if (replay <= replayed || this.#replaying.has(hook)) return;
    this.#replaying.add(hook);
    try {
      await this.#runners.get(hook)?.replay();
      const { document, revision } = await this.#stored(hook.tenant, hook.id);
      const bytes = hookBytes({ ...document, replayed: replay });
      await this.#bucket.update(hookKey(hook.tenant, hook.id), bytes, revision);
    } catch (error) {
      if (!isConflict(error)) {
        this.#options.log.warn("dead letters wait to be called for", { hook: hook.id, error });
      }
    } finally {
      this.#replaying.delete(hook);
    }
  }
}

/** Begins; without a hook in the configuration nothing is opened. Rejects with `spine-unavailable`. */
export async function startHooks(options: HookServiceOptions): Promise<HookService> {
  if (options.config.hooks.length === 0) return { drain: () => Promise.resolve() };
  const bucket = await options.spine.keyValue(HOOKS_BUCKET);
  return new Hooks(options, bucket, await JournaledRooms.open(options));
}
