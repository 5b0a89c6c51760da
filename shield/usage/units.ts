/**
 * The units in which the use of a bus is counted, and what they cost. Pure arithmetic over plain numbers: who
 * counts is a Shield, and where counts are kept is a store of blocks.
 */
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** The counts as they are kept: whole numbers that only grow within a minute, in this order. */
export const COUNTERS = [
  /** Events, signals and commands that were taken from clients and backends. */
  "messages_in",
  /** Bytes of their envelopes, as they came. */
  "bytes_in",
  /** Frames of messages, and of events of the bus, that were handed to subscribers. */
  "messages_out",
  /** Bytes of those frames. */
  "bytes_out",
  /** Those of them that are messages. */
  "deliveries",
  /** Time for which connections were open, in ms. */
  "connection_ms",
  /** Units of the policies' instructions; 500 are one fuel. */
  "fuel_units",
  /** Checks against a schema, and the steps of rules in them. */
  "schema_steps",
  /** Commands among `messages_in`. */
  "commands",
  /** Bytes of envelopes that were stored in the logs of durable rooms. */
  "log_bytes",
  /** Pages of stored messages that were read from a log, for history and streams. */
  "reads",
  /** Bytes of the answers that were made of them. */
  "read_bytes",
] as const;
/** One of the counts. */
export type Counter = (typeof COUNTERS)[number];
/** All counts of one row. */
export type Counts = Record<Counter, number>;

/** The units in which use is told and priced. */
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

/** No use at all. */
export function noCounts(): Counts {
  return {
    messages_in: 0,
    bytes_in: 0,
    messages_out: 0,
    bytes_out: 0,
    deliveries: 0,
    connection_ms: 0,
    fuel_units: 0,
    schema_steps: 0,
    commands: 0,
    log_bytes: 0,
    reads: 0,
    read_bytes: 0,
  };
}

/** Adds `more` to `counts`. */
export function addCounts(counts: Counts, more: Readonly<Counts>): void {
  for (const counter of COUNTERS) counts[counter] += more[counter];
}

/** Counts in the units in which they are told. */
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
