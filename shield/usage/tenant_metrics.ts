/**
 * Each tenant's usage of this Shield since its start, as metrics. Later tenants beyond a limit are summed as one. The
 * bill comes from the ledger, not from these.
 */
import type { Registry } from "../../shared/metrics/metrics.ts";
import { scrapedCounters } from "../../shared/metrics/metrics_plain.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import type { TenantRows } from "../../shared/usage/minute.ts";
import type { UsageLedger } from "./ledger.ts";
import { addCounts, type Counts, noCounts } from "../../shared/records/counts.ts";
import { amountsOf, costOf, type PriceList, type UsageAmounts } from "../../shared/usage/units.ts";
import { OTHERS } from "../../shared/records/user_use.ts";

const SECONDS = 60;
/** Rows that are added up in one piece, some 0.3 µs each. */
const ROWS_A_PIECE = 1_024;
/** Readings of one scrape that the end of a minute may undo. */
const TRIES = 3;

/** Usage of tenants in finished minutes. */
export class TenantSums {
  readonly #tenants_max: number;
  readonly #sums = new Map<string, Counts>();
  /** Tenants' finished minutes so far. */
  #added = 0;

  constructor(tenants_max: number) {
    this.#tenants_max = tenants_max;
  }

  add({ tenant_id, rows }: TenantRows): void {
    this.#added++;
    const sum = this.#sum(tenant_id);
    for (const { counts } of rows) addCounts(sum, counts);
  }

  /** All usage by tenant, including running minutes, which `running` computes at each call. Read in slices. */
  async with(running: () => Iterable<TenantRows>): Promise<ReadonlyMap<string, Readonly<Counts>>> {
    for (let tries = 1;; tries++) {
      const all = new Map<string, Counts>();
      const before = this.#added;
      const steps = this.#summing(running(), all);
      // A busy end of a minute may take as long as a reading: in the end it is read in one go.
      await inPieces(STRANGERS, steps, tries < TRIES ? ROWS_A_PIECE : Infinity);
      // Rows of a minute that has ended meanwhile may be in both.
      if (this.#added === before) return this.#withSums(all);
    }
  }

  *#summing(running: Iterable<TenantRows>, all: Map<string, Counts>): Generator<void> {
    for (const { tenant_id, rows } of running) {
      // A tenant with usage in the running minute has a series, and keeps it.
      const name = this.#nameOf(tenant_id);
      this.#sum(tenant_id);
      const sum = all.getOrInsertComputed(name, noCounts);
      for (const { counts } of rows) yield addCounts(sum, counts);
    }
  }

  #withSums(all: Map<string, Counts>): ReadonlyMap<string, Readonly<Counts>> {
    for (const [name, counts] of this.#sums) {
      const sum = all.getOrInsertComputed(name, noCounts);
      addCounts(sum, counts);
    }
    return all;
  }

  #nameOf(tenant_id: string): string {
    const is_named = this.#sums.has(tenant_id) || this.#named < this.#tenants_max;
    return is_named ? tenant_id : OTHERS;
  }

  get #named(): number {
    return this.#sums.size - (this.#sums.has(OTHERS) ? 1 : 0);
  }

  #sum(tenant_id: string): Counts {
    const name = this.#nameOf(tenant_id);
    return this.#sums.getOrInsertComputed(name, noCounts);
  }
}

type Read = (amounts: UsageAmounts) => number;

/** The metrics: names after `shield_usage_`, help texts, and amounts. */
const FAMILIES: readonly (readonly [name: string, help: string, read: Read])[] = [
  ["messages_in_total", "Accepted messages and commands.", (used) => used.messages_in],
  ["in_bytes_total", "Bytes of accepted messages and commands.", (used) => used.bytes_in],
  ["messages_out_total", "Frames sent to subscribers.", (used) => used.messages_out],
  ["out_bytes_total", "Bytes of frames sent to subscribers.", (used) => used.bytes_out],
  ["deliveries_total", "Messages sent to subscribers.", (used) => used.deliveries],
  [
    "connection_seconds_total",
    "Time with open connections.",
    (used) => used.connection_minutes * SECONDS,
  ],
  ["fuel_total", "Fuel of policies; one unit is 500 instructions.", (used) => used.fuel],
  ["schema_steps_total", "Checks against schemas and steps of rules.", (used) => used.schema_steps],
  ["commands_total", "Commands answered.", (used) => used.commands],
  ["log_bytes_total", "Bytes stored in logs of durable rooms.", (used) => used.log_bytes],
  [
    "reads_total",
    "Pages of stored messages that were read for history and streams.",
    (used) => used.reads,
  ],
  ["read_bytes_total", "Bytes of answers from those pages.", (used) => used.read_bytes],
];

/** Registers them, each with the label `tenant`; a scrape reads all at the same time. */
export function registerTenantUse(
  registry: Registry,
  ledger: UsageLedger,
  sums: TenantSums,
  prices: () => PriceList,
): void {
  const read = async () => {
    const used = await sums.with(() => ledger.take(false));
    return [...used].map(([tenant, counts]) => [tenant, amountsOf(counts)] as const);
  };
  let reading:
    | { readonly amounts: ReturnType<typeof read>; readonly given: Set<string> }
    | undefined;
  // The families of a scrape share one reading: each takes it once.
  const all = (family: string) => {
    if (reading === undefined || reading.given.has(family)) {
      reading = { amounts: read(), given: new Set() };
    }
    reading.given.add(family);
    return reading.amounts;
  };
  const cost: Read = (amounts) => costOf(amounts, prices());
  const families = [...FAMILIES, ["cost_total", "Cost by the price list.", cost] as const];
  for (const [name, help, value] of families) {
    scrapedCounters(
      registry,
      `shield_usage_${name}`,
      `By tenant since the start: ${help}`,
      ["tenant"],
      async () => {
        const amounts = await all(name);
        return amounts.map(([tenant, used]) => [{ tenant }, value(used)] as const);
      },
    );
  }
}
