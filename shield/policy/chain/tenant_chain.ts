/**
 * One tenant's path from documents to the chain in force: a new document's modules are loaded while the old chain runs,
 * then the chain is swapped in one assignment. If the modules do not load, the old chain stays; an unreadable one
 * refuses the tenant's operations (fail closed).
 */
import type { Env } from "../../../shared/env.ts";
import { applicable, documentBytes, emptyDocument, isInRoom, parseDocument } from "./chain.ts";
import type { PolicyVersion } from "./chain.ts";
import { type Canary, type CanaryLists, type CanaryState, CanaryTurn } from "./canary.ts";
import type { Comparisons } from "./comparisons.ts";
import { isFinal, type ModuleSet } from "../modules/module_set.ts";
import { isSampled } from "../../../shared/sampling.ts";
import { type Hook, HOOKS, type PolicyBinding } from "../../../shared/records/verdict.ts";

/** The states of a tenant's chain in this process. */
export const CHAIN_STATES = ["loading", "active", "failed", "malformed", "gone"] as const;
/** One of `CHAIN_STATES`. */
export type ChainState = typeof CHAIN_STATES[number];

/** The first and the longest pause before missing modules are fetched again, in ms. It doubles each time. */
const RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;
/** The most callers that wait for one tenant's document to settle. */
const WAITERS_MAX = 256;

/** The dependencies that the registry gives to its tenants. */
interface TenantContext extends Pick<Env, "log" | "now"> {
  readonly modules: ModuleSet;
  readonly onSettled: (state: ChainState, duration_ms: number) => void;
  readonly comparisons: Comparisons;
}

/** The status of a tenant's policies in this process. */
export interface TenantStatus {
  readonly tenant: string;
  /** `failed`, `malformed` and `gone` are about the latest document; see `enforced_version`. */
  readonly state: ChainState;
  /** The problem; "" for none. */
  readonly detail: string;
  /** The revision of the document that `state` is about. */
  readonly revision: number;
  /** The version in force here; undefined while every operation is refused. */
  readonly enforced_version: number | undefined;
  readonly policies: number;
  /** When the status last changed, in Unix ms. */
  readonly since_ms: number;
}

interface Stored {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly received_ms: number;
}

/** The chain without a document. */
const NONE: Stored = { value: documentBytes(emptyDocument()), revision: 0, received_ms: 0 };

interface Waiter {
  readonly revision: number;
  resolve(): void;
}

/** The policies of one tenant. */
export class TenantChain {
  readonly #tenant_id: string;
  readonly #context: TenantContext;
  #active: ActiveChain | undefined;
  /** True while every operation is refused. */
  #refused: boolean;
  #state: ChainState = "loading";
  #detail = "";
  #revision = 0;
  #since_ms: number;
  /** The latest document, until it is applied. */
  #wanted: Stored | undefined;
  /** The latest document, also if it was applied or is lost; undefined: there is none. */
  #stored: Stored | undefined;
  readonly #turn = new CanaryTurn();
  #running: Promise<void> | undefined;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #waiters = new Set<Waiter>();
  #closed = false;

  /**
   * Starts without a document. `is_new`: the tenant had no policies until now, so an empty chain is in force until its
   * first document. Otherwise the previous chain is unknown here, and the tenant's operations are refused until the
   * document.
   */
  constructor(tenant_id: string, is_new: boolean, context: TenantContext) {
    this.#tenant_id = tenant_id;
    this.#context = context;
    this.#refused = !is_new;
    this.#active = is_new ? new ActiveChain(0, []) : undefined;
    this.#since_ms = context.now();
  }

  /** The chain in force; undefined while operations are refused. */
  get chain(): ActiveChain | undefined {
    return this.#refused ? undefined : this.#active;
  }

  /** True if operations are refused only because modules are still loading. */
  get is_pending(): boolean {
    return this.#refused && this.#active === undefined && this.#running !== undefined;
  }

  get has_document(): boolean {
    return this.#stored !== undefined;
  }

  get status(): TenantStatus {
    return {
      tenant: this.#tenant_id,
      state: this.#state,
      detail: this.#detail,
      revision: this.#revision,
      enforced_version: this.chain?.version,
      policies: this.chain?.policies.length ?? 0,
      since_ms: this.#since_ms,
    };
  }

  /** Applies a stored document. Of several in quick succession only the last one counts. */
  put(value: Uint8Array, revision: number): void {
    if (this.#closed) return;
    this.#attempt = 0;
    this.#stored = { value, revision, received_ms: this.#context.now() };
    this.#want(this.#stored);
  }

  /** Runs a canary with the policies in force, or none. It is called again when the share grows. */
  canary(canary: Canary | undefined): void {
    if (this.#closed || !this.#turn.wants(canary)) return;
    // The chain in force is still unknown; the next document takes the canary.
    if (this.#stored === undefined && this.#refused) return;
    this.#attempt = 0;
    this.#want({ ...this.#stored ?? NONE, received_ms: this.#context.now() });
  }

  /** The stage that runs here, or the reason why it does not run; undefined: there is no canary. */
  get canary_state(): CanaryState | undefined {
    return this.#turn.state;
  }

  /** The document was deleted with its tenant, which then has no policies. */
  deleted(revision: number): void {
    if (this.#closed) return;
    this.#attempt = 0;
    this.#stored = undefined;
    this.#want({ ...NONE, revision, received_ms: this.#context.now() });
  }

  /** The store has lost the document. The chain stays in force: a loss must not switch off protection. */
  lost(): void {
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#wanted = undefined;
    this.#context.log.error("a tenant's policy document is lost; the policies in force stay", {
      tenant_id: this.#tenant_id,
    });
    const detail = "the store has lost it; the policies in force stay until the next deployment";
    // A recreated store reuses revisions.
    this.#settle("gone", detail, 0, this.#context.now());
  }

  /** Resolves when no work is running. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Resolves with true once the document of this revision, or a later one, is settled, otherwise with false. */
  async reached(revision: number, timeout_ms: number): Promise<boolean> {
    if (this.#revision >= revision) return true;
    if (this.#closed || this.#waiters.size >= WAITERS_MAX) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { revision, resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(resolve, timeout_ms);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(waiter);
    return this.#revision >= revision;
  }

  close(): void {
    this.#closed = true;
    this.#wanted = undefined;
    clearTimeout(this.#retry);
    for (const waiter of this.#waiters) waiter.resolve();
  }

  #want(stored: Stored): void {
    clearTimeout(this.#retry);
    this.#wanted = stored;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    for (let next = this.#wanted; next !== undefined; next = this.#wanted) {
      this.#wanted = undefined;
      await this.#apply(next);
    }
    this.#running = undefined;
  }

  async #apply(stored: Stored): Promise<void> {
    const { modules, log } = this.#context;
    const fields = { tenant_id: this.#tenant_id, revision: stored.revision };
    const parsed = parseDocument(stored.value);
    if ("problem" in parsed) {
      this.#refused = true;
      log.error("a tenant's policies cannot be read; its operations are refused", {
        ...fields,
        problem: parsed.problem,
      });
      return this.#settle("malformed", parsed.problem, stored.revision, stored.received_ms);
    }
    const { current } = parsed.document;
    const { version, policies } = current;
    let next: ActiveChain;
    try {
      next = await this.#held(current);
    } catch (error) {
      return this.#failed(stored, version, error);
    }
    if (this.#closed) return modules.release(next.modules);
    const previous = this.#active;
    // The swap: from now on every operation meets the new chain, and none meets a mixture.
    this.#active = next;
    this.#refused = false;
    if (previous !== undefined) modules.release(previous.modules);
    this.#context.comparisons.set(this.#tenant_id, this.#turn.settle());
    if (this.#turn.state?.problem?.kind === "retry") this.#again(stored);
    log.info("policies are in force", { ...fields, version, policies: policies.length });
    this.#settle("active", "", stored.revision, stored.received_ms);
  }

  /** The chain of that version, with the canary if it can run; its modules are held. Rejects as `hold`. */
  async #held(current: PolicyVersion): Promise<ActiveChain> {
    const { modules } = this.#context;
    const { version, policies } = current;
    const canary = this.#turn.begin(current);
    if (canary !== undefined) {
      const both = new ActiveChain(version, policies, canary);
      try {
        await modules.hold(both.modules, this.#tenant_id);
        this.#turn.loaded();
        return both;
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#turn.failed(isFinal(error) ? "refused" : "retry", why);
      }
    }
    const plain = new ActiveChain(version, policies);
    await modules.hold(plain.modules, this.#tenant_id);
    return plain;
  }

  #again(stored: Stored): void {
    const delay_ms = Math.min(RETRY_MS * 2 ** this.#attempt++, LONGEST_RETRY_MS);
    this.#retry = setTimeout(() => this.#want(stored), delay_ms);
  }

  #failed(stored: Stored, version: number, error: unknown): void {
    if (this.#closed) return;
    this.#turn.settle();
    const { revision, received_ms } = stored;
    const why = error instanceof Error ? error.message : String(error);
    const stays = this.chain === undefined
      ? "its operations are refused"
      : `version ${this.chain.version} stays`;
    // Repeated failures of a retry are reported only once.
    if (this.#attempt === 0) {
      this.#context.log.error(`a tenant's new policies do not load; ${stays}`, {
        tenant_id: this.#tenant_id,
        revision,
        version,
        error,
      });
    }
    this.#settle(
      "failed",
      `version ${version} does not load (${stays}): ${why}`,
      revision,
      received_ms,
    );
    if (!isFinal(error) && this.#wanted === undefined) this.#again(stored);
  }

  #settle(state: ChainState, detail: string, revision: number, received_ms: number): void {
    const now_ms = this.#context.now();
    this.#state = state;
    this.#detail = detail;
    this.#revision = revision;
    this.#since_ms = now_ms;
    this.#context.onSettled(state, now_ms - received_ms);
    for (const waiter of this.#waiters) if (revision >= waiter.revision) waiter.resolve();
  }
}

// The policies of one tenant that are in force in this process, arranged for the message path: the list of policies for
// a room is computed once and then cached. Immutable except for its cache; a change makes a new object, so no caller
// sees half a change.

/** The most rooms of one tenant with cached chains; beyond that, the cache is cleared. */
export const CACHED_ROOMS = 4_096;

type Lists = Readonly<Record<Hook, readonly PolicyBinding[]>>;

/** The lists that are the same for every room, for the hooks that have one. */
function constantLists(policies: readonly PolicyBinding[]): Partial<Lists> {
  const constant: Partial<Record<Hook, readonly PolicyBinding[]>> = {};
  for (const hook of HOOKS) {
    const hooked = policies.filter((policy) => policy.hooks.includes(hook));
    const anywhere = !isInRoom(hook) || hooked.every(({ room }) => room === "*");
    if (anywhere) constant[hook] = applicable(policies, hook, "");
  }
  return constant;
}

/** The two chains of a canary, and the fraction of the keys for the first one. */
interface Split {
  readonly share: number;
  readonly inside: ActiveChain;
  readonly outside: ActiveChain;
}

/** One version of a tenant's policies in force. */
export class ActiveChain {
  readonly version: number;
  readonly policies: readonly PolicyBinding[];
  /** The modules that the policies name. */
  readonly modules: ReadonlySet<string>;
  readonly #constant: Partial<Lists>;
  readonly #rooms = new Map<string, Lists>();
  /** The lists by content: rooms with the same policies share one object, so there are few. */
  readonly #shared = new Map<string, Lists>();
  readonly #split: Split | undefined;

  /** With a canary, the new policies are in force for `share` of the keys, and both versions judge. */
  constructor(
    version: number,
    policies: readonly PolicyBinding[],
    canary?: CanaryLists & { readonly share: number },
  ) {
    this.version = version;
    this.policies = policies;
    const all = canary === undefined ? policies : [...canary.inside, ...canary.outside];
    this.modules = new Set(all.map(({ sha256 }) => sha256));
    this.#constant = constantLists(policies);
    this.#split = canary && {
      share: canary.share,
      inside: new ActiveChain(version, canary.inside),
      outside: new ActiveChain(version, canary.outside),
    };
  }

  /** The chain for a key: this one, or one of the canary's two chains. */
  of(key: string): ActiveChain {
    const split = this.#split;
    if (split === undefined) return this;
    return isSampled(key, split.share) ? split.inside : split.outside;
  }

  get cached_rooms(): number {
    const { inside, outside } = this.#split ?? {};
    return this.#rooms.size + (inside?.cached_rooms ?? 0) + (outside?.cached_rooms ?? 0);
  }

  forget(): void {
    this.#rooms.clear();
    this.#split?.inside.forget();
    this.#split?.outside.forget();
  }

  /** The policies that apply before staged rollouts are considered; the same list for the same arguments. */
  applicable(hook: Hook, room: string): readonly PolicyBinding[] {
    return this.#constant[hook] ?? this.#ofRoom(room)[hook];
  }

  #ofRoom(room: string): Lists {
    const known = this.#rooms.get(room);
    if (known !== undefined) return known;
    if (this.#rooms.size >= CACHED_ROOMS) this.#rooms.clear();
    const matching = applicableAnywhere(this.policies, room);
    const lists = this.#shared.get(matching.signature) ?? matching.lists;
    this.#shared.set(matching.signature, lists);
    this.#rooms.set(room, lists);
    return lists;
  }
}

function applicableAnywhere(
  policies: readonly PolicyBinding[],
  room: string,
): { signature: string; lists: Lists } {
  const lists = Object.fromEntries(
    HOOKS.map((hook) => [hook, applicable(policies, hook, room)]),
  ) as Lists;
  const names = (list: readonly PolicyBinding[]) => list.map(({ name }) => name).join();
  return { signature: HOOKS.filter(isInRoom).map((hook) => names(lists[hook])).join("/"), lists };
}
