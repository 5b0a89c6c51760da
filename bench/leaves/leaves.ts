/**
 * The scenario `leaves`: compares the garbage of the hot leaves with the record of the checkout. Its figures
 * do not depend on how busy the machine is. `tasks/rules/leaves.ts` is the gate.
 */
import { scenario, UsageError } from "../measure/scenario.ts";
import { compare, judge, renderComparisons } from "./compare.ts";
import { measureLeaves, readRecorded, writeRecorded } from "./measure.ts";

/** The scenario of `deno task bench leaves`. */
export const LEAF_GARBAGE = scenario(
  "leaves",
  `bytes of garbage that one call of each hot leaf of the message path makes, and
fuel of fixed policies, beside bench/leaves/recorded.json. Counts, not seconds: they do not depend
on how busy the machine is. \`deno task verify\` fails when a leaf is a tenth and 16 B above its record.`,
  {
    only: ["", "leaves with this in their names"],
    record: [false, "make these figures the record"],
  },
  async ({ only, record }) => {
    if (record && only !== "") {
      throw new UsageError("--record measures all leaves; leave out --only");
    }
    const measured = await measureLeaves(only);
    if (measured.length === 0) throw new UsageError(`--only ${only}: no leaf is called so`);
    const all = await readRecorded();
    const asked = Object.entries(all.figures).filter(([name]) => name.includes(only));
    const recorded = { ...all, figures: Object.fromEntries(asked) };
    const compared = compare(recorded.figures, measured);
    if (record) await writeRecorded(measured);
    const { ok, lines } = judge(recorded, measured, Deno.version);
    return {
      report: { recorded, measured, compared },
      table: renderComparisons(compared),
      failure: ok || record ? undefined : lines.join("\nbench: "),
    };
  },
);
