/** The scenario `scaling`: how the cost of a message grows with rooms, connections and the like. */
import { namedBy } from "../measure/parts.ts";
import { commit, scenario, UsageError } from "../measure/scenario.ts";
import { sumOf } from "../measure/statistics.ts";
import { mergeLaws, readLaws, type RecordedLaw, renderGrowth } from "./document.ts";
import { renderSteps, writeDocument } from "./document.ts";
import { measureLaw } from "./law.ts";
import { LAWS } from "./laws.ts";

const NAMES = LAWS.map(({ name }) => name);

/** The scenario of `deno task bench scaling`. */
export const SCALING = scenario(
  "scaling",
  `CPU time of a message, publish -> receive, on the embedded Spine, as one number
grows and the load stays the same. Medians of the rounds.`,
  {
    only: ["", `some of ${NAMES.join(",")}`],
    rounds: [3, ""],
    quick: [false, "fewer steps and one round"],
    docs: [false, 'write the section "Scaling law" of docs/performance.md and docs/plots'],
  },
  async ({ only, rounds, quick, docs }) => {
    if (quick && docs) throw new UsageError("--docs needs all steps; leave out --quick");
    const names = namedBy(only, NAMES);
    const measured: RecordedLaw[] = [];
    const now = new Date().toISOString().slice(0, 10);
    const run = { measured: now, commit: await commit(), deno: Deno.version.deno };
    for (const law of LAWS.filter(({ name }) => names.includes(name))) {
      const { name, axis, about } = law;
      const steps = await measureLaw(law, { rounds: quick ? 1 : rounds, quick });
      measured.push({ name, axis, about, ...run, steps });
    }
    if (docs) await writeDocument(mergeLaws(await readLaws(), measured, NAMES));
    const missing = sumOf(measured.flatMap(({ steps }) => steps), "missing");
    return {
      report: { rounds, quick, laws: measured },
      table: [...measured.map(renderSteps), renderGrowth(measured)].join("\n\n"),
      failure: missing > 0 ? `${missing} messages were lost` : undefined,
    };
  },
);
