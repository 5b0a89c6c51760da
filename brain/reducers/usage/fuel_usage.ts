/**
 * Writes the fuel of rooms with reducers into the usage ledger beside the Shields' minutes, under this Brain's id.
 * Applied and stored entries count once; replayed ones do not.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { Lives } from "../../../shared/lives/lives.ts";
import { OwnLife } from "../../../shared/lives/own_life.ts";
import type { Env } from "../../../shared/env.ts";
import { type Registry, scraped, scrapedGauge } from "../../../shared/metrics/metrics.ts";
import { UsageStores } from "../../../shared/usage/usage_stores.ts";
import { UsageWriter } from "../../../shared/usage/writer.ts";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { type BudgetState, encodeMark, markKey } from "../../../shared/usage/budget.ts";
import { BudgetStandings, type Standing } from "../../../shared/usage/budget_standings.ts";
import { TenantUsed } from "../../../shared/usage/budget_used.ts";
import { Prices } from "../../../shared/usage/prices.ts";
import type { TenantRows } from "../../../shared/usage/minute.ts";
import { OTHERS, RowBudget, UserUse } from "../../../shared/records/user_use.ts";

const DAY_SECONDS = 86_400;
/** How long closing waits for its store, in ms; the same as a Shield. */
const CLOSE_MS = 2_000;

interface FuelUsageOptions
  extends Pick<Env, "spine" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "usage">;
  readonly brain_id: string;
  /** Unix ms by the clock of the bus: minutes and the periods of budgets are those of all processes. */
  readonly storeNow: () => number;
}

/** Fuel that is counted. */
export interface FuelUsage extends Pick<FuelLedger, "used" | "forget"> {
  /** The budgets that block timers; undefined: usage is not counted, so no budget is exhausted. */
  readonly budgets: TimerBudgets | undefined;
  /** Starts to write, and to read the usage of budgets; `onOpen` as in `TimerBudgets`. */
  begin(onOpen: (tenant_id: string) => void): void;
  /** Writes the rest, then ends. Never rejects. */
  close(): Promise<void>;
}

const NOTHING: FuelUsage = {
  budgets: undefined,
  used: () => {},
  forget: () => {},
  begin: () => {},
  close: () => Promise.resolve(),
};

function register(
  registry: Registry,
  ledger: FuelLedger,
  { totals }: UsageWriter,
  budgets: TimerBudgets,
): void {
  scrapedGauge(
    registry,
    "brain_reducer_budget_tenants",
    "Tenants whose timers or deploys wait on this Brain, because a budget of theirs is used up.",
    () => budgets.tenants,
  );

  scraped(registry, {
    "brain_usage_minutes_total": [
      "Minutes of tenants' fuel of reducers that were stored in the ledger of use.",
      () => totals.stored,
    ],
    "brain_usage_lost_minutes_total": [
      "Minutes of tenants' fuel of reducers that were lost: too many waited, or their store refused them.",
      () => totals.lost,
    ],
    "brain_usage_uncounted_total": [
      "Times at which fuel of reducers was not counted, since too many tenants are.",
      () => ledger.uncounted,
    ],
  });
}

/** Returns a counter; it counts nothing if usage is off. */
export function fuelUsage(options: FuelUsageOptions): FuelUsage {
  const { config: { usage }, spine, brain_id: node_id, registry } = options;
  const { now, storeNow, monotonic_ms } = options;
  if (!usage.enabled) return NOTHING;
  const log = options.log.child({ part: "usage" });
  const kept_ms = usage.retention_days * DAY_SECONDS * 1_000;
  const lives = new Lives(spine);
  const life = new OwnLife({ lives, node_id, kind: "brain", kept_ms, log, now, monotonic_ms });
  const ledger = new FuelLedger(usage.rows);
  const place = new UsageStores({ config: options.config, spine, lives, own: life });
  const shared = { place, log, now: storeNow, monotonic_ms };
  const budgets = new TimerBudgets({ config: usage, ...shared });
  const writer = new UsageWriter({
    ledger,
    node_id,
    life,
    ...shared,
    flush_ms: usage.flush_ms,
    retention_seconds: usage.retention_days * DAY_SECONDS,
    tenant_bytes: usage.tenant_bytes,
    queue_bytes: usage.queue_bytes,
  });
  register(registry, ledger, writer, budgets);
  return {
    budgets,
    used(tenant_id, by, units) {
      ledger.used(tenant_id, by, units);
      budgets.used(tenant_id);
    },
    forget: (tenant_id) => void writer.forget(tenant_id),
    begin(onOpen) {
      writer.start();
      budgets.start(onOpen);
    },
    async close() {
      await budgets.close();
      await writer.close(CLOSE_MS);
      await life.end();
    },
  };
}

// Timers and deploys of tenants with an exhausted budget are blocked as Shields refuse their messages. Budgets are
// read in the background; a timer looks in memory only. Before the first answer, timers wait, even if it says that
// nothing can be read.

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
class TimerBudgets {
  readonly #options: TimerBudgetsOptions;
  readonly #standings: BudgetStandings;
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

/** The most tenants counted at a time; the fuel of others is not counted, and a metric says so. */
const COUNTED_MAX = 100_000;
/** Policies' names have no colon. */
const REDUCER = "reducer:";

interface CountedBy {
  /** The class of rooms; absent for work outside of rooms. */
  readonly pattern?: string | undefined;
  /** The name in `[[reducers]]`; absent if the room no longer has a reducer. */
  readonly reducer?: string | undefined;
}

/** Used fuel by tenant, class and reducer, in instruction units. */
class FuelLedger {
  readonly #rows_max: number;
  readonly #tenants = new Map<string, UserUse>();
  /** How often a count was dropped because there were too many tenants. */
  uncounted = 0;

  constructor(rows_max: number) {
    this.#rows_max = rows_max;
  }

  used(tenant_id: string, { pattern, reducer = OTHERS }: CountedBy, units: number): void {
    const use = this.#tenants.get(tenant_id) ?? this.#open(tenant_id);
    if (use === undefined) this.uncounted++;
    else use.fuel(pattern, REDUCER + reducer, Math.round(units));
  }

  /**
   * The rows of every tenant that has any now, each as of when it is asked for. `is_end`: the minute has ended, and
   * counts restart.
   */
  *take(is_end: boolean): Generator<TenantRows> {
    // A tenant that comes back meanwhile is one of the next minute.
    for (const [tenant_id, use] of [...this.#tenants]) {
      if (is_end) this.#tenants.delete(tenant_id);
      // A Brain has no connections, so no connection time.
      const rows = use.take(0, is_end);
      if (rows.length > 0) yield { tenant_id, rows };
    }
  }

  /** The counts of a deleted tenant restart. */
  forget(tenant_id: string): void {
    this.#tenants.delete(tenant_id);
  }

  #open(tenant_id: string): UserUse | undefined {
    if (this.#tenants.size >= COUNTED_MAX) return undefined;
    // A Brain knows no class of users.
    const use = new UserUse("", new RowBudget(this.#rows_max));
    this.#tenants.set(tenant_id, use);
    return use;
  }
}
