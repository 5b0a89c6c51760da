/** Scenarios of the load generator from the command line: each separately, and all of them with the goals (`--all`). */
import { type Options, scenario, type ScenarioResult } from "../measure/scenario.ts";
import type { Scenario, Values } from "../measure/scenario.ts";
import { renderTable as renderColumns } from "../measure/table.ts";
import { type FloodEffect, floodGoals, goalsOf, missedGoals, renderGoals } from "./goals.ts";
import { measureLoad } from "./load_rounds.ts";
import { COMMON, type LoadResults, type LoadScenario, warmSeconds } from "./load_scenario.ts";
import { failureOf, renderOmitted, renderTable, shown } from "./load_table.ts";
import { LOAD_SCENARIOS } from "./scenarios.ts";
import { targetsNamed } from "./targets/targets.ts";
import type { Target } from "./targets/target.ts";

/** The values of a scenario's options: the given values, then those of `--quick`, then the defaults. */
export function optionsWith<O extends Options>(
  { options, quick }: LoadScenario<O>,
  is_quick: boolean,
  given: Partial<Values<O>> = {},
): Values<O> {
  const defaults = Object.fromEntries(
    Object.entries(options).map(([name, [value]]) => [name, value]),
  );
  return { ...defaults, ...(is_quick ? quick : {}), ...given } as Values<O>;
}

async function run<O extends Options>(
  load: LoadScenario<O>,
  targets: readonly Target[],
  rounds: number,
  values: Values<O>,
): Promise<LoadResults> {
  const warm = warmSeconds((values as { warm?: string }).warm);
  return await measureLoad(load as unknown as LoadScenario, targets, load.cases(values), {
    rounds,
    warm,
  });
}

/** The scenario of `deno task bench NAME` for a scenario of the load generator. */
export function scenarioOf(load: LoadScenario): Scenario {
  const options = { ...load.options, ...COMMON };
  return scenario(load.name, load.about, options, async (values) => {
    const { targets, rounds, quick } = values as Values<typeof COMMON>;
    // A value other than the default was given.
    const given = Object.fromEntries(
      Object.entries(load.options).filter(([name, [value]]) =>
        String((values as Record<string, unknown>)[name]) !== String(value)
      ).map(([name]) => [name, (values as Record<string, unknown>)[name]]),
    ) as Partial<Values<Options>>;
    const used = optionsWith(load, quick, given);
    const often = quick && rounds === COMMON.rounds[0] ? 1 : rounds;
    const results = await run(load, await targetsNamed(targets), often, used);
    return {
      report: { options: { ...values, ...used }, ...results },
      table: renderTable(load, results),
      failure: failureOf(results),
    };
  });
}

type All = readonly (readonly [LoadScenario, LoadResults])[];

/** The summary of all results: one line for each scenario, case and target. */
function renderSummary(all: All): string {
  const lines = all.flatMap(([scenario, { rows }]) => {
    const [, title = "", digits = 0] = scenario.columns.find(([key]) =>
      key === scenario.headline
    ) ?? [];
    return rows.map((row) => ({ ...row, scenario, figure: title, digits }));
  });
  return renderColumns(lines, [
    ["scenario", (one) => `${one.scenario.name}: ${one.case}`],
    ["target", ({ title }) => title],
    ["figure", ({ medians, scenario, digits }) => shown(medians[scenario.headline], digits)],
    ["", ({ figure }) => figure],
    ["of Bun", ({ ratio }) => shown(ratio, 2)],
    ["p50 ms", ({ medians }) => shown(medians["p50_ms"], 2)],
    ["p99 ms", ({ medians }) => shown(medians["p99_ms"], 2)],
    ["", ({ missing }) => missing === 0 ? "" : `${missing} MISSING`],
  ]);
}

function notesOf(all: All): string {
  return all.flatMap(([{ name }, { omitted }]) => {
    const lines = renderOmitted(omitted);
    return lines === "" ? [] : lines.split("\n").map((line) => `${name}: ${line}`);
  }).join("\n");
}

const failuresOf = (all: All): string[] =>
  all.flatMap(([{ name }, results]) => {
    const failure = failureOf(results);
    return failure === undefined ? [] : [`${name}: ${failure}`];
  });

/** Measures the effect of one flood on a clean client, for each of these kinds of sockets, for this many seconds. */
type MeasureFlood = (kinds: readonly string[], seconds: number) => Promise<FloodEffect[]>;

/** The scenario of `deno task bench --all`. `floodOnce` measures the effect of a flood. */
export const allScenario = (floodOnce: MeasureFlood): Scenario =>
  scenario(
    "all",
    `or --all: every scenario that runs on several targets (${
      LOAD_SCENARIOS.map(({ name }) => name).join(", ")
    }), one table, one flood,
and the goals. Before messages are measured each process serves them for ten seconds: a server that has run
for a while counts, not its first seconds. The exit code is 1 when a goal is missed, a message was lost or
a target gave no figures.`,
    { ...COMMON, targets: ["all", COMMON.targets[1]] },
    async (given): Promise<ScenarioResult> => {
      const { targets: list, quick } = given;
      const targets = await targetsNamed(list);
      const rounds = quick && given.rounds === COMMON.rounds[0] ? 1 : given.rounds;
      const all: (readonly [LoadScenario, LoadResults])[] = [];
      for (const one of LOAD_SCENARIOS) {
        const results = await run(one, targets, rounds, optionsWith(one, quick));
        console.error(`\n${renderTable(one, results)}\n`);
        all.push([one, results]);
      }
      const floods: FloodEffect[] = [];
      for (let round = 0; round < rounds; round++) {
        floods.push(...await floodOnce(["own"], quick ? 2 : 4));
      }
      const goals = [...goalsOf(all.flatMap(([, { rows }]) => rows)), ...floodGoals(floods)];
      const failures = [...failuresOf(all), ...[missedGoals(goals) ?? []].flat()];
      const parts = [renderSummary(all), notesOf(all), renderGoals(goals)];
      const scenarios = Object.fromEntries(all.map(([{ name }, results]) => [name, results]));
      return {
        report: { options: given, scenarios, floods, goals },
        table: parts.filter((part) => part !== "").join("\n\n"),
        failure: failures.length === 0 ? undefined : failures.join("\n"),
      };
    },
  );
