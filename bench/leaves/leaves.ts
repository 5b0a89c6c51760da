/**
 * The scenario `leaves`: compares the garbage of the hot leaves with the record of the checkout. Its figures
 * do not depend on how busy the machine is. `tasks/rules/leaves.ts` is the gate.
 */
import {
  type OptionValues,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import { compare, judge, renderComparisons } from "./compare.ts";
import { measureLeaves, readRecorded, writeRecorded } from "./measure.ts";

const HELP = `leaves: bytes of garbage that one call of each hot leaf of the message path makes, and
fuel of fixed policies, beside bench/leaves/recorded.json. Counts, not seconds: they do not depend
on how busy the machine is. \`deno task verify\` fails when a leaf is a tenth and 16 B above its record.

  --only TEXT       leaves with this in their names
  --record          make these figures the record
`;

async function run(values: OptionValues): Promise<ScenarioResult> {
  const only = String(values["only"]);
  const record = values["record"] === true;
  if (record && only !== "") throw new UsageError("--record measures all leaves; leave out --only");
  const measured = await measureLeaves(only);
  if (measured.length === 0) throw new UsageError(`--only ${only}: no leaf is called so`);
  const recorded = await readRecorded();
  const figures = recorded.figures.filter(({ name }) => name.includes(only));
  const compared = compare(figures, measured);
  if (record) await writeRecorded(measured);
  const { ok, lines } = judge({ ...recorded, figures }, measured, Deno.version);
  return {
    report: { recorded, measured, compared },
    table: renderComparisons(compared),
    failure: ok || record ? undefined : lines.join("\nbench: "),
  };
}

/** The scenario of `deno task bench leaves`. */
export const LEAF_GARBAGE: Scenario = {
  name: "leaves",
  help: HELP,
  options: { only: text(""), record: { type: "boolean", default: false } },
  run,
};
