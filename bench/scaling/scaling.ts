/** The scenario `scaling`: how the cost of a message grows with rooms, connections and the like. */
import {
  commit,
  type OptionValues,
  positive,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import { renderChart } from "./chart.ts";
import { mergeLaws, readLaws, type RecordedLaw, renderGrowth, writeDocument } from "./document.ts";
import { measureLaw } from "./law.ts";
import { LAWS } from "./laws.ts";

const HELP =
  `scaling: CPU time of a message, publish -> receive, on the embedded Spine, as one number
grows and the load stays the same: ${
    LAWS.map(({ name }) => name).join(", ")
  }. Medians of the rounds.

  --only A,B        some of these
  --rounds N        (3)
  --quick           fewer steps and one round
  --docs            write the section "Scaling law" of docs/performance.md and docs/plots
`;

const NAMES = LAWS.map(({ name }) => name);

function asked(values: OptionValues) {
  const only = String(values["only"]);
  const names = only === "" ? NAMES : only.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) {
    throw new UsageError(`--only: no law ${unknown.join(", ")}; there are: ${NAMES.join(", ")}`);
  }
  return LAWS.filter(({ name }) => names.includes(name));
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const quick = values["quick"] === true;
  const docs = values["docs"] === true;
  if (quick && docs) throw new UsageError("--docs needs all steps; leave out --quick");
  const rounds = quick ? 1 : positive(values, "rounds");
  const measured: RecordedLaw[] = [];
  const about = {
    measured: new Date().toISOString().slice(0, 10),
    commit: await commit(),
    deno: Deno.version.deno,
  };
  for (const law of asked(values)) {
    const { name, axis, about: what } = law;
    const steps = await measureLaw(law, { rounds, quick });
    measured.push({ name, axis, about: what, ...about, steps });
  }
  if (docs) await writeDocument(mergeLaws(await readLaws(), measured, NAMES));
  const charts = measured.map(({ axis, steps }) => renderChart(axis, steps));
  const missing = measured.flatMap(({ steps }) => steps).reduce((sum, one) => sum + one.missing, 0);
  return {
    report: { rounds, quick, laws: measured },
    table: [...charts, renderGrowth(measured)].join("\n\n"),
    failure: missing > 0 ? `${missing} messages were lost` : undefined,
  };
}

/** The scenario of `deno task bench scaling`. */
export const SCALING: Scenario = {
  name: "scaling",
  help: HELP,
  options: {
    only: text(""),
    rounds: text("3"),
    quick: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
  },
  run,
};
