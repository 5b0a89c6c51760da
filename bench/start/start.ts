/**
 * The scenario of `deno task bench start`: the time from the beginning of a Shield's process until it
 * answers, is ready, and has everything in force, with nothing stored, with many modules and with many
 * tenants. `start_child.ts` starts the Shields.
 */
import { runProgram } from "../measure/program.ts";
import { positive, type Scenario, text } from "../measure/scenario.ts";
import type { StartCase, StartPlan, StartRound } from "./start_child.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP = `start               how long a Shield takes to start on a NATS that holds policies
  --modules N       tenants with a module of their own each (500)
  --tenants N       tenants with a policy of one module, and settings (10000)
  --rounds N        starts of each kind, but for the first of all modules (3)
`;

const NAMES: Readonly<Record<StartCase, (plan: StartPlan) => string>> = {
  "nothing": () => "nothing stored",
  "modules, first start": ({ modules }) => `${modules} modules, never compiled before`,
  "modules": ({ modules }) => `${modules} modules, compiled by an earlier start`,
  "tenants": ({ tenants }) => `${tenants} tenants, one module`,
};

const seconds = (ms: number) => (ms / 1_000).toFixed(2);

/** The table of the medians, one row for each kind of start. */
export function renderStart(rounds: readonly StartRound[], plan: StartPlan): string {
  const head = [
    "start of a Shield, s",
    "starts",
    "lives",
    "ready",
    "serves who asks",
    "all in force",
    "RSS MB",
  ];
  const rows = Object.entries(NAMES).map(([kind, name]) => {
    const mine = rounds.filter((round) => round.kind === kind);
    const middle = (value: (round: StartRound) => number) => median(mine.map(value));
    const served = mine.flatMap(({ served_ms }) => served_ms ?? []);
    return [
      name(plan),
      String(mine.length),
      seconds(middle(({ live_ms }) => live_ms)),
      seconds(middle(({ ready_ms }) => ready_ms)),
      served.length === 0 ? "-" : seconds(median(served)),
      seconds(middle(({ in_force_ms }) => in_force_ms)),
      (middle(({ rss_bytes }) => rss_bytes) / 1e6).toFixed(0),
    ];
  });
  return renderRows(head, rows);
}

/** The scenario with starts of real Shields. */
export const START: Scenario = {
  name: "start",
  help: HELP,
  options: { modules: text("500"), tenants: text("10000"), rounds: text("3") },
  async run(values) {
    const plan: StartPlan = {
      modules: positive(values, "modules"),
      tenants: positive(values, "tenants"),
      rounds: positive(values, "rounds"),
    };
    const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
    const rounds = await runProgram<StartRound[]>("bench/start/start_child.ts", permissions, [
      JSON.stringify(plan),
    ]);
    return { report: { plan, rounds }, table: renderStart(rounds, plan) };
  },
};
