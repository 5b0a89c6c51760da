/**
 * The scenario `processes`: what one machine does with one Shield and with several Shields on one port.
 * `processes_child.ts` measures.
 */
import type { ProcessesPlan, ProcessesRow } from "./processes_child.ts";
import { runProgram } from "../measure/program.ts";
import {
  failureOfLost,
  positive,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP = `processes: \`shield --processes N\` for several N, on one NATS; medians of the rounds.
Clients and NATS are on the same machine: with more Shields than it has cores to spare, only the
CPU a delivery says something.

  --counts N,N      numbers of Shields, in turns (1,2)
  --rounds N        (3)
  --messages N      of the fan-out to 200 readers; ten times as many to 4 (500)
  --bytes N         size of a body (256)
`;

function render(rows: readonly ProcessesRow[]): string {
  const keys = [...new Set(rows.map(({ load, count }) => `${load}\n${count}`))].sort();
  return renderRows(
    ["", "Shields", "received", "deliveries/s", "least CPU µs", "CPU µs"],
    keys.map((key) => {
      const own = rows.filter(({ load, count }) => `${load}\n${count}` === key);
      const cpu = own.map(({ cpu_us }) => cpu_us);
      return [
        own[0]?.load ?? "",
        String(own[0]?.count),
        String(own.reduce((sum, { received }) => sum + received, 0)),
        median(own.map(({ received, seconds }) => received / seconds)).toFixed(0),
        Math.min(...cpu).toFixed(2),
        median(cpu).toFixed(2),
      ];
    }),
  );
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const counts = String(values["counts"]).split(",").map(Number);
  if (!counts.every((count) => Number.isInteger(count) && count > 0)) {
    throw new UsageError(`--counts expects whole numbers above 0, got ${values["counts"]}`);
  }
  const messages = positive(values, "messages");
  const plan: ProcessesPlan = {
    counts,
    rounds: positive(values, "rounds"),
    size_bytes: positive(values, "bytes"),
    loads: [
      { name: "1 to 200", publishers: 1, readers: 200, messages },
      { name: "8 to 4", publishers: 8, readers: 4, messages: Math.ceil(messages * 10 / 8) },
    ],
  };
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error(`processes: ${counts.join(", ")} Shields ...`);
  const rows = await runProgram<ProcessesRow[]>("bench/processes/processes_child.ts", permissions, [
    JSON.stringify(plan),
  ]);
  const lost = rows.some(({ received, expected }) => received !== expected);
  return {
    report: { options: plan, rounds: rows },
    table: render(rows),
    failure: failureOfLost(lost),
  };
}

/** The scenario of `deno task bench processes`. */
export const PROCESSES: Scenario = {
  name: "processes",
  help: HELP,
  options: {
    counts: text("1,2"),
    rounds: text("3"),
    messages: text("500"),
    bytes: text("256"),
  },
  run,
};
