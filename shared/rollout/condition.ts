/**
 * Conditions that end a rollout: "refused>0.1%", "fuel_p99>2x". Pure, and without packages, since `arq` parses them
 * before anything else is loaded. `breach.ts` evaluates them.
 */
/** Metrics counted in messages: those on which new and old version differ. */
const COUNTS = ["refused", "passed", "faults"] as const;
/** Metrics of fuel: the quantile of each; 1 is the maximum. */
export const QUANTILES = { fuel_p50: 0.5, fuel_p99: 0.99, fuel_max: 1 } as const;

/** Every metric of a condition, counted and measured. */
export const METRICS: readonly Metric[] = [...COUNTS, "fuel_p50", "fuel_p99", "fuel_max"];
/** The most conditions of one rollout. */
export const CONDITIONS_MAX = 16;

/** Holds unless a condition of the rollout is about faults: a version that fails is not what anybody wants. */
const DEFAULT = "faults>1%";

/** A metric counted in messages. */
export type Count = typeof COUNTS[number];

type Metric = Count | keyof typeof QUANTILES;

/** A parsed condition. */
export interface Condition {
  /** Its text without blanks. */
  readonly text: string;
  readonly metric: Metric;
  /** Whether the bound itself is a breach. */
  readonly is_from: boolean;
  readonly bound: number;
  /** `%` of the messages, `x` times the old version's; "" messages, or units of fuel. */
  readonly unit: "%" | "x" | "";
}

const FORM = /^([a-z][a-z_0-9]*)(>=?)(\d{1,12}(?:\.\d{1,6})?)(%|x|)$/;
const RIGHT = 'as in "refused>0.1%" or "fuel_p99>2x"';

/** Whether a metric is counted in messages. */
export const isCount = (metric: string): metric is Count => COUNTS.some((one) => one === metric);
const isMetric = (name: string): name is Metric => METRICS.some((one) => one === name);

/** Parses a condition; for an invalid text, `problem` says what would be right. */
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

/** The conditions of a rollout with these. */
export function withDefault(given: readonly string[]): string[] {
  const is_given = given.map(readCondition).some((one) =>
    "metric" in one && one.metric === "faults"
  );
  return is_given ? [...given] : [...given, DEFAULT];
}
