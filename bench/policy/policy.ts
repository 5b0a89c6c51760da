/** The scenario `policy`: what the Overseer costs, in parts, each in a file of its own. */
import { aimsOf, type Measured, renderAims } from "./policy_aims.ts";
import { measureDeploy, renderDeploy } from "./policy_deploy.ts";
import { measureKernels, renderKernels } from "./policy_kernels.ts";
import { measureOverhead, renderOverhead } from "./policy_overhead.ts";
import { measurePrice, renderPrice } from "./policy_price.ts";
import { measureRenewal, renderRenewal } from "./policy_renewal.ts";
import { measureTransform, renderTransform } from "./policy_transform.ts";
import { measureWorst, renderWorst } from "./policy_worst.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";

const HELP = `policy: what policies cost. In turns within one run: the delay of a message under
chains of policies (the Overseer alone, and the whole bus), the messages per CPU second of the whole
process with and without a policy and with one that keeps state, the slowdown of metered code in both of
the engine's compilers with the time of 10,000 fuel, the time of a unit with the worst operands of
every instruction beside a reference loop, the time of a call that begins with the first state of its
instance, the speed of the metering transform, and the time from
deploy to enforced on four Shields with a real NATS.

  --only PARTS      price, overhead, kernels, worst, renewal, transform, deploy; with commas (all)
  --rounds N        turns of each row; medians over them count (5)
  --seconds N       counted time of a turn of the overhead (2)
`;

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  price: ({ rounds, seconds }) => part(measurePrice(rounds, seconds), renderPrice),
  overhead: ({ rounds, seconds }) => part(measureOverhead(rounds, seconds), renderOverhead),
  kernels: ({ rounds }) => part(measureKernels(rounds * 11), renderKernels),
  worst: ({ rounds }) => part(measureWorst(rounds), renderWorst),
  renewal: ({ rounds }) => part(measureRenewal(rounds * 3), renderRenewal),
  transform: ({ rounds }) => part(measureTransform(rounds * 11), renderTransform),
  deploy: ({ rounds }) => part(measureDeploy(rounds), renderDeploy),
};

async function run(values: OptionValues): Promise<ScenarioResult> {
  const { report, tables } = await runParts(PARTS, values);
  const aims = aimsOf(report as Measured);
  const aimed = aims.length > 0 ? [renderAims(aims)] : [];
  return { report: { ...report, aims }, table: [...tables, ...aimed].join("\n\n") };
}

/** The scenario of `deno task bench policy`. */
export const POLICY: Scenario = {
  name: "policy",
  help: HELP,
  options: { only: text(""), rounds: text("5"), seconds: text("2") },
  run,
};
