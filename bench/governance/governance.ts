/** The scenario `governance`: what schemas and mirroring cost, in five parts, each in a file of its own. */
import { aimsOf, type GovernanceMeasured, renderGovernanceAims } from "./governance_aims.ts";
import { type BusResult, measureBus, renderBus } from "./governance_bus.ts";
import { measureMatch, renderMatch } from "./governance_match.ts";
import { measureMirror, renderMirror } from "./governance_mirror.ts";
import { measureShare, renderShare, type ShareReport } from "./governance_share.ts";
import { measureValidate, renderValidate } from "./governance_validate.ts";
import { part, type Parts, runParts } from "../measure/parts.ts";
import { failureOfLost, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";

const HELP = `governance: what schemas and mirroring cost a message. In turns within one run: the
schema step beside decoding with protobuf-es, the message path at shares of 0, 10 and 100 %, the hash
and the match of 1 to 10,000 rules, the share that is picked of a million ids and by two Shields, and
the whole bus with and without a mapping.

  --only PARTS      validate, mirror, match, share, bus; with commas (all)
  --rounds N        turns of each row; medians over them count (5)
  --seconds N       counted time of a turn of the bus (1)
`;

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  validate: ({ rounds }) => part(measureValidate(rounds), renderValidate),
  mirror: ({ rounds }) => part(measureMirror(rounds), renderMirror),
  match: ({ rounds }) => part(measureMatch(rounds), renderMatch),
  share: () => part(measureShare(), renderShare),
  bus: ({ rounds, seconds }) => part(measureBus(rounds, seconds), renderBus),
};

/** Why the figures cannot be trusted, or which promise does not hold; undefined when all is well. */
function failureOf(share: ShareReport | undefined, bus: readonly BusResult[]): string | undefined {
  const differing = share === undefined
    ? 0
    : share.shields.differing + share.shields.differing_from_table;
  if (differing > 0) return `${differing} ids were decided otherwise by another Shield`;
  const outside = (share?.shares ?? []).some(({ outside_larger }) => outside_larger > 0);
  if (outside) return "a smaller share picked what a larger one did not";
  return failureOfLost(bus.some(({ sent, received }) => sent !== received));
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const { report, tables } = await runParts(PARTS, values);
  const measured = report as GovernanceMeasured & { readonly bus?: readonly BusResult[] };
  const aims = aimsOf(measured);
  const aimed = aims.length > 0 ? [renderGovernanceAims(aims)] : [];
  return {
    report: { ...report, aims },
    table: [...tables, ...aimed].join("\n\n"),
    failure: failureOf(measured.share, measured.bus ?? []),
  };
}

/** The scenario of `deno task bench governance`. */
export const GOVERNANCE: Scenario = {
  name: "governance",
  help: HELP,
  options: { only: text(""), rounds: text("5"), seconds: text("1") },
  run,
};
