/** Measures the time of the hash and of the rule match by `governance_match_child.ts`: medians, in ns. */
import type { MatchPlan, MatchReport, MatchTimes } from "./governance_match_child.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures for one number of rules in one shape. */
export interface MatchResult {
  readonly shape: string;
  readonly rules: number;
  readonly pattern_ns: number;
  /** Time of match and hash, which a message costs that a rule is about. */
  readonly decide_ns: number;
  /** The same for a few subjects that come again and again. */
  readonly few_ns: number;
  /** Ratio to the time with one rule of the same shape: median of the rounds' ratios. */
  readonly ratio: number;
  readonly few_ratio: number;
}

/** The figures of the hash for each kind of key, and of every row. */
export interface MatchResults {
  readonly keys: readonly { readonly name: string; readonly ns: number }[];
  readonly rules: readonly MatchResult[];
}

/**
 * Turns of each row. They are short, so that the scheduler of a busy machine leaves most of them undisturbed.
 */
const TURNS_PER_ROUND = 20;

function resultOf(times: MatchTimes, one_rule: MatchTimes): MatchResult {
  const { shape, rules, pattern_ns, decide_ns, few_ns } = times;
  const ratio = (some: readonly number[], others: readonly number[]) =>
    median(some.map((ns, index) => ns / others[index]!));
  return {
    shape,
    rules,
    pattern_ns: median(pattern_ns),
    decide_ns: median(decide_ns),
    few_ns: median(few_ns),
    ratio: ratio(decide_ns, one_rule.decide_ns),
    few_ratio: ratio(few_ns, one_rule.few_ns),
  };
}

/** Measures every row, in turns. */
export async function measureMatch(rounds: number): Promise<MatchResults> {
  console.error("hash and rules ...");
  const plan: MatchPlan = { rounds: rounds * TURNS_PER_ROUND, for_ms: 1 };
  const { keys, rules }: MatchReport = await runProgram(
    "bench/governance/governance_match_child.ts",
    ["--allow-read"],
    [JSON.stringify(plan)],
  );
  const oneOf = (shape: string) => rules.find((one) => one.shape === shape && one.rules === 1)!;
  return {
    keys: keys.map(({ name, ns }) => ({ name, ns: median(ns) })),
    rules: rules.map((one) => resultOf(one, oneOf(one.shape))),
  };
}

/** The tables of the results: one for the hash, one for the rules. */
export function renderMatch({ keys, rules }: MatchResults): string {
  const hash = renderRows(["hash", "ns"], keys.map(({ name, ns }) => [name, ns.toFixed(0)]));
  const match = renderRows(
    ["rules", "number", "match ns", "match + hash", "ratio", "few subjects", "ratio"],
    rules.map((one) => [
      one.shape,
      String(one.rules),
      one.pattern_ns.toFixed(0),
      one.decide_ns.toFixed(0),
      `${one.ratio.toFixed(2)}x`,
      one.few_ns.toFixed(0),
      `${one.few_ratio.toFixed(2)}x`,
    ]),
  );
  return `${hash}\n\n${match}`;
}
