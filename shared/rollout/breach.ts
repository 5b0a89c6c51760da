/** Compares the counts of Shields with the conditions of a rollout. Pure. `decision.ts` reacts to a breach. */
import { type Condition, type Count, isCount, QUANTILES } from "./condition.ts";
import { fuelAt, type PolicyTally, type Sample } from "./tally.ts";

/** The fewest messages for a percentage: one bad message of five is not 20 % of the traffic. */
const SHARE_OF_AT_LEAST = 100;

interface Breach {
  readonly condition: string;
  readonly policy: string;
  readonly found: string;
  readonly samples: readonly Sample[];
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
  // A new policy has no old version to compare with.
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
  // No refusal is no breach of ">=0".
  if (!is_breach || found === 0) return undefined;
  const kind = { refused: "refuse", passed: "pass", faults: "fault" } as Record<string, string>;
  const samples = tally.samples.filter(({ would }) =>
    !isCount(metric) || would === kind[metric] || (metric === "refused" && would === "fault")
  );
  return { condition: text, policy: tally.name, found: words, samples };
}

/** The first condition that a policy breaches; undefined: none. */
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
