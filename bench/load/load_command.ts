/**
 * Makes scenarios of the load generator into those of `deno task bench NAME`, with their options and
 * `--quick`.
 */
import type { ParseArgsOptionsConfig } from "node:util";
import { text } from "../measure/scenario.ts";
import type { OptionValues, Scenario } from "../measure/scenario.ts";
import { measureLoad } from "./load_rounds.ts";
import type { LoadCase, LoadScenario } from "./scenarios/load_scenario.ts";
import { failureOf, renderTable } from "./load_table.ts";
import { targetsWith } from "./targets/targets.ts";

/** The option values, where those of `--quick` take the place of defaults. */
export function quickened(scenario: LoadScenario, values: OptionValues): OptionValues {
  const quick = { rounds: "1", ...scenario.quick };
  const options = optionsOf(scenario);
  const replaced = Object.entries(quick).filter(([name]) =>
    values[name] === undefined || values[name] === options[name]?.default
  );
  return { ...values, ...Object.fromEntries(replaced) };
}

/** The options of a scenario: its own and the common ones. */
export function optionsOf(scenario: LoadScenario): ParseArgsOptionsConfig {
  return {
    targets: text("arqon,arqon-nats,deno,ws"),
    with: text(""),
    rounds: text("3"),
    quick: { type: "boolean", default: false },
    ...scenario.options,
  };
}

const COMMON_HELP =
  `  --targets A,B     in turns; "all" are these and the peers (arqon,arqon-nats,deno,ws)
  --with A,B        ArqonBus also with policy (bad_words on every message), schema, durable
  --rounds N        medians over them count (3)
  --quick           one short round
`;

/** The scenario of `deno task bench NAME` for a scenario of the load generator. */
export function scenarioOf<C extends LoadCase>(load: LoadScenario<C>): Scenario {
  const plain = load as unknown as LoadScenario;
  return {
    name: load.name,
    help: load.help + COMMON_HELP,
    options: optionsOf(plain),
    async run(given) {
      const values = given["quick"] === true ? quickened(plain, given) : given;
      const targets = await targetsWith(String(values["targets"]), String(values["with"]));
      const results = await measureLoad(load, targets, values);
      return {
        report: { options: values, ...results },
        table: renderTable(plain, results),
        failure: failureOf(results),
      };
    },
  };
}
