/**
 * Conditions that end a rollout: "refused>0.1%", "fuel_p99>2x". Pure: reads them, and holds what Shields have
 * counted against them. What is done about a breach is `decision.ts`.
 */
import { fuelAt } from "./tally.ts";
import type { PolicyTally, Sample } from "./tally.ts";

/** What is counted in messages: about one message in which new and old differ. */
const COUNTS = ["refused", "passed", "faults"] as const;
/** What is measured in fuel: the quantile of each, 1 is the most. */
const QUANTILES = { fuel_p50: 0.5, fuel_p99: 0.99, fuel_max: 1 } as const;
/** Every metric of a condition. */
export const METRICS: readonly Metric[] = [...COUNTS, "fuel_p50", "fuel_p99", "fuel_max"];
/** The fewest messages that a share is of: one bad message of five is not 20 % of the traffic. */
const SHARE_OF_AT_LEAST = 100;
/** The most conditions of one rollout. */
export const CONDITIONS_MAX = 16;

type Count = typeof COUNTS[number];
/** What a condition is about. */
export type Metric = Count | keyof typeof QUANTILES;

/** One condition, read. */
export interface Condition {
  /** As it was given, without blanks. */
  readonly text: string;
  readonly metric: Metric;
  /** Whether the bound itself is a breach. */
  readonly is_from: boolean;
  readonly bound: number;
  /** `%` of the messages, `x` times the old version's; "" messages, or units of fuel. */
  readonly unit: "%" | "x" | "";
}

/** A condition that is not held. */
export interface Breach {
  readonly condition: string;
  readonly policy: string;
  /** What was counted, in words. */
  readonly found: string;
  readonly samples: readonly Sample[];
}

const FORM = /^([a-z][a-z_0-9]*)(>=?)(\d{1,12}(?:\.\d{1,6})?)(%|x|)$/;
const RIGHT = 'as in "refused>0.1%" or "fuel_p99>2x"';

const isCount = (metric: string): metric is Count => COUNTS.some((one) => one === metric);
const isMetric = (name: string): name is Metric => METRICS.some((one) => one === name);

/** Reads a condition; a text that is none is a `problem` that says what is right. */
export function readCondition(given: string): Condition | { readonly problem: string } {
  const text = given.replaceAll(/\s/g, "");
  const problem = (what: string) => ({ problem: `${JSON.stringify(given)}: ${what}` });
  const parts = FORM.exec(text);
  if (parts === null) {
    return problem(`expected a metric, > or >=, and a number with % or x or nothing, ${RIGHT}`);
  }
  const [, name = "", sign, digits, unit = ""] = parts;
  if (!isMetric(name)) return problem(`unknown metric; expected one of ${METRICS.join(", ")}`);
  if (unit === "x" && isCount(name)) {
    return problem(`${name} is counted in messages; expected % of them, or a number, ${RIGHT}`);
  }
  if (unit === "%" && !isCount(name)) {
    return problem(`${name} is fuel; expected x times the old version's, or units, ${RIGHT}`);
  }
  const bound = Number(digits);
  if (unit === "%" && bound > 100) return problem("expected at most 100%");
  return { text, metric: name, is_from: sign === ">=", bound, unit: unit as Condition["unit"] };
}

function countBreach({ metric, unit }: Condition, tally: PolicyTally) {
  const found = tally[metric as Count];
  const { compared } = tally;
  const words = `${found} of ${compared} messages`;
  if (unit === "") return { found, words };
  return { found: 100 * found / Math.max(compared, SHARE_OF_AT_LEAST), words };
}

function fuelBreach({ metric, unit }: Condition, { fuel_old, fuel_new }: PolicyTally) {
  const quantile = QUANTILES[metric as keyof typeof QUANTILES];
  const enough = (of: number) => of >= SHARE_OF_AT_LEAST;
  const after = fuelAt(fuel_new, quantile);
  if (!enough(after.messages)) return undefined;
  if (unit === "") return { found: after.fuel, words: `${after.fuel.toFixed(2)} units` };
  const before = fuelAt(fuel_old, quantile);
  // A policy that is new has nothing to be held against.
  if (!enough(before.messages) || before.fuel === 0) return undefined;
  const found = after.fuel / before.fuel;
  const words = `${after.fuel.toFixed(2)} units, before ${before.fuel.toFixed(2)}`;
  return { found, words: `${found.toFixed(2)}x: ${words}` };
}

function breachOf(condition: Condition, tally: PolicyTally): Breach | undefined {
  const { metric, bound, is_from, text } = condition;
  const held = isCount(metric) ? countBreach(condition, tally) : fuelBreach(condition, tally);
  if (held === undefined) return undefined;
  const { found, words } = held;
  const is_breach = is_from ? found >= bound : found > bound;
  // Nothing refused is no breach of ">=0".
  if (!is_breach || found === 0) return undefined;
  const kind = { refused: "refuse", passed: "pass", faults: "fault" } as Record<string, string>;
  const samples = tally.samples.filter(({ would }) =>
    !isCount(metric) || would === kind[metric] || (metric === "refused" && would === "fault")
  );
  return { condition: text, policy: tally.name, found: words, samples };
}

/** The first condition that a policy does not hold; undefined: all hold. */
export function firstBreach(
  conditions: readonly Condition[],
  tallies: readonly PolicyTally[],
): Breach | undefined {
  for (const condition of conditions) {
    for (const tally of tallies) {
      const breach = breachOf(condition, tally);
      if (breach !== undefined) return breach;
    }
  }
  return undefined;
}
