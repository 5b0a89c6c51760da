/**
 * The scenario `leaves`: compares the garbage of the hot leaves with the record of the checkout. Its figures
 * do not depend on how busy the machine is. It is the gate of `deno task verify`, too.
 */
import { scenario, UsageError } from "../measure/scenario.ts";
import { renderTable } from "../measure/table.ts";
import { judge } from "./compare.ts";
import { measureLeaves, readRecorded, writeRecorded } from "./measure.ts";

/** The scenario of `deno task bench leaves`. */
export const LEAF_GARBAGE = scenario(
  "leaves",
  `bytes of garbage that one call of each hot leaf of the message path makes, and
fuel of fixed policies, beside bench/leaves/recorded.json. Counts, not seconds: they do not depend
on how busy the machine is. Fails, as \`deno task verify\` does, when a leaf is a tenth and 16 B above its record.`,
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
    const wanted = Object.entries(all.figures).filter(([name]) => name.includes(only));
    const recorded = { ...all, figures: Object.fromEntries(wanted) };
    if (record) await writeRecorded(measured);
    const { ok, lines } = judge(recorded, measured, Deno.version);
    for (const line of lines) console.error(line);
    return {
      report: { recorded, measured },
      table: renderTable(measured, [
        ["leaf, of one operation", ({ name }) => name],
        ["recorded", ({ name }) => recorded.figures[name] ?? "-"],
        ["now", ({ value }) => value],
        ["", ({ unit }) => unit],
        ["ratio", ({ name, value }) => value / (recorded.figures[name] || NaN), 2],
      ]),
      failure: ok || record ? undefined : "hot leaves are not what is recorded",
    };
  },
);
