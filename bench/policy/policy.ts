/** The scenario `policy`: what the Overseer costs, in parts, each in a file of its own. */
import { type Aim, renderAims } from "../measure/aims.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { type DeployCycle, measureDeploy, renderDeploy } from "./policy_deploy.ts";
import { measureOverhead, type OverheadReport, renderOverhead } from "./policy_overhead.ts";
import type { VerdictResult } from "./policy_overhead.ts";
import { measurePrice, renderPrice } from "./policy_price.ts";
import { measureRenewal, renderRenewal } from "./policy_renewal.ts";
import { measureTransform, renderTransform } from "./policy_transform.ts";
import { measureWorst, renderWorst, type WorstReport } from "./policy_worst.ts";

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  price: ({ rounds, seconds }) => part(measurePrice(rounds, seconds), renderPrice),
  overhead: ({ rounds, seconds }) => part(measureOverhead(rounds, seconds), renderOverhead),
  worst: ({ rounds }) => part(measureWorst(rounds), renderWorst),
  renewal: ({ rounds }) => part(measureRenewal(rounds * 3), renderRenewal),
  transform: ({ rounds }) => part(measureTransform(rounds * 11), renderTransform),
  deploy: ({ rounds }) => part(measureDeploy(rounds), renderDeploy),
};

/** The figures of a run; parts that did not run are absent. */
interface Measured {
  readonly overhead?: OverheadReport;
  readonly worst?: WorstReport;
  readonly deploy?: readonly DeployCycle[];
}

/** Rows with one policy. An aim holds only when all of them reach it. */
const ONE_POLICY = ["allow", "bad words 200 B", "bad words 4 KiB"];

function delays({ verdict }: OverheadReport): Aim[] {
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

function aimsOf({ overhead, worst, deploy }: Measured): Aim[] {
  const aims: Aim[] = overhead === undefined ? [] : delays(overhead);
  if (worst !== undefined) {
    const name = "a unit with the worst operands, multiplications";
    aims.push({ name, measured: worst.worst, bound: worst.bound, unit: "x" });
  }
  const commands = (deploy ?? []).filter(({ kind }) => kind === "command")
    .map(({ enforced_ms }) => Math.max(...enforced_ms));
  if (commands.length > 0) {
    const name = "arq policy deploy to enforced on 4 Shields";
    const least = Math.min(...commands);
    aims.push({ name, measured: median(commands), least, bound: 1_000, unit: "ms" });
  }
  return aims;
}

/** The scenario of `deno task bench policy`. */
export const POLICY = scenario(
  "policy",
  `what policies cost. In turns within one run: the delay of a message under
chains of policies (the Overseer alone, and the whole bus), the messages per CPU second of the whole
process with and without a policy and with one that keeps state, the time of a unit with the worst
operands of every instruction beside a reference loop, the time of a call that begins with the first state of its
instance, the speed of the metering transform, and the time from
deploy to enforced on four Shields with a real NATS.`,
  {
    only: ["", "price, overhead, worst, renewal, transform, deploy; with commas; all"],
    rounds: [5, "turns of each row; medians over them count"],
    seconds: [2, "counted time of a turn of price and overhead"],
  },
  async (values) => {
    const { report, tables } = await runParts(PARTS, values);
    const aims = aimsOf(report as Measured);
    if (aims.length > 0) tables.push(renderAims(aims));
    return { report: { ...report, aims }, table: tables.join("\n\n") };
  },
);
