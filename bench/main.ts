/**
 * `deno task bench SCENARIO`: runs a scenario, prints its table and writes JSON. Figures of different machines or runs
 * are not comparable; ratios within a run are.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { endOnSignal } from "../tests/harness/end_on_signal.ts";
import { DURABLE } from "./durable/durable.ts";
import { FLOOD, floodOnce } from "./sockets/flood.ts";
import { LEAF_GARBAGE } from "./leaves/leaves.ts";
import { allScenario, scenarioOf } from "./load/load_command.ts";
import { LOAD_SCENARIOS } from "./load/scenarios.ts";
import { JOURNAL, PROOF } from "./journal/journal.ts";
import { POLICY } from "./policy/policy.ts";
import { SIZING } from "./sizing/sizing.ts";
import { SLOW_READER } from "./slow_reader/slow_reader.ts";
import { STORM } from "./storm/storm.ts";
import { USAGE } from "./usage/usage.ts";

import { commit, machine, ROOT, type Scenario, text, UsageError } from "./measure/scenario.ts";
import type { OptionValues } from "./measure/scenario.ts";

const ALL = allScenario(floodOnce);

/** All scenarios; a new one needs one more line. */
const SCENARIOS: readonly Scenario[] = [
  ALL,
  ...LOAD_SCENARIOS.map(scenarioOf),
  POLICY,
  JOURNAL,
  PROOF,
  DURABLE,
  FLOOD,
  SLOW_READER,
  STORM,
  LEAF_GARBAGE,
  SIZING,
  USAGE,
];

const HELP = `Usage: deno task bench SCENARIO [options]
       deno task bench --all [options]

${SCENARIOS.map(({ help }) => help).join("\n")}
Every scenario:
  --json            the JSON on stdout, the table on stderr
  --out FILE        where the JSON goes (bench/results/SCENARIO.json). The task may write below
                    bench/results; elsewhere run bench/main.ts with --allow-write yourself
`;

interface Asked {
  readonly scenario: Scenario;
  readonly values: OptionValues;
  readonly out: string;
  /** Whether the JSON goes to stdout. */
  readonly json: boolean;
}

/** The only argument that is not an option, at any position; "" if there is none. */
function scenarioName(args: string[]): string {
  const options = Object.assign({ out: text("") }, ...SCENARIOS.map((one) => one.options));
  const { positionals } = parseArgs({ args, options, strict: false, allowPositionals: true });
  if (positionals.length > 1) throw new UsageError(`one scenario, not ${positionals.join(", ")}`);
  return positionals[0] ?? "";
}

/** Reads the command line; undefined if it requests help. Throws `UsageError`. */
function readArguments(args: string[]): Asked | undefined {
  if (args.length === 0 || args.includes("--help") || args.includes("-h")) return undefined;
  const name = scenarioName(args);
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario === undefined) {
    const names = SCENARIOS.map((one) => one.name).join(", ");
    throw new UsageError(`no scenario ${JSON.stringify(name)}; there are: ${names}`);
  }
  const options = {
    ...scenario.options,
    out: text(`${ROOT}/bench/results/${name}.json`),
    json: { type: "boolean", default: false } as const,
  };
  try {
    const { values } = parseArgs({ args, options, allowPositionals: true });
    const { out, json } = values;
    return { scenario, values, out: resolve(String(out)), json: json === true };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Makes sure that the report can be written before the measurement starts. Throws `UsageError`. */
async function prepare(out: string): Promise<void> {
  try {
    // The folder may exist; then write permission for this one file is enough.
    const folder = out.replace(/[\\/][^\\/]*$/, "");
    const stat = await Deno.stat(folder).catch(() => undefined);
    if (stat === undefined) await Deno.mkdir(folder, { recursive: true });
    (await Deno.open(out, { write: true, create: true, append: true })).close();
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--out ${out} cannot be written: ${detail}`);
  }
}

async function run({ scenario, values, out, json }: Asked): Promise<number> {
  await prepare(out);
  const started = new Date().toISOString();
  const { report, table, failure } = await scenario.run(values);
  if (json) console.error(table);
  else console.log(table);
  const about = { machine: await machine(), commit: await commit(), started };
  const all = { scenario: scenario.name, ...report, ...about };
  const written = JSON.stringify(all, null, 2) + "\n";
  await Deno.writeTextFile(out, written);
  if (json) console.log(written.trimEnd());
  console.error(`written to ${out}`);
  if (failure !== undefined) console.error(`bench: ${failure}`);
  return failure === undefined ? 0 : 1;
}

if (import.meta.main) {
  endOnSignal();
  try {
    const args = readArguments(Deno.args.map((arg) => arg === "--all" ? ALL.name : arg));
    if (args === undefined) console.log(HELP);
    // With --help the text is an answer; without any argument the command line is wrong.
    const helped = Deno.args.length === 0 ? 2 : 0;
    Deno.exit(args === undefined ? helped : await run(args));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`bench: ${error.message} (see --help)`);
    Deno.exit(2);
  }
}
