/**
 * The units in which the use of a bus is counted, and what they cost. Pure arithmetic over plain numbers: who
 * counts is `counts.ts`, and where counts are kept is a store of blocks.
 */
import type { Counts } from "../records/counts.ts";

/** The units in which use is reported and priced. */
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
/** One of the units. */
export type UsageUnit = (typeof USAGE_UNITS)[number];
/** An amount of each unit. Minutes and fuel may have fractions. */
export type UsageAmounts = Record<UsageUnit, number>;
/** What one of each unit costs, in whatever currency the operator has; an absent unit costs nothing. */
export type PriceList = Readonly<Partial<Record<UsageUnit, number>>>;

const MINUTE_MS = 60_000;
/** As metering has it, which nothing shared may import; `shield/usage/usage_test.ts` holds the two to be one. */
const UNITS_PER_FUEL = 500;

/** Counts in the units in which they are reported. */
export function amountsOf({ connection_ms, fuel_units, ...same }: Readonly<Counts>): UsageAmounts {
  return {
    ...same,
    connection_minutes: connection_ms / MINUTE_MS,
    fuel: fuel_units / UNITS_PER_FUEL,
  };
}

/** What amounts cost by a price list. */
export function costOf(amounts: Readonly<UsageAmounts>, prices: PriceList): number {
  let cost = 0;
  for (const unit of USAGE_UNITS) cost += amounts[unit] * (prices[unit] ?? 0);
  return cost;
}
