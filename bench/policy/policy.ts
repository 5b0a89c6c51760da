/** The scenario `policy`: what the Overseer costs, in parts, each in a file of its own. */
import { type Aim, renderAims } from "../measure/aims.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { measurePrice, renderPrice } from "./policy_price.ts";
import { measureVerdicts, renderVerdicts, type VerdictResult } from "./policy_verdict.ts";
import { measureWorst, renderWorst, type WorstReport } from "./policy_worst.ts";

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  price: ({ rounds, seconds }) => part(measurePrice(rounds, seconds), renderPrice),
  verdict: ({ rounds, seconds }) => part(measureVerdicts(rounds, seconds), renderVerdicts),
  worst: ({ rounds }) => part(measureWorst(rounds), renderWorst),
};

/** The figures of a run; parts that did not run are absent. */
interface Measured {
  readonly verdict?: readonly VerdictResult[];
  readonly worst?: WorstReport;
}

/** Rows with one policy. An aim holds only when all of them reach it. */
const ONE_POLICY = ["allow", "bad words 200 B", "bad words 4 KiB"];

function delays(verdict: readonly VerdictResult[]): Aim[] {
  const worst = (rate: number, value: (result: VerdictResult) => number) =>
    Math.max(
      ...verdict.filter((one) => one.rate === rate && ONE_POLICY.includes(one.row)).map(value),
    );
  const p99 = (rate: number, bound: number): Aim => ({
    name: `delay by one policy, ${rate}/s, p99`,
    measured: worst(rate, ({ p99_us }) => p99_us),
    least: worst(rate, ({ least_p99_us }) => least_p99_us),
    bound,
    unit: "µs",
  });
  const p50 = worst(1_000, ({ p50_us }) => p50_us);
  const name = "delay by one policy, 1000/s, p50";
  return [{ name, measured: p50, bound: 50, unit: "µs" }, p99(1_000, 200), p99(10_000, 1_000)];
}

function aimsOf({ verdict, worst }: Measured): Aim[] {
  const aims = verdict === undefined ? [] : delays(verdict);
  if (worst === undefined) return aims;
  const name = "a unit with the worst operands, multiplications";
  return [...aims, { name, measured: worst.worst, bound: worst.bound, unit: "x" }];
}

/** The scenario of `deno task bench policy`. */
export const POLICY = scenario(
  "policy",
  `what policies cost. In turns within one run: the messages per CPU second of the whole
process of a bus with and without a policy and with one that keeps state, and what a policy adds to the
delay; how long a message waits for the verdict of chains of policies (the Overseer alone); the time of a
unit with the worst operands of every instruction beside a reference loop.`,
  {
    only: ["", "price, verdict, worst; with commas; all"],
    rounds: [5, "turns of each row; medians over them count"],
    seconds: [2, "counted time of a turn of price and verdict"],
  },
  async (values) => {
    const { report, tables } = await runParts(PARTS, values);
    const aims = aimsOf(report as Measured);
    if (aims.length > 0) tables.push(renderAims(aims));
    return { report: { ...report, aims }, table: tables.join("\n\n") };
  },
);
