/**
 * How much fuel many calls took: their sum, the largest, and percentiles to within one percent. Histograms
 * of several threads add up. Pure.
 */
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** The units of many calls. It is plain data, so threads can send it. */
export interface FuelHistogram {
  calls: number;
  sum_units: number;
  most_units: number;
  /** The number of calls by bucket; a bucket holds `STEPS` for each power of two. */
  readonly buckets: Map<number, number>;
}

/** Figures in fuel, the unit of `fuel_limit`. */
export interface FuelFigures {
  readonly calls: number;
  readonly sum: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Buckets for each power of two: a bucket is at most 0.8 % wide. */
const STEPS = 128;

/** A histogram of no calls. */
export function emptyHistogram(): FuelHistogram {
  return { calls: 0, sum_units: 0, most_units: 0, buckets: new Map() };
}

/** Counts one call. */
export function addUnits(histogram: FuelHistogram, units: number): void {
  const bucket = Math.floor(Math.log2(units + 1) * STEPS);
  histogram.calls++;
  histogram.sum_units += units;
  if (units > histogram.most_units) histogram.most_units = units;
  histogram.buckets.set(bucket, (histogram.buckets.get(bucket) ?? 0) + 1);
}

/** Adds the calls of `other`. */
export function addHistogram(histogram: FuelHistogram, other: FuelHistogram): void {
  histogram.calls += other.calls;
  histogram.sum_units += other.sum_units;
  histogram.most_units = Math.max(histogram.most_units, other.most_units);
  for (const [bucket, calls] of other.buckets) {
    histogram.buckets.set(bucket, (histogram.buckets.get(bucket) ?? 0) + calls);
  }
}

function unitsAt({ calls, most_units, buckets }: FuelHistogram, share: number): number {
  let left = Math.max(1, Math.ceil(calls * share));
  for (const [bucket, count] of [...buckets].sort(([one], [other]) => one - other)) {
    left -= count;
    if (left <= 0) return Math.min(most_units, Math.round(2 ** ((bucket + 0.5) / STEPS) - 1));
  }
  return most_units;
}

/** The figures of a histogram; all are 0 without calls. */
export function fuelFigures(histogram: FuelHistogram): FuelFigures {
  const fuel = (units: number) => Number((units / UNITS_PER_FUEL).toPrecision(4));
  return {
    calls: histogram.calls,
    sum: Math.round(histogram.sum_units / UNITS_PER_FUEL),
    p50: fuel(unitsAt(histogram, 0.5)),
    p99: fuel(unitsAt(histogram, 0.99)),
    max: fuel(histogram.most_units),
  };
}
