/**
 * The units of a bus's usage, and their prices. Pure arithmetic: `counts.ts` counts, a store of blocks keeps the
 * counts.
 */
import type { Counts } from "../records/counts.ts";

/** The units that are reported and priced. */
export const USAGE_UNITS = [
  "messages_in",
  "bytes_in",
  "messages_out",
  "bytes_out",
  "deliveries",
  "connection_minutes",
  "fuel",
  "schema_steps",
  "commands",
  "log_bytes",
  "reads",
  "read_bytes",
] as const;

/** A unit of `USAGE_UNITS`. */
export type UsageUnit = (typeof USAGE_UNITS)[number];
/** An amount of each unit. Minutes and fuel may have fractions. */
export type UsageAmounts = Record<UsageUnit, number>;
/** The price of one of each unit, in the operator's currency; an absent unit is free. */
export type PriceList = Readonly<Partial<Record<UsageUnit, number>>>;

const MINUTE_MS = 60_000;
/** The same as in metering, which nothing shared may import; `shield/usage/usage_test.ts` compares the two. */
const UNITS_PER_FUEL = 500;

/** Counts in the reported units. */
export function amountsOf({ connection_ms, fuel_units, ...same }: Readonly<Counts>): UsageAmounts {
  return {
    ...same,
    connection_minutes: connection_ms / MINUTE_MS,
    fuel: fuel_units / UNITS_PER_FUEL,
  };
}

/** The price of amounts. */
export function costOf(amounts: Readonly<UsageAmounts>, prices: PriceList): number {
  let cost = 0;
  for (const unit of USAGE_UNITS) cost += amounts[unit] * (prices[unit] ?? 0);
  return cost;
}
