/**
 * The policies in force in this process, for every tenant. The registry watches the documents, has their modules
 * loaded, swaps chains, and answers the message path from memory. `store.ts` writes documents; the pool runs policies.
 */
import { ArqonError, isId } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type { HealthCheck } from "../../../shared/listeners/ops.ts";
import type { KvChange, KvKey } from "../../../shared/spine/contract/spine.ts";
import { plural } from "../../../shared/plural.ts";
import { sampled } from "./chain.ts";
import { type ModuleLoader, ModuleSet } from "../modules/module_set.ts";
import type { Hook, PolicyBinding } from "../../../shared/records/verdict.ts";
import { openPolicyStore, type PolicyStore } from "./store.ts";
import type { Canary, CanaryState } from "./canary.ts";
import { Comparisons } from "./comparisons.ts";
import { CHAIN_STATES, type ChainState, TenantChain, type TenantStatus } from "./tenant_chain.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";
import { Histogram, metricsOn, type Registry, scraped } from "../../../shared/metrics/metrics.ts";

/** The most rooms of all tenants with cached chains; beyond that, the cache is cleared. */
const CACHED_ROOMS = 65_536;
/** How long a start waits for modules that need a trial, in ms; after that they load while messages pass. */
const TRIED_WAIT_MS = 500;
/** The default wait of a start for modules with a passed trial, in ms. */
const KNOWN_WAIT_MS = 10_000;
/** How long a module stays loaded by default, in ms: ten times the time after which an evaluation counts as wedged. */
const UNLOAD_DELAY_MS = 10_000;

const NONE: readonly PolicyBinding[] = Object.freeze([]);

/** The dependencies and settings of the registry. */
export interface PolicyRegistryOptions extends Pick<Env, "spine" | "registry" | "log" | "now"> {
  readonly loader: ModuleLoader;
  /** How long a module stays loaded after the last chain that names it is gone, in ms. */
  readonly unload_delay_ms?: number;
  /** How long a start waits for modules that need a trial, in ms; absent: half a second. */
  readonly tried_wait_ms?: number;
  /** How long a start waits for modules with a passed trial, in ms: `policy.start_wait_ms`. */
  readonly known_wait_ms?: number;
}

/** The registry's state, for `/v1/status` and the admin API. */
interface PolicyRegistryStatus {
  readonly ready: boolean;
  readonly modules: number;
  readonly pending_modules: number;
  /** Tenants whose operations are refused until their modules are loaded. */
  readonly pending_tenants: number;
  readonly tenants: Readonly<Record<ChainState, number>>;
}

function fault(cause: string): ArqonError {
  // Clients get no details: a tenant's admins see the problems of its policies.
  return new ArqonError("policy-fault", "", { retry_after_ms: 1_000, cause: new Error(cause) });
}

function loading(cause: string): ArqonError {
  return new ArqonError("policy-loading", "", { retry_after_ms: 1_000, cause: new Error(cause) });
}

/** A running registry. */
export class PolicyRegistry {
  /** The store of documents and modules, which the admin API changes. */
  readonly store: PolicyStore;
  /** The verdicts of both versions of canaries. */
  readonly comparisons = new Comparisons();
  /**
   * Resolves when the stored policies are known, and each is in force, has failed, or takes too long. In the last case
   * only their tenants are refused until they are in force. Rejects with `spine-unavailable` if the registry is closed
   * earlier.
   */
  readonly ready: Promise<void>;
  readonly #options: PolicyRegistryOptions;
  readonly #modules: ModuleSet;
  readonly #chains = new Map<string, TenantChain>();
  readonly #stop: () => void;
  readonly #onSettled: (state: ChainState, duration_ms: number) => void;
  #since_ms: number;
  #state: "starting" | "ready" | "closed" = "starting";
  /** Rooms cached since the cache was last cleared: at least as many as are cached now. */
  #cached_rooms = 0;

  constructor(options: PolicyRegistryOptions, store: PolicyStore) {
    this.#options = options;
    this.store = store;
    this.#since_ms = options.now();
    this.#modules = new ModuleSet({
      loader: options.loader,
      fetch: (sha256) => store.module(sha256),
      unload_delay_ms: options.unload_delay_ms ?? UNLOAD_DELAY_MS,
    });
    this.#onSettled = registerRegistryMetrics(options.registry, () => ({
      ...this.status(),
      cached_rooms: this.#countRooms(),
    }));
    const watch = store.watch((change) => this.#receive(change));
    this.#stop = () => watch.stop();
    this.ready = awaitedLater(this.#start(watch.ready));
  }

  /**
   * The policies that apply, in order; empty if none does, and the same list for the same arguments unless a rollout is
   * running. `key` selects the version in staged rollouts: a trace id or connection id. Fails closed: throws
   * `policy-loading` while the tenant's chain is not loaded yet, which is true of every tenant before `ready`, and
   * `policy-fault` when it cannot be.
   */
  chainFor(tenant_id: string, hook: Hook, room_id: string, key: string): readonly PolicyBinding[] {
    if (this.#state === "starting") throw loading("the policies are not read yet");
    if (this.#state === "closed") throw fault("the policies are closed");
    const tenant = this.#chains.get(tenant_id);
    if (tenant === undefined) return NONE;
    const { chain } = tenant;
    if (chain === undefined) throw this.#refusal(tenant_id, tenant);
    const before = chain.cached_rooms;
    const list = chain.of(key).applicable(hook, room_id);
    if (chain.cached_rooms > before && ++this.#cached_rooms > CACHED_ROOMS) this.#forgetRooms();
    return sampled(list, key);
  }

  /** The version of the tenant's chain in force; 0 if there is none. */
  versionOf(tenant_id: string): number {
    return this.#chains.get(tenant_id)?.chain?.version ?? 0;
  }

  /** The refusal of an operation. A tenant with waiting clients is loaded before others. */
  #refusal(tenant_id: string, tenant: TenantChain): ArqonError {
    if (!tenant.is_pending) return fault(tenant.status.detail);
    this.#modules.urge(tenant_id);
    return loading("its modules are not ready");
  }

  /** The tenant's status; undefined when it has no document. */
  tenant(tenant_id: string): TenantStatus | undefined {
    return this.#chains.get(tenant_id)?.status;
  }

  /** The status of every tenant with a document. */
  tenants(): TenantStatus[] {
    return [...this.#withDocuments()].map((chain) => chain.status);
  }

  /** Whether this process has settled that revision of the tenant's document, within `timeout_ms`. */
  async reached(tenant_id: string, revision: number, timeout_ms: number): Promise<boolean> {
    // The policies in force are read below, whatever the outcome of the first reading.
    await this.ready.catch(() => {});
    if (this.#state === "closed") return false;
    return await this.#chain(tenant_id).reached(revision, timeout_ms);
  }

  /** Runs a canary with the tenant's policies, or none; `canaryOf` has the running one. */
  setCanary(tenant_id: string, canary: Canary | undefined): void {
    if (canary === undefined) this.#chains.get(tenant_id)?.canary(undefined);
    else this.#chain(tenant_id).canary(canary);
  }

  /** The state of the tenant's canary here; undefined: there is none. */
  canaryOf(tenant_id: string): CanaryState | undefined {
    return this.#chains.get(tenant_id)?.canary_state;
  }

  /** Loads a module again if a chain in force names it. Rejects as loading does. */
  reload(sha256: string): Promise<void> {
    return this.#modules.reload(sha256);
  }

  status(): PolicyRegistryStatus {
    const tenants: Record<string, number> = {};
    for (const state of CHAIN_STATES) tenants[state] = 0;
    let pending_tenants = 0;
    for (const { status, is_pending } of this.#withDocuments()) {
      tenants[status.state] = (tenants[status.state] ?? 0) + 1;
      pending_tenants += Number(is_pending);
    }
    return {
      ready: this.#state === "ready",
      modules: this.#modules.size,
      pending_modules: this.#modules.pending,
      pending_tenants,
      tenants: tenants as Record<ChainState, number>,
    };
  }

  /** The policies' part of the process's readiness. */
  check(): HealthCheck {
    const { tenants, pending_tenants, pending_modules } = this.status();
    const { active, failed, malformed, gone } = tenants;
    const bad = failed + malformed + gone;
    const known = `${plural(active + bad + tenants.loading, "tenant")} with policies`;
    const trouble = bad === 0 ? "" : `, ${bad} with trouble`;
    const pending = pending_tenants === 0
      ? ""
      : `, ${pending_tenants} refused until ${plural(pending_modules, "module")} more ` +
        `${pending_modules === 1 ? "is" : "are"} ready`;
    const detail = this.#state !== "ready"
      ? `the policies are ${this.#state}`
      : `${known}${trouble}${pending}`;
    return { ok: this.#state === "ready", since_ms: this.#since_ms, detail };
  }

  /** Stops watching and unloads everything; then no chain is known. */
  close(): void {
    if (this.#state === "closed") return;
    this.#turnTo("closed");
    this.#stop();
    for (const chain of this.#chains.values()) chain.close();
    this.#modules.close();
  }

  async #start(listed: Promise<void>): Promise<void> {
    await listed;
    const { tried_wait_ms = TRIED_WAIT_MS, known_wait_ms = KNOWN_WAIT_MS } = this.#options;
    const settled = [...this.#chains.values()].map((chain) => chain.settled());
    // Modules that ran before are in force when the node is ready, so that a rolling restart refuses no operation.
    // Modules that need a trial may take minutes, and do not delay the node beyond its own wait.
    const timers: ReturnType<typeof setTimeout>[] = [];
    const after = (ms: number) =>
      new Promise<void>((resolve) => timers.push(setTimeout(resolve, ms)));
    let is_over = false;
    // A chain is in force one turn after its last module was loaded.
    const loaded = this.#modules.quickDone().then(() => is_over ? undefined : after(0));
    const known = Promise.race([loaded, after(known_wait_ms)]);
    await Promise.race([Promise.all(settled), Promise.all([known, after(tried_wait_ms)])]);
    is_over = true;
    timers.forEach(clearTimeout);
    if (this.#state === "closed") throw new ArqonError("spine-unavailable", "closed");
    this.#turnTo("ready");
    const { tenants, pending_modules, pending_tenants } = this.status();
    this.#options.log.info("the policies are ready", {
      ...tenants,
      pending_modules,
      pending_tenants,
    });
  }

  #turnTo(state: "ready" | "closed"): void {
    this.#state = state;
    this.#since_ms = this.#options.now();
  }

  #receive(change: KvChange): void {
    const { key, revision } = change;
    const tenant_id = this.#tenantOf(key);
    if (tenant_id === undefined) return;
    if (change.type === "put") this.#chain(tenant_id).put(change.value, revision);
    else if (change.is_lost === true) this.#chains.get(tenant_id)?.lost();
    else this.#chains.get(tenant_id)?.deleted(revision);
  }

  #tenantOf(key: KvKey): string | undefined {
    const [tenant_id = ""] = key;
    if (key.length === 1 && isId(tenant_id)) return tenant_id;
    this.#options.log.warn("the policy bucket has a key that is not a tenant", { key });
    return undefined;
  }

  #chain(tenant_id: string): TenantChain {
    const { log, now } = this.#options;
    const { comparisons } = this;
    const context = { modules: this.#modules, log, now, onSettled: this.#onSettled, comparisons };
    return this.#chains.getOrInsertComputed(
      tenant_id,
      () => new TenantChain(tenant_id, this.#state === "ready", context),
    );
  }

  #withDocuments(): Iterable<TenantChain> {
    return this.#chains.values().filter(({ has_document }) => has_document);
  }

  #countRooms(): number {
    let rooms = 0;
    for (const { chain } of this.#chains.values()) rooms += chain?.cached_rooms ?? 0;
    return rooms;
  }

  #forgetRooms(): void {
    for (const { chain } of this.#chains.values()) chain?.forget();
    this.#cached_rooms = 0;
  }
}

/**
 * Opens the buckets and begins to watch; `ready` resolves when the policies are in force. Rejects with
 * `spine-unavailable`.
 */
export async function createPolicyRegistry(
  options: PolicyRegistryOptions,
): Promise<PolicyRegistry> {
  return new PolicyRegistry(options, await openPolicyStore(options.spine));
}

// The metrics of policies' documents and modules. Labels come from closed sets.

/** The values that are read at every scrape. */
interface RegistryFigures {
  readonly tenants: Readonly<Record<ChainState, number>>;
  readonly modules: number;
  readonly pending_modules: number;
  readonly pending_tenants: number;
  readonly cached_rooms: number;
}

const APPLY_BUCKETS_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const COMPILE_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Registers the metrics of modules that are made ready, and kept besides those in force. Returns what observes the time
 * of compiling a module, trial included.
 */
export function registerReady(
  registry: Registry,
  kept: { readonly size: number; readonly released: number },
): (duration_ms: number) => void {
  scraped(registry, {
    "shield_policy_compiled_modules": [
      "Compiled policy modules that are kept after a check or a load.",
      () => kept.size,
    ],
    "shield_policy_compiled_released_total": [
      "Compiled policy modules that were dropped because nothing used them.",
      () => kept.released,
    ],
  });
  const compile = new Histogram({
    name: "shield_policy_compile_seconds",
    help: "Time to compile a module, with its trial in a child process, in seconds.",
    buckets: COMPILE_SECONDS,
    registers: [registry],
  });
  return (duration_ms) => compile.observe(duration_ms / 1_000);
}

/**
 * Registers the metrics of documents; once for each registry. Returns what counts a change that is in force or has
 * failed, `duration_ms` after this process received it.
 */
function registerRegistryMetrics(
  registry: Registry,
  read: () => RegistryFigures,
): (state: ChainState, duration_ms: number) => void {
  scraped(registry, {
    "shield_policy_tenants": [
      "Tenants with policies, by the outcome of their latest document.",
      "state",
      () => read().tenants,
    ],
    "shield_policy_modules": ["Loaded policy modules.", () => read().modules],
    "shield_policy_modules_pending": [
      "Policy modules that wait to be made ready, or are being made ready.",
      () => read().pending_modules,
    ],
    "shield_policy_tenants_pending": [
      "Tenants whose operations are refused until their modules are ready.",
      () => read().pending_tenants,
    ],
    "shield_policy_cached_rooms": ["Rooms with a cached chain.", () => read().cached_rooms],
  });
  const changes = metricsOn(registry).counter(
    "shield_policy_changes_total",
    "Changes of tenants' policies that this process has received, by outcome.",
    "state",
  );
  const seconds = new Histogram({
    name: "shield_policy_apply_seconds",
    help: "Time from receiving a change to enforcing it, in seconds.",
    buckets: APPLY_BUCKETS_SECONDS,
    registers: [registry],
  });
  return (state, duration_ms) => {
    changes.inc({ state });
    if (state === "active") seconds.observe(Math.max(0, duration_ms) / 1_000);
  };
}
