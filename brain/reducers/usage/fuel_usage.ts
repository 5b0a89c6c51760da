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
import { FuelLedger } from "./fuel_ledger.ts";
import { TimerBudgets } from "./timer_budgets.ts";

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
export interface FuelUsage extends Pick<FuelLedger, "used"> {
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
