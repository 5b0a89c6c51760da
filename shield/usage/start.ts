/** Assembles the usage ledger of one Shield: counting, writing, and its admin API. */
import type { Env } from "../../shared/env.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { Gauge, type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { Identity } from "../auth/identity.ts";
import type { PolicyOutcome } from "../../shared/records/verdict.ts";
import type { OwnLife } from "../../shared/lives/own_life.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { UsageFolder } from "./folder.ts";
import { UsageLedger } from "./ledger.ts";
import { UsageStores } from "../../shared/usage/usage_stores.ts";
import type { Settings } from "../settings/settings.ts";
import type { Quota } from "../message/gates.ts";
import type { Observer } from "../message/observers.ts";
import { Budgets } from "./budgets.ts";
import { BudgetNotices, type Happened } from "./budget_notices.ts";
import { TenantUsed } from "../../shared/usage/budget_used.ts";
import { pricesAt } from "../../shared/usage/price_book.ts";
import { Prices } from "../../shared/usage/prices.ts";
import type { ReadMeter } from "../message/logs.ts";
import { registerTenantUse, TenantSums } from "./tenant_metrics.ts";
import { UsageWriter } from "../../shared/usage/writer.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { KvChange, KvWatch } from "../../shared/spine/contract/spine.ts";
import { EXHAUSTED_MARKS, untilOf } from "../../shared/usage/budget.ts";

interface UsageStart
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "usage">;
  readonly classes: Pick<RoomClasses, "of">;
  /** The settings of tenants, which must be ready: budgets are among them. */
  readonly settings: Settings;
  readonly life: OwnLife;
  /** The same by the clock of the bus: a wrong clock of one Shield moves no use into another day of a budget. */
  readonly storeNow: () => number;
}

/** A running usage ledger. */
export interface StartedUsage {
  readonly ledger: UsageLedger;
  readonly observer: Observer;
  /** Counts the fuel of policies; `room_id` is "" outside of rooms. */
  readonly onUsed: (
    identity: Identity,
    room_id: string,
    outcomes: readonly PolicyOutcome[],
  ) => void;
  /** Counts reads of stored messages. */
  readonly reads: ReadMeter;
  readonly admin: {
    readonly place: UsageStores;
    readonly prices: Prices;
    readonly node_id: string;
    readonly log: Logger;
    readonly now: () => number;
    readonly budgets: Budgets;
    readonly settings: Settings;
  };
  /** Adds budgets in front of the quotas. */
  gate(quota: Quota | undefined): Quota;
  /** Sets the audit log for exhausted budgets. */
  audit(happened: Happened | undefined): void;
  /** Sets the store for hooks of tenants that have some. */
  store: BudgetNotices["store"];
  renew(): void;
  /** Puts the prices of the current configuration into the bus's book. */
  reprice(): void;
  /**
   * Starts to write, once the Shield will certainly serve. Resolves when its incarnation is recorded, or cannot be
   * recorded.
   */
  begin(): Promise<void>;
  /** Writes the rest, then ends. Never rejects. */
  close(): Promise<void>;
}

const DAY_SECONDS = 86_400;
/** How long closing waits for its store, in ms: reconnects are short, and a drain has other steps. */
const CLOSE_MS = 2_000;

/** Starts it; undefined if usage is disabled. */
export function startUsage(start: UsageStart): StartedUsage | undefined {
  const { config: { usage }, node_id, life, monotonic_ms, registry, classes } = start;
  if (!usage.enabled) return undefined;
  const { now, storeNow, settings } = start;
  const log = start.log.child({ part: "usage" });
  const sums = new TenantSums(usage.metric_tenants);
  const counting = { user_claim: usage.user_claim, rows_max: usage.rows, monotonic_ms };
  const ledger = new UsageLedger(counting, (rows) => sums.add(rows));
  const { tenant_bytes } = usage;
  const place = new UsageStores({ ...start, lives: life.lives, own: life });
  const writer = new UsageWriter({
    ledger,
    place,
    node_id,
    life,
    flush_ms: usage.flush_ms,
    retention_seconds: usage.retention_days * DAY_SECONDS,
    tenant_bytes,
    queue_bytes: usage.queue_bytes,
    log,
    now: storeNow,
    monotonic_ms,
  });
  registerWriter(registry, writer, ledger);
  const folder = new UsageFolder({ place, node_id, tenant_bytes, log, now });
  registerFolder(registry, folder);
  const prices = new Prices({ config: usage, place, log, now });
  registerTenantUse(registry, ledger, sums, () => pricesAt(prices.book, storeNow()));
  const elsewhere = new BrainTenants({ place, now: storeNow, monotonic_ms });
  const active = () => new Set([...ledger.tenantIds(), ...elsewhere.active()]);
  const [budgets, teller] = startBudgets(start, place, active, prices, log);
  const stop = settings.deletions.onDeleted((tenant_id) => void writer.forget(tenant_id));
  const admin = { place, prices, node_id, log, now, budgets, settings };
  const onUsed: StartedUsage["onUsed"] = (identity, room_id, outcomes) => {
    const { tenant_id } = identity;
    const pattern = room_id === "" ? undefined : classes.of(tenant_id, room_id).pattern;
    ledger.judged(identity, pattern, outcomes);
  };
  return {
    ledger,
    observer: countingObserver(ledger, classes),
    onUsed,
    reads: readMeter(ledger, budgets),
    admin,
    gate: (quota) => ({
      take(tenant_id, size_bytes) {
        budgets.take(tenant_id);
        quota?.take(tenant_id, size_bytes);
      },
    }),
    renew: () => budgets.renew(),
    reprice() {
      prices.renew();
      budgets.renew();
    },
    audit: (happened) => teller.audit(happened),
    store: (stored, isWanted) => teller.store(stored, isWanted),
    async begin() {
      writer.start();
      folder.start();
      // If the store is unreachable, the next reader of prices adds them.
      await Promise.all([life.idle(), prices.read().catch(() => {})]);
    },
    async close() {
      stop();
      await Promise.all([budgets.close(), elsewhere.close()]);
      await Promise.all([folder.close(), writer.close(CLOSE_MS)]);
    },
  };
}

function countingObserver(ledger: UsageLedger, classes: UsageStart["classes"]): Observer {
  return {
    checked({ identity }, { room_id }, steps) {
      ledger.checked(identity, classes.of(identity.tenant_id, room_id).pattern, steps);
    },
    passed({ caller, envelope, room_class, routed, stored }) {
      const stored_bytes = stored === undefined || stored.duplicate ? 0 : routed.length;
      ledger.taken(caller.identity, room_class.pattern, envelope.size_bytes, stored_bytes);
    },
    answered({ identity }, { size_bytes }, { pattern }) {
      ledger.commanded(identity, pattern, size_bytes);
    },
    entered: ({ use }) => use && ledger.connected(use, 1),
    ended: ({ use }) => use && ledger.connected(use, -1),
  };
}

function registerWriter(registry: Registry, writer: UsageWriter, ledger: UsageLedger): void {
  scraped(registry, {
    "shield_usage_minutes_total": [
      "Minutes of tenants' usage that were stored.",
      () => writer.totals.stored,
    ],
    "shield_usage_lost_minutes_total": [
      "Minutes of tenants' usage that were lost: too many waited, or their store refused them.",
      () => writer.totals.lost,
    ],
    "shield_usage_uncounted_total": [
      "Number of times that usage was not counted because there are too many tenants.",
      () => ledger.uncounted,
    ],
    "shield_usage_waiting_bytes": [
      "Bytes of usage minutes that wait for their store.",
      () => writer.waiting_bytes,
    ],
  });
  new Gauge({
    name: "shield_usage_ledger_used_ratio",
    help:
      "Used part of the bytes of the usage ledger: of all tenants together, and of the fullest tenant.",
    labelNames: ["of"],
    registers: [registry],
    collect() {
      const { all, tenant } = writer.fill.ratios;
      this.set({ of: "all" }, all);
      this.set({ of: "tenant" }, tenant);
    },
  });
}

function registerFolder(registry: Registry, folder: UsageFolder): void {
  scraped(registry, {
    "shield_usage_folded_blocks_total": [
      "Blocks of usage that were folded into hours and days.",
      () => folder.totals.blocks,
    ],
    "shield_usage_fold_failures_total": [
      "Failed folds of usage; they are retried.",
      () => folder.totals.failed,
    ],
    "shield_usage_fold_waiting": ["Tenants whose usage waits to be folded.", () => folder.waiting],
  });
}

function startBudgets(
  { config: { usage }, settings, node_id, registry, storeNow }: UsageStart,
  place: UsageStores,
  active: () => Iterable<string>,
  prices: Prices,
  log: Logger,
): [Budgets, BudgetNotices] {
  const teller = new BudgetNotices({ place, node_id, log });
  const budgets = new Budgets({
    config: usage,
    prices,
    settings,
    active,
    usedOf: (tenant_id) => new TenantUsed(tenant_id, place),
    tell: (tenant_id, exhausted) => teller.tell(tenant_id, exhausted),
    log,
    now: storeNow,
  });
  registerBudgets(registry, budgets, teller, usage.metric_tenants);
  budgets.start();
  return [budgets, teller];
}

function readMeter(ledger: Pick<UsageLedger, "read">, budgets: Pick<Budgets, "take">): ReadMeter {
  return {
    page(identity, pattern, is_begun) {
      budgets.take(identity.tenant_id, is_begun);
      ledger.read(identity, pattern, 1, 0);
    },
    give: (identity, pattern, size_bytes) => ledger.read(identity, pattern, 0, size_bytes),
  };
}

// The metrics of budgets: their usage, and refusals.

/** Registers them. Tenants beyond `tenants_max` have no series. */
function registerBudgets(
  registry: Registry,
  budgets: Budgets,
  { reported }: BudgetNotices,
  tenants_max: number,
): void {
  scraped(registry, {
    "shield_usage_budget_refusals_total": [
      "Messages and commands that a budget slowed, or refused until its period ends.",
      "action",
      () => budgets.refusals,
    ],
    "shield_usage_budget_exhausted_total": [
      "Exhausted budgets of tenants. One Shield reports each once per period.",
      "action",
      () => reported,
    ],
  });
  new Gauge({
    name: "shield_usage_budget_used_ratio",
    help: "Used part of a tenant's budget at the last reading here; 1: all of it.",
    labelNames: ["tenant", "per", "unit", "action"],
    registers: [registry],
    collect() {
      this.reset();
      let left = tenants_max;
      for (const [tenant, states] of budgets.known()) {
        if (states.length > 0 && left-- <= 0) break;
        for (const { budget: { per, unit, action, limit }, used } of states) {
          this.set({ tenant, per, unit, action }, limit === 0 ? 1 : used / limit);
        }
      }
    },
  });
}

// Tenants with budgets that a Brain found exhausted. A Shield reads them even without clients of theirs, and reports
// them (`budget_notices.ts`).

/** How long a tenant is read after a Brain's report, in ms: each reading retries failures. */
const READ_MS = 180_000;
/** The most remembered tenants. Beyond that, the oldest are only read on Shields where they use something. */
const TENANTS_MAX = 10_000;

/** The dependencies and settings of `BrainTenants`. */
interface BrainTenantsOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly place: Pick<UsageStores, "running">;
}

/** The reports that one Shield has received from Brains. */
class BrainTenants {
  readonly #options: BrainTenantsOptions;
  /** The time of each report, monotonic ms. */
  readonly #renewed = new BoundedMap<string, number>(TENANTS_MAX);
  #watching: Promise<KvWatch | undefined> | undefined;
  #closed = false;

  constructor(options: BrainTenantsOptions) {
    this.#options = options;
  }

  /** The tenants to read now. Starts to watch; a bucket that cannot be opened is retried at the next reading. */
  active(): Iterable<string> {
    if (!this.#closed) this.#watching ??= this.#watch();
    const since_ms = this.#options.monotonic_ms() - READ_MS;
    for (const [tenant_id, renewed_ms] of this.#renewed) {
      // The oldest come first.
      if (renewed_ms > since_ms) break;
      this.#renewed.delete(tenant_id);
    }
    return this.#renewed.keys();
  }

  async close(): Promise<void> {
    this.#closed = true;
    (await this.#watching)?.stop();
  }

  /** Never rejects. */
  async #watch(): Promise<KvWatch | undefined> {
    const again = () => void (this.#watching = undefined);
    try {
      const bucket = await this.#options.place.running();
      const watch = bucket.watch([EXHAUSTED_MARKS], (change) => this.#receive(change));
      watch.ready.catch(again);
      return watch;
    } catch {
      // Reading the budgets, which needs the same bucket, reports it.
      again();
      return undefined;
    }
  }

  #receive({ key: [, tenant_id = ""], value }: KvChange): void {
    if (value === undefined) return;
    const { now, monotonic_ms } = this.#options;
    if (untilOf(value) > now()) this.#renewed.renew(tenant_id, monotonic_ms());
  }
}
