/**
 * The counts of Shields while two versions of a policy judge the same messages, as a record that can be stored and
 * summed. Pure. `shield/policy/chain/comparisons.ts` counts.
 */
import { z } from "zod";

/** Samples of each kind and policy; the first ones are kept, since they led to a breach. */
export const SAMPLES_OF_KIND = 3;
const KINDS = ["refuse", "pass", "fault"] as const;
/** The longest reason of a sample, in UTF-16 units. */
export const SAMPLE_REASON_UNITS = 160;
/** Buckets per doubling of the fuel: a quantile is accurate within 5 %. */
const STEPS = 16;
/** The smallest measured fuel, in the units of `fuel_limit`: one instruction unit. */
const LEAST_FUEL = 1 / 500;
const BUCKETS_MAX = 1_024;

const Count = z.int().min(0);
const Fuel = z.array(z.tuple([Count.max(BUCKETS_MAX), Count])).max(BUCKETS_MAX);

/** A message on which new and old version differ. */
export const Sample = z.strictObject({
  /** The new version's verdict. */
  would: z.enum(KINDS),
  user: z.string().max(256),
  /** "" for a connection that begins. */
  room: z.string().max(256),
  /** The reason of the refusing version. */
  reason: z.string().max(SAMPLE_REASON_UNITS),
  /** Unix ms. */
  at_ms: Count,
});
export type Sample = z.output<typeof Sample>;

/** Two compared versions of one policy. Connections and subscriptions count as messages. */
export const PolicyTally = z.strictObject({
  name: z.string().max(64),
  /** Messages that both versions judged, or the only one. */
  compared: Count,
  /** Of these: those for which the new version was in force. */
  enforced: Count,
  /** Of these: those that only the new version refuses. */
  refused: Count,
  /** Of these: those that only the old version refuses. */
  passed: Count,
  /** Of these: those on which only the new version failed. They count as refused, too. */
  faults: Count,
  /** Pairs of a bucket of `fuelBucket` and its count. */
  fuel_old: Fuel,
  fuel_new: Fuel,
  samples: z.array(Sample).max(SAMPLES_OF_KIND * KINDS.length),
});
export type PolicyTally = z.output<typeof PolicyTally>;

/** The bucket of an amount of fuel: each bucket reaches 2^(1/16) times as far as the one before. */
export function fuelBucket(fuel: number): number {
  const units = fuel / LEAST_FUEL;
  if (!(units > 1)) return 0;
  return Math.min(BUCKETS_MAX, Math.ceil(STEPS * Math.log2(units)));
}

/** The fuel that the fraction `quantile` of the messages did not exceed, and their number. */
export function fuelAt(
  buckets: PolicyTally["fuel_new"],
  quantile: number,
): { readonly fuel: number; readonly messages: number } {
  const sorted = buckets.toSorted(([a], [b]) => a - b);
  const messages = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of sorted) {
    seen += count;
    if (seen >= quantile * messages) return { fuel: LEAST_FUEL * 2 ** (bucket / STEPS), messages };
  }
  return { fuel: 0, messages };
}

function summedFuel(all: readonly PolicyTally["fuel_new"][]): [number, number][] {
  const sums = new Map<number, number>();
  for (const [bucket, count] of all.flat()) sums.set(bucket, (sums.get(bucket) ?? 0) + count);
  return [...sums].sort(([a], [b]) => a - b);
}

/** The sum of the Shields' counts, by policy and sorted by name. */
export function summed(all: readonly (readonly PolicyTally[])[]): PolicyTally[] {
  const tallies = all.flat();
  const names = [...new Set(tallies.map(({ name }) => name))].sort();
  return names.map((name) => {
    const own = tallies.filter((tally) => tally.name === name);
    const sum = (member: "compared" | "enforced" | "refused" | "passed" | "faults") =>
      own.reduce((total, tally) => total + tally[member], 0);
    const samples = own.flatMap((tally) => tally.samples).sort((a, b) => a.at_ms - b.at_ms);
    return {
      name,
      compared: sum("compared"),
      enforced: sum("enforced"),
      refused: sum("refused"),
      passed: sum("passed"),
      faults: sum("faults"),
      fuel_old: summedFuel(own.map(({ fuel_old }) => fuel_old)),
      fuel_new: summedFuel(own.map(({ fuel_new }) => fuel_new)),
      samples: KINDS.flatMap((kind) =>
        samples.filter(({ would }) => would === kind).slice(0, SAMPLES_OF_KIND)
      ),
    };
  });
}
