/**
 * The scenario of `deno task bench --all`: runs every scenario of the load generator on every target, and
 * shows one table at the end with the goals beside the figures.
 */
import { positive, text } from "../measure/scenario.ts";
import type { OptionValues, Scenario, ScenarioResult } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { type FloodEffect, floodGoals, goalsOf, missedGoals, renderGoals } from "./goals.ts";
import { optionsOf, quickened } from "./load_command.ts";
import { measureLoad } from "./load_rounds.ts";
import type { LoadResults, LoadScenario } from "./scenarios/load_scenario.ts";
import { failureOf, renderOmitted, renderTable, shown } from "./load_table.ts";
import { LOAD_SCENARIOS } from "./scenarios/scenarios.ts";
import { targetsWith } from "./targets/targets.ts";

const HELP = `--all: every scenario that runs on several targets (${
  LOAD_SCENARIOS.map(({ name }) => name).join(", ")
}), one table, one flood,
and the goals. Before messages are measured each process serves them for ten seconds: a server that has run
for a while counts, not its first seconds. The exit code is 1 when a goal is missed, a message was lost or
a target gave no figures.

  --targets A,B     arqon, arqon-nats, deno, ws, nats-ws, centrifugo, mosquitto, socketio (all)
  --with A,B        ArqonBus also with policy (bad_words on every message), schema, durable
  --rounds N        medians over them count (3; 1 with --quick)
  --quick           shorter, and fewer cases: about a quarter of an hour
`;

/** Measures what one flood does to a clean client on each of these kinds of sockets, for so many seconds. */
export type MeasureFlood = (kinds: readonly string[], seconds: number) => Promise<FloodEffect[]>;

/** The kinds of client sockets beside which one flood is measured. */
const FLOOD_SOCKETS = ["own"];
const FLOOD_SECONDS = 4;

/** The default values of a scenario's options. */
function defaultsOf(scenario: LoadScenario): OptionValues {
  const options = Object.entries(optionsOf(scenario));
  return Object.fromEntries(options.map(([name, option]) => [name, option.default]));
}

/** The option values with which a scenario runs. Pure. */
export function valuesOf(scenario: LoadScenario, given: OptionValues): OptionValues {
  const values = given["quick"] === true
    ? quickened(scenario, defaultsOf(scenario))
    : defaultsOf(scenario);
  return given["rounds"] === "" ? values : { ...values, rounds: given["rounds"] };
}

/** The summary of all results: a line for each scenario, case and target. */
export function renderSummary(all: readonly (readonly [LoadScenario, LoadResults])[]): string {
  const lines = all.flatMap(([scenario, { rows }]) => {
    const headline = scenario.columns.find(({ key }) => key === scenario.headline);
    return rows.map((row) => [
      `${scenario.name}: ${row.case}`,
      row.title,
      shown(row.medians[scenario.headline], headline?.digits ?? 0),
      headline?.title ?? "",
      shown(row.ratio, 2),
      shown(row.medians["p50_ms"], 2),
      shown(row.medians["p99_ms"], 2),
      row.missing === 0 ? "" : `${row.missing} MISSING`,
    ]);
  });
  const head = ["scenario", "target", "figure", "", "of bare Deno", "p50 ms", "p99 ms", ""];
  return renderRows(head, lines);
}

function notesOf(all: readonly (readonly [LoadScenario, LoadResults])[]): string {
  return all.flatMap(([{ name }, { omitted }]) => {
    const lines = renderOmitted(omitted);
    return lines === "" ? [] : lines.split("\n").map((line) => `${name}: ${line}`);
  }).join("\n");
}

/** What one flood does, as many rounds as every scenario has. */
async function measureFloods(
  given: OptionValues,
  floodOnce: MeasureFlood,
): Promise<FloodEffect[]> {
  const quick = given["quick"] === true;
  const rounds = given["rounds"] === "" ? quick ? 1 : 3 : positive(given, "rounds");
  const effects: FloodEffect[] = [];
  for (let round = 0; round < rounds; round++) {
    effects.push(...await floodOnce(FLOOD_SOCKETS, quick ? 2 : FLOOD_SECONDS));
  }
  return effects;
}

async function run(given: OptionValues, floodOnce: MeasureFlood): Promise<ScenarioResult> {
  const targets = await targetsWith(String(given["targets"]), String(given["with"]));
  const all: (readonly [LoadScenario, LoadResults])[] = [];
  for (const scenario of LOAD_SCENARIOS) {
    const results = await measureLoad(scenario, targets, valuesOf(scenario, given));
    console.error(`\n${renderTable(scenario, results)}\n`);
    all.push([scenario, results]);
  }
  const floods = await measureFloods(given, floodOnce);
  const goals = [
    ...goalsOf(all.flatMap(([, { rows }]) => rows)),
    ...floodGoals(floods),
  ];
  const scenarios = Object.fromEntries(all.map(([{ name }, results]) => [name, results]));
  const failures = all.flatMap(([{ name }, results]) => {
    const failure = failureOf(results);
    return failure === undefined ? [] : [`${name}: ${failure}`];
  });
  const missed = missedGoals(goals);
  if (missed !== undefined) failures.push(missed);
  return {
    report: { options: given, scenarios, floods, goals },
    table: [renderSummary(all), notesOf(all), renderGoals(goals)].filter((part) => part !== "")
      .join("\n\n"),
    failure: failures.length === 0 ? undefined : failures.join("\n"),
  };
}

/** The scenario of `deno task bench --all`. What a flood does is measured by `floodOnce`. */
export function allScenario(floodOnce: MeasureFlood): Scenario {
  return {
    name: "all",
    help: HELP,
    options: {
      targets: text("all"),
      with: text(""),
      rounds: text(""),
      quick: { type: "boolean", default: false },
    },
    run: (given) => run(given, floodOnce),
  };
}
