/** The hooks capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { announceRooms } from "./announced_rooms.ts";
import { HookFeeds, HookLifeEvents, storeTenantEvent } from "./feeds.ts";
import type { HookLifeEventsOptions } from "./feeds.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import {
  hasOrder,
  hookBytes,
  hookKey,
  HOOKS_BUCKET,
  NEW_HOOK,
  readHookDocument,
} from "../../shared/records/hook_document.ts";
import type { HookDocument, HookPosition } from "../../shared/records/hook_document.ts";
import { callTerms } from "../../shared/hooks/call.ts";
import type { Env } from "../../shared/env.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { inShares } from "../../shared/spine/bucket_shares.ts";
import type { KeyValue, KvChange, KvKey, KvWatch } from "../../shared/spine/contract/spine.ts";
import { StoreTime } from "../../shared/spine/contract/store_time.ts";
import { requireHookSecrets } from "../../shared/process/hook_secrets.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import type { ClusterView } from "../cluster_view.ts";
import type { FollowedClasses } from "../classes/followed_classes.ts";
import { createHookMetrics, type HookMetrics, HookRunner } from "./hook_runner.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

/** URLs that are called after events. */
export const HOOKS: BrainCapability = {
  name: "hooks",
  title: "URLs that are called for events",
  async open(env) {
    const life_events = await HookLifeEvents.open(env);
    return {
      gives: { reportRooms: (rooms) => announceRooms(env, life_events, rooms) },
      drain: () => Promise.resolve(life_events.close()),
    };
  },
  start: startHooks,
};

/** The Brain's parts that hooks need. */
interface HookServiceOptions
  extends HookLifeEventsOptions, Pick<Env, "registry" | "log" | "monotonic_ms"> {
  readonly config: Pick<Config, "hooks" | "webhooks">;
  readonly view: ClusterView;
  /** Reads a file as text; throws on failure. */
  readonly readTextFile: (path: string) => string;
  /** As in `HookRunnerOptions`; absent: 1,000. */
  readonly rooms_kept?: number;
}

/** Retry interval of a failed order. */
const ORDER_RETRY_MS = 5_000;

/** Hooks that begin in one piece, each in some 0.1 ms. */
const LOOKS_A_PIECE = 8;

/** The most rooms of one hook with their own position. */
const ROOMS_KEPT = 1_000;

/** The pseudo room id that determines the hook's owner; no room has this id. */
const ownerKey = (hook_id: string) => `hook.${hook_id}`;

/** The metric label of tenants' hooks, whose names are unbounded. */
const TENANT_LABEL = "_tenant";

interface Running {
  readonly hook: AfterHook;
  /** Identifies its settings. */
  readonly text: string;
  readonly label: string;
  readonly runner: HookRunner;
}

/** A hook's document, and the newest deletion of its tenant when it was read. */
interface StoredHook {
  readonly document: HookDocument;
  readonly key: KvKey;
  readonly revision: number;
  readonly deletion: number;
}

const hooksOf = ({ hooks }: Pick<Config, "hooks">): ReadonlyMap<string, AfterHook> =>
  new Map(hooks.map((hook) => [`${hook.tenant}/${hook.id}`, hook]));

/** The hooks of a running Brain. */
export class HookService {
  readonly #options: HookServiceOptions;
  readonly #bucket: KeyValue;
  readonly #classes: FollowedClasses;
  readonly #metrics: HookMetrics;
  readonly #feeds: HookFeeds;
  /** By `tenant/hook`, like the documents. */
  readonly #running = new Map<string, Running>();
  #config: ReadonlyMap<string, AfterHook>;
  readonly #documents = new Map<string, HookDocument>();
  readonly #replaying = new Set<string>();
  /** Retry timers of failed orders, by hook. */
  readonly #retries = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #watch: KvWatch;
  /** Receivers refuse a call that was signed minutes ago or ahead: by a Brain's own clock, each while it is wrong. */
  readonly #time: StoreTime;
  readonly #stops: (() => void)[];
  #is_ready = false;
  #is_closed = false;
  /** Resolves when every hook is known; rejects with `spine-unavailable` if it ends first. */
  readonly ready: Promise<void>;

  constructor(options: HookServiceOptions, classes: FollowedClasses, bucket: KeyValue) {
    this.#options = options;
    this.#bucket = bucket;
    this.#classes = classes;
    this.#config = hooksOf(options.config);
    this.#feeds = new HookFeeds(options.spine);
    this.#metrics = createHookMetrics(
      options.registry,
      () => this.#failing(),
      () => [...this.#documents.values()].filter(({ off }) => off !== undefined).length,
    );
    this.#watch = bucket.watch([], (change) => this.#receive(change), { depth: 2 });
    this.#stops = [options.view.onOwnership(() => this.#share())];
    options.changes?.follow(["hooks"], () => this.#renew());
    const { now, monotonic_ms } = options;
    this.#time = new StoreTime({ bucket, now, monotonic_ms });
    this.ready = Promise.all([this.#watch.ready, this.#time.ask()]).then(() => {
      this.#is_ready = true;
      this.#share();
    });
  }

  /** Makes no further calls. Idempotent. */
  async drain(): Promise<void> {
    this.#is_closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    this.#watch.stop();
    for (const timer of this.#retries.values()) clearTimeout(timer);
    await Promise.all([...this.#running.values()].map(({ runner }) => runner.close()));
  }

  *#failing(): Generator<readonly [string, number]> {
    for (const { label, runner } of this.#running.values()) yield [label, runner.failing];
  }

  #receive({ key, value }: KvChange): void {
    const name = key.join("/");
    const document = value && unlessNewer(() => readHookDocument(value));
    if (document === undefined) this.#documents.delete(name);
    // Paused here: a newer Brain makes its calls.
    else this.#documents.set(name, document === "newer" ? { ...NEW_HOOK, paused: true } : document);
    if (this.#is_ready) this.#look(name);
  }

  /** The present settings of the hook; undefined: none. */
  #hookOf(name: string): AfterHook | undefined {
    const own = this.#config.get(name);
    const spec = this.#documents.get(name)?.spec;
    if (own !== undefined || spec === undefined) return own;
    const [tenant = "", id = ""] = name.split("/");
    return { ...spec, tenant, id };
  }

  #isOurs(name: string, hook: AfterHook): boolean {
    const { view } = this.#options;
    const { tenant, id } = hook;
    return !this.#is_closed && hook.events.length > 0 &&
      this.#documents.get(name)?.paused !== true &&
      view.ownerOf(tenant, ownerKey(id)) === view.brain_id;
  }

  /** Applies a new configuration: removed hooks end, new ones begin, changed ones continue at their positions. */
  #renew(): void {
    const before = this.#config;
    this.#config = hooksOf(this.#options.config);
    if (!this.#is_ready) return;
    for (const name of before.keys()) if (!this.#config.has(name)) this.#look(name);
    this.#share();
  }

  /** Starts the hooks that this Brain owns, and stops the others, many of them in slices. */
  #share(): void {
    void inPieces(STRANGERS, this.#sharing(), LOOKS_A_PIECE);
  }

  *#sharing(): Generator<void> {
    for (const name of this.#config.keys()) yield this.#look(name);
    for (const name of this.#documents.keys()) if (!this.#config.has(name)) yield this.#look(name);
  }

  #look(name: string): void {
    const hook = this.#hookOf(name);
    const is_ours = hook !== undefined && this.#isOurs(name, hook);
    const running = this.#running.get(name);
    const text = JSON.stringify(hook);
    if (running !== undefined && (!is_ours || running.text !== text)) {
      this.#running.delete(name);
      void running.runner.close();
    }
    if (!is_ours) return;
    if (!this.#running.has(name)) {
      const label = this.#config.has(name) ? hook.id : TENANT_LABEL;
      this.#running.set(name, { hook, text, label, runner: this.#run(hook, label) });
    }
    void this.#replay(name, hook);
  }

  #run(hook: AfterHook, label: string): HookRunner {
    const { webhooks } = this.#options.config;
    const { log, random, monotonic_ms, readTextFile } = this.#options;
    const now = () => this.#time.now();
    const { tenant, id, secret, secret_file } = hook;
    const fails = (error: unknown) =>
      log.warn("what is known of a hook cannot be stored", { tenant_id: tenant, hook: id, error });
    const openLog = () => this.#classes.openLog(hook.tenant);
    return new HookRunner({
      hook,
      label,
      openLog,
      log,
      now,
      random,
      monotonic_ms,
      failed_ms: this.#documents.get(`${tenant}/${id}`)?.failed_ms ?? 0,
      onFailedTime: (failed_ms) => {
        this.#change(hook, (document) => ({ ...document, failed_ms })).catch(fails);
      },
      onOff: (why) => void this.#switchOff(hook, why).catch(fails),
      bounds: webhooks,
      terms: () => callTerms(webhooks, label === TENANT_LABEL, readTextFile),
      feeds: this.#feeds,
      bucket: this.#bucket,
      deletions: this.#classes.deletions,
      since: () => this.#sinceOf(hook, openLog),
      raise: (since) => this.#change(hook, (document) => ({ ...document, since })),
      rooms_kept: this.#options.rooms_kept ?? ROOMS_KEPT,
      secret: () => secret ?? readTextFile(secret_file ?? "").trim(),
      metrics: this.#metrics,
    });
  }

  /** The start position of the hook: the end of the log when a Brain first takes it. */
  #sinceOf({ tenant, id }: AfterHook, openLog: () => Promise<DurableLog>): Promise<HookPosition> {
    return changeDocument(async (mayLose) => {
      const { document, ...at } = await this.#stored(tenant, id);
      if (document.since !== undefined) return document.since;
      const { stream, log_offset } = await (await openLog()).head("~");
      const since = { stream, offset: log_offset };
      await mayLose(this.#write(at, { ...document, since }));
      return since;
    });
  }

  /** Stores a changed document of the hook. Rejects as the bucket does. */
  async #change(
    { tenant, id }: AfterHook,
    change: (document: HookDocument) => HookDocument,
  ): Promise<void> {
    await changeDocument(async (mayLose) => {
      const { document, ...at } = await this.#stored(tenant, id);
      const changed = change(document);
      if (changed !== document) await mayLose(this.#write(at, changed));
    });
  }

  /**
   * Pauses the hook and reports the reason: in the log, and to the tenant's hooks for that event. Rejects as bucket and
   * log do.
   */
  async #switchOff(hook: AfterHook, why: string): Promise<void> {
    const { tenant, id } = hook;
    const since = this.#classes.deletions.known(tenant);
    let is_off = false;
    await this.#change(hook, (document) => {
      is_off = !document.paused;
      return is_off ? { ...document, paused: true, off: why, failed_ms: 0 } : document;
    });
    if (!is_off) return;
    this.#options.log.warn("a hook was switched off", { tenant_id: tenant, hook: id, why });
    const event = { type: "hook.off", data: { room: null, hook: id, why } } as const;
    const key = `hook_off_${id}_${this.#options.now()}`;
    await storeTenantEvent(this.#classes, this.#options, tenant, event, key, since);
  }

  async #stored(tenant_id: string, hook_id: string): Promise<StoredHook> {
    const deletion = this.#classes.deletions.known(tenant_id);
    const key = hookKey(tenant_id, hook_id);
    const entry = await this.#bucket.get(key);
    const document = (entry && readHookDocument(entry.value)) ?? NEW_HOOK;
    return { document, key, deletion, revision: entry?.revision ?? 0 };
  }

  async #write(
    { key, deletion, revision }: Omit<StoredHook, "document">,
    document: HookDocument,
  ): Promise<void> {
    const update = { key, value: hookBytes(document), expected_revision: revision };
    await this.#classes.deletions.update(this.#bucket, deletion, update);
  }

  /** Executes a replay order once. */
  async #replay(name: string, hook: AfterHook): Promise<void> {
    const ordered = this.#documents.get(name) ?? NEW_HOOK;
    if (!hasOrder(ordered) || this.#replaying.has(name)) return;
    const { replay, replayed, again, again_done } = ordered;
    this.#replaying.add(name);
    try {
      const runner = this.#running.get(name)?.runner;
      if (runner === undefined) return;
      if (replay > replayed) await runner.replay();
      const order = again?.order ?? again_done;
      if (again !== undefined && order > again_done) await runner.again(again.from_ms);
      const done = { replayed: replay, again_done: order };
      await this.#change(hook, (document) => ({ ...document, ...done }));
    } catch (error) {
      if (this.#is_closed) return;
      this.#options.log.warn("a hook waits to be called again", { hook: hook.id, error });
      clearTimeout(this.#retries.get(name));
      this.#retries.set(name, setTimeout(() => this.#look(name), ORDER_RETRY_MS));
    } finally {
      this.#replaying.delete(name);
    }
  }
}

/** Starts the hooks. Rejects with `spine-unavailable`. */
export async function startHooks(options: HookServiceOptions): Promise<HookService> {
  requireHookSecrets(options.config.hooks, options.readTextFile, ({ events }) => events.length > 0);
  const classes = await options.openClasses();
  // Users make rooms, and each takes an entry.
  const bucket = inShares(await options.spine.keyValue(HOOKS_BUCKET));
  const service = new HookService(options, classes, bucket);
  await service.ready.catch(async (error) => {
    await service.drain();
    throw error;
  });
  return service;
}
