/**
 * Holds the timers and deploys of tenants back whose budget refuses and is used up, as Shields hold back their messages.
 * How budgets stand is read in the background, of tenants that use something here; a timer looks at what is known in
 * memory. Only before it is known at all it waits for the first answer, also for one that says that nothing can be read.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { Env } from "../../../shared/env.ts";
import type { BudgetState } from "../../../shared/usage/budget.ts";
import { BudgetStandings, type Standing } from "../../../shared/usage/budget_standings.ts";
import { TenantUsed } from "../../../shared/usage/budget_used.ts";
import { encodeMark, markKey } from "../../../shared/usage/exhausted_marks.ts";
import type { UsageStores } from "../../../shared/usage/usage_stores.ts";
import { Prices } from "../../../shared/usage/prices.ts";

/** When a timer asks again that waits for the first reading, in ms. */
const FIRST_MS = 100;
/** When it asks again otherwise, in ms: the clock may be set. */
const AGAIN_MS = 60_000;
/** For how long a tenant is read after it has used something, or a timer of it has asked, in ms. */
const RECENT_MS = 3 * AGAIN_MS;
/** Tenants that are remembered as such, or for having been reported. */
const TENANTS_MAX = 10_000;

/** What is needed of the Brain. */
export interface TimerBudgetsOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config["usage"], "budgets" | "flush_ms">;
  readonly place: UsageStores;
}

/** What holds timers back: a budget that refuses, for it is the strictest of those that are used up. */
const refusing = (standing: Standing | undefined): BudgetState | undefined =>
  standing?.holding?.budget.action === "refuse" ? standing.holding : undefined;

/** The budgets of tenants, for one Brain. */
export class TimerBudgets {
  readonly #options: TimerBudgetsOptions;
  readonly #standings: BudgetStandings;
  /** What tenants have of their own. */
  readonly #own = new Map<string, readonly TenantBudget[]>();
  /** When tenants used something here, monotonic ms. */
  readonly #used = new BoundedMap<string, number>(TENANTS_MAX);
  /** Tenants whose timers or deploys wait: when one of them has asked, monotonic ms. */
  readonly #waiting = new BoundedMap<string, number>(TENANTS_MAX);
  /** What was reported of them: one budget in its period. */
  readonly #told = new BoundedMap<string, string>(TENANTS_MAX);
  /** What Shields learned about them. */
  readonly #marked = new BoundedMap<string, string>(TENANTS_MAX);
  #onOpen: (tenant_id: string) => void = () => {};

  constructor(options: TimerBudgetsOptions) {
    const { config, place, log, now } = options;
    this.#options = options;
    this.#standings = new BudgetStandings({
      config,
      // The book is the Shields': a Brain reads it.
      prices: new Prices({ config: { prices: {} }, place, log, now }),
      own: (tenant_id) => this.#own.get(tenant_id) ?? [],
      active: () => this.#active(),
      usedOf: (tenant_id) => new TenantUsed(tenant_id, place),
      onRead: (tenant_id, states) => {
        this.#look(tenant_id);
        return this.#mark(tenant_id, states.filter(({ is_exhausted }) => is_exhausted));
      },
      ...{ log, now },
    });
  }

  /** Begins to read; `onOpen` is called when timers of a tenant need not wait any longer, in a task of its own. */
  start(onOpen: (tenant_id: string) => void): void {
    this.#onOpen = onOpen;
    this.#standings.start();
  }

  close(): Promise<void> {
    this.#onOpen = () => {};
    return this.#standings.close();
  }

  /** Puts the budgets into force that the configuration has now. */
  renew(): void {
    this.#standings.renew();
  }

  /** Puts those into force that the tenant has of its own. */
  setOwn(tenant_id: string, budgets: readonly TenantBudget[]): void {
    if (budgets.length > 0) this.#own.set(tenant_id, budgets);
    else if (!this.#own.delete(tenant_id)) return;
    if (this.#standings.standing(tenant_id) !== undefined) this.#standings.ask(tenant_id);
  }

  /** The tenant has used something here. */
  used(tenant_id: string): void {
    this.#used.renew(tenant_id, this.#options.monotonic_ms());
  }

  /** Tenants whose timers or deploys wait. */
  get tenants(): number {
    return this.#waiting.size;
  }

  /** In how many ms timers or a deploy of the tenant may ask again; 0: they may run. Asked for each of very many timers. */
  wait(tenant_id: string): number {
    const standing = this.#standings.standing(tenant_id);
    if (standing?.is_known !== true) {
      if (!this.#standings.has(tenant_id)) return 0;
      if (standing === undefined) this.#standings.ask(tenant_id);
      return FIRST_MS;
    }
    const holding = refusing(standing);
    if (holding === undefined) {
      this.#look(tenant_id);
      return 0;
    }
    this.#hold(tenant_id, holding);
    return Math.min(AGAIN_MS, holding.end_ms - this.#options.now());
  }

  #active(): Set<string> {
    const since_ms = this.#options.monotonic_ms() - RECENT_MS;
    for (const tenants of [this.#used, this.#waiting]) {
      for (const [tenant_id, at_ms] of tenants) {
        // The oldest come first.
        if (at_ms > since_ms) break;
        tenants.delete(tenant_id);
      }
    }
    return new Set([...this.#used.keys(), ...this.#waiting.keys()]);
  }

  #hold(tenant_id: string, { budget, used, begin_ms, end_ms }: BudgetState): void {
    this.#waiting.renew(tenant_id, this.#options.monotonic_ms());
    const { per, unit, limit } = budget;
    const told = `${per} ${unit} ${limit} ${begin_ms}`;
    if (this.#told.get(tenant_id) === told) return;
    this.#told.renew(tenant_id, told);
    const until = new Date(end_ms).toISOString();
    const about = { tenant_id, per, unit, limit, used, until };
    this.#options.log.warn("timers and deploys wait: a tenant's budget is used up", about);
  }

  /** Tells Shields, once. What fails is tried again with the next reading; never rejects. */
  async #mark(tenant_id: string, exhausted: readonly BudgetState[]): Promise<void> {
    if (exhausted.length === 0) return;
    const mark = encodeMark(exhausted);
    if (this.#marked.get(tenant_id) === mark) return;
    try {
      const bucket = await this.#options.place.running();
      await bucket.put(markKey(tenant_id), new TextEncoder().encode(mark));
      this.#marked.renew(tenant_id, mark);
    } catch {
      // The bucket is unreachable, and whoever reads budgets says so.
    }
  }

  /** Lets the timers of the tenant go on that have waited, where nothing holds them any longer. */
  #look(tenant_id: string): void {
    if (refusing(this.#standings.standing(tenant_id)) !== undefined) return;
    if (!this.#waiting.delete(tenant_id)) return;
    this.#options.log.info("timers and deploys go on: a budget is open again", { tenant_id });
    queueMicrotask(() => this.#onOpen(tenant_id));
  }
}
