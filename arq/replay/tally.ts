/** The counts of a replay: plain data that threads send, and their sum. Decides nothing. Pure. */
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { Decision } from "./recorded_call.ts";

/** A number of calls, or a share of them. */
export type CallBound = { readonly count: number } | { readonly share: number };

/** The units of many calls, as plain data that threads can send. */
type FuelHistogram = ReturnType<typeof emptyHistogram>;

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
export function emptyHistogram() {
  return {
    calls: 0,
    sum_units: 0,
    most_units: 0,
    /** The number of calls by bucket; a bucket holds `STEPS` for each power of two. */
    buckets: new Map<number, number>(),
  };
}

/** Counts one call. */
export function addUnits(histogram: FuelHistogram, units: number): void {
  const bucket = Math.floor(Math.log2(units + 1) * STEPS);
  histogram.calls++;
  histogram.sum_units += units;
  if (units > histogram.most_units) histogram.most_units = units;
  add(histogram.buckets, bucket, 1);
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

/** One decision, as shown. */
export interface Sample {
  readonly id: string;
  /** Unix ms. */
  readonly time_ms: number;
  readonly room: string;
  readonly message_id: string | null;
  readonly offset: number | null;
  /** The user; null after an erasure. */
  readonly user: string | null;
  readonly recorded: Decision;
  readonly repeated: Decision;
  /** The differences, as `verdict, fuel`. */
  readonly differs: string;
  readonly units: readonly [recorded: number, repeated: number];
  /** The beginning of the payload, as text; null: not text or unknown. */
  readonly payload: string | null;
  /** Whether it is in the warm-up, when recorded and new state still mix. */
  readonly is_warm_up: boolean;
}

/** The kinds of the new module's decisions that are shown. */
export type FlipKind = "to_refused" | "to_allowed" | "changed";

/** Counts by name: a map, since a user may be called `constructor` or `__proto__`. */
export type Counts = Map<string, number>;

/** All counts of a replay. */
export type Tally = ReturnType<typeof emptyTally>;

/** Most samples of a kind. */
export const SAMPLES = 10;

/** The counts about the recorded modules. */
const emptyRecorded = () => ({
  repeated: 0,
  same: 0,
  /** Differences by kind. */
  different: new Map() as Counts,
  /** Calls of modules that may keep memory, and that differ in fuel only. */
  stateful_fuel: 0,
  /** Calls that another version of the metering transform counted. */
  fuel_not_compared: 0,
  /** Calls that a module did not decide, by fault. */
  not_run: new Map() as Counts,
  /** Calls of modules whose bytes nobody has, by SHA-256. */
  no_module: new Map() as Counts,
  /** Calls without an input that the module reads, by input. */
  unknown: new Map() as Counts,
  samples: [] as Sample[],
});

/** The counts about the new module on the same calls. */
const emptyCandidate = () => ({
  repeated: 0,
  /** Calls that it cannot judge, since an input is unknown. */
  not_judged: 0,
  to_refused: 0,
  to_allowed: 0,
  /** The same verdict with another code, reason or headers. */
  changed: 0,
  /** Flips within the warm-up of state; they are counted above, too. */
  warm_up: 0,
  /** Calls of hooks that the module does not have. */
  no_hook: 0,
  /** Its faults by name; each is a refusal. */
  faults: new Map() as Counts,
  /** Unknown inputs; a call may lack several. */
  unknown: new Map() as Counts,
  not_run: new Map() as Counts,
  /** Fuel of the calls that both modules made. */
  recorded_fuel: emptyHistogram(),
  fuel: emptyHistogram(),
  samples: { to_refused: [], to_allowed: [], changed: [] } as Record<FlipKind, Sample[]>,
});

/** An empty tally. */
export function emptyTally() {
  return {
    lines: 0,
    bad_lines: 0,
    answers: { open: 0, whole: 0 },
    /** The first line that does not belong to a journal. */
    first_bad: null as { readonly line: number; readonly problem: string } | null,
    holes: 0,
    missing: 0,
    unknown_holes: 0,
    hole_reasons: new Map() as Counts,
    /** Records outside of the requested room or window. */
    outside: 0,
    /** Records for which the policy was not called. */
    without_policy: 0,
    /** Records that name other policies, by name. */
    other_policies: new Map() as Counts,
    decisions: 0,
    /** Unix ms of the first and last call. */
    first_ms: Infinity,
    last_ms: -Infinity,
    recorded: emptyRecorded(),
    candidate: emptyCandidate(),
  };
}

function add<Name>(counts: Map<Name, number>, name: Name, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

/** The most names of a count: modules choose some, such as a header that they ask for. */
const NAMES_MAX = 1_000;
/** Names beyond that limit, or that of `countWithin`. */
export const OTHERS = "(others)";

/** Counts one of `name`. */
export function countOf(counts: Counts, name: string, by = 1): void {
  countWithin(NAMES_MAX, counts, name, by);
}

/** Counts one of `name`, or of `OTHERS` for a new name when there are already that many. */
export function countWithin(most: number, counts: Counts, name: string, by = 1): void {
  add(counts, counts.has(name) || counts.size < most ? name : OTHERS, by);
}

/** The sum of all counts. */
export function sumOf(counts: Counts): number {
  return counts.values().reduce((sum, one) => sum + one, 0);
}

/** Adds counts by name, also nested ones, up to `most` names each; the caller merges lists and times. */
export function addCounts(to: object, from: object, most = NAMES_MAX): void {
  const sums = to as Record<string, unknown>;
  for (const [name, value] of Object.entries(from)) {
    const sum = sums[name];
    if (name === "most_units") sums[name] = Math.max(sum as number, value);
    else if (typeof value === "number") sums[name] = (sum as number) + value;
    else if (sum instanceof Map) {
      for (const [one, by] of value) {
        if (typeof one === "number") add(sum, one, by);
        else countWithin(most, sum, one, by);
      }
    } else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      addCounts(sum as object, value, most);
    }
  }
}

/** A tally with its counts as objects. */
type Plain<T> = T extends Counts ? Record<string, number>
  : T extends readonly unknown[] ? T
  : T extends object ? { [Name in keyof T]: Plain<T[Name]> }
  : T;

/** A tally as JSON and pages have it: an entry of an object may have any name. */
export function plain<T>(tally: T): Plain<T> {
  if (typeof tally !== "object" || tally === null || Array.isArray(tally)) return tally as Plain<T>;
  if (tally instanceof Map) return Object.fromEntries(tally) as Plain<T>;
  return Object.fromEntries(
    Object.entries(tally).map(([name, value]) => [name, plain(value)]),
  ) as Plain<T>;
}

/** Adds samples and keeps the earliest ones. */
function addSamples(samples: Sample[], other: readonly Sample[]): void {
  samples.push(...other);
  samples.sort((one, another) => one.time_ms - another.time_ms);
  samples.splice(SAMPLES);
}

/** Adds the counts of another thread. */
export function addTally(to: Tally, from: Tally): void {
  const first_ms = Math.min(to.first_ms, from.first_ms);
  const last_ms = Math.max(to.last_ms, from.last_ms);
  const { first_bad, ...counts } = from;
  addCounts(to, counts);
  Object.assign(to, { first_ms, last_ms });
  if (first_bad !== null && first_bad.line < (to.first_bad?.line ?? Infinity)) {
    to.first_bad = first_bad;
  }
  addSamples(to.recorded.samples, from.recorded.samples);
  for (const kind of ["to_refused", "to_allowed", "changed"] as const) {
    addSamples(to.candidate.samples[kind], from.candidate.samples[kind]);
  }
}
