/**
 * Blocks timers and deploys of tenants with an exhausted budget that refuses, as Shields refuse their messages. Budgets
 * are read in the background, for tenants with recent usage; a timer looks in memory only. Before the first answer,
 * timers wait, even if it says that nothing can be read.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { Env } from "../../../shared/env.ts";
import { type BudgetState, encodeMark, markKey } from "../../../shared/usage/budget.ts";
import { BudgetStandings, type Standing } from "../../../shared/usage/budget_standings.ts";
import { TenantUsed } from "../../../shared/usage/budget_used.ts";
import type { UsageStores } from "../../../shared/usage/usage_stores.ts";
import { Prices } from "../../../shared/usage/prices.ts";

/** Retry interval of a timer that waits for the first reading, in ms. */
const FIRST_MS = 100;
/** Retry interval otherwise, in ms: the clock may be changed. */
const AGAIN_MS = 60_000;
/** How long a tenant is read after its last usage or waiting timer, in ms. */
const RECENT_MS = 3 * AGAIN_MS;
const TENANTS_MAX = 10_000;

interface TimerBudgetsOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config["usage"], "budgets" | "flush_ms">;
  readonly place: UsageStores;
}

/** The refusing budget of those that are exhausted: it is the strictest. */
const refusing = (standing: Standing | undefined): BudgetState | undefined =>
  standing?.holding?.budget.action === "refuse" ? standing.holding : undefined;

/** The budgets of tenants, for one Brain. */
export class TimerBudgets {
  readonly #options: TimerBudgetsOptions;
  readonly #standings: BudgetStandings;
  /** Budgets of single tenants. */
  readonly #own = new Map<string, readonly TenantBudget[]>();
  /** When tenants last used something here, monotonic ms. */
  readonly #used = new BoundedMap<string, number>(TENANTS_MAX);
  /** Tenants with waiting timers or deploys: when one last asked, monotonic ms. */
  readonly #waiting = new BoundedMap<string, number>(TENANTS_MAX);
  /** What was reported of them: one budget in its period. */
  readonly #reported = new BoundedMap<string, string>(TENANTS_MAX);
  /** What Shields were notified of. */
  readonly #marked = new BoundedMap<string, string>(TENANTS_MAX);
  #onOpen: (tenant_id: string) => void = () => {};

  constructor(options: TimerBudgetsOptions) {
    const { config, place, log, now } = options;
    this.#options = options;
    this.#standings = new BudgetStandings({
      config,
      // The Shields write the usage: a Brain reads it.
      prices: new Prices({ config: { prices: {} }, place, log, now }),
      own: (tenant_id) => this.#own.get(tenant_id) ?? [],
      active: () => this.#active(),
      usedOf: (tenant_id) => new TenantUsed(tenant_id, place),
      onRead: (tenant_id, states) => {
        this.#look(tenant_id);
        return this.#mark(tenant_id, states.filter(({ is_exhausted }) => is_exhausted));
      },
      log,
      now,
    });
  }

  /** Starts to read; `onOpen` is called in a task of its own when a tenant's timers may run again. */
  start(onOpen: (tenant_id: string) => void): void {
    this.#onOpen = onOpen;
    this.#standings.start();
  }

  close(): Promise<void> {
    this.#onOpen = () => {};
    return this.#standings.close();
  }

  /** Applies the budgets of the current configuration. */
  renew(): void {
    this.#standings.renew();
  }

  /** Applies a tenant's own budgets. */
  setOwn(tenant_id: string, budgets: readonly TenantBudget[]): void {
    if (budgets.length > 0) this.#own.set(tenant_id, budgets);
    else if (!this.#own.delete(tenant_id)) return;
    if (this.#standings.standing(tenant_id) !== undefined) this.#standings.ask(tenant_id);
  }

  /** Records usage of a tenant. */
  used(tenant_id: string): void {
    this.#used.renew(tenant_id, this.#options.monotonic_ms());
  }

  /** Tenants with waiting timers or deploys. */
  get tenants(): number {
    return this.#waiting.size;
  }

  /** Ms until timers or a deploy of the tenant may ask again; 0: they may run. Called for each of very many timers. */
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
    const report = `${per} ${unit} ${limit} ${begin_ms}`;
    if (this.#reported.get(tenant_id) === report) return;
    this.#reported.renew(tenant_id, report);
    const until = new Date(end_ms).toISOString();
    const about = { tenant_id, per, unit, limit, used, until };
    this.#options.log.warn("timers and deploys wait: a tenant's budget is used up", about);
  }

  /** Notifies Shields once. A failure is retried after the next reading; never rejects. */
  async #mark(tenant_id: string, exhausted: readonly BudgetState[]): Promise<void> {
    if (exhausted.length === 0) return;
    const mark = encodeMark(exhausted);
    if (this.#marked.get(tenant_id) === mark) return;
    try {
      const bucket = await this.#options.place.running();
      await bucket.put(markKey(tenant_id), new TextEncoder().encode(mark));
      this.#marked.renew(tenant_id, mark);
    } catch (error) {
      this.#options.log.warn("Shields are notified later of an exhausted budget", {
        tenant_id,
        error,
      });
    }
  }

  /** Releases a tenant's waiting timers if no budget blocks them. */
  #look(tenant_id: string): void {
    if (refusing(this.#standings.standing(tenant_id)) !== undefined) return;
    if (!this.#waiting.delete(tenant_id)) return;
    this.#options.log.info("timers and deploys go on: a budget is open again", { tenant_id });
    queueMicrotask(() => this.#onOpen(tenant_id));
  }
}
