/**
 * The scenario `past`: a room that is a program after many changes. How long it takes to say what it was after any
 * entry, and to begin another room with its past. `past_child.ts` measures.
 */
import {
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { PastFigures, PastPlan } from "./past_child.ts";

const DEFAULTS = configFrom({ reducers: [{ name: "counter", file: "counter" }] }).reducers[0]!;

const HELP =
  `past: a room of policies/reducers/counter.ts is called, each call with an id; then entries drawn at random are
asked for, and rooms are begun with its past. Every state is compared with what the counter must have been.

  --engine NAME     embedded or nats, a server of its own (embedded)
  --entries N       calls of the room (1000000)
  --every N         snapshot_entries (${DEFAULTS.snapshot_entries}, as a room has them by itself)
  --snapshots N     history_snapshots (${DEFAULTS.history_snapshots}, the same)
  --bytes N         history_bytes (${DEFAULTS.history_bytes}, the same)
  --questions N     entries that are asked for (500)
  --forks N         rooms that begin with its past (200)
`;

const GOALS = { at_ms: 200, fork_ms: 50, fork_bytes: 1_024 };

async function measured(plan: PastPlan): Promise<PastFigures> {
  const args = ["run", "--no-prompt", "-A", `${ROOT}/bench/reducers/past_child.ts`];
  const command = new Deno.Command(Deno.execPath(), { args: [...args, JSON.stringify(plan)] });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr).slice(-8_192));
  return JSON.parse(decoder.decode(stdout));
}

function tableOf({ entries, calls_per_s, snapshots, snapshot_bytes, at, fork }: PastFigures) {
  const row = (name: string, { p50_ms, p99_ms, max_ms, cpu_ms }: PastFigures["at"]) => [
    ...[name, p50_ms.toFixed(1), p99_ms.toFixed(1), max_ms.toFixed(1), cpu_ms.toFixed(1)],
  ];
  const head = [
    `${entries} entries, ${calls_per_s.toFixed(0)} calls/s`,
    "p50 ms",
    "p99 ms",
    "max",
    "CPU ms",
  ];
  return renderRows(head, [
    row("the room after an entry", at),
    row(`a fork (${fork.bytes} bytes)`, fork),
    [`${snapshots} snapshots of ${snapshot_bytes} bytes`],
  ]);
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const { engine } = values;
  if (engine !== "embedded" && engine !== "nats") {
    throw new UsageError(`--engine expects embedded or nats, got ${JSON.stringify(engine)}`);
  }
  const figures = await measured({
    engine,
    entries: positive(values, "entries"),
    every: positive(values, "every"),
    snapshots: positive(values, "snapshots"),
    bytes: positive(values, "bytes"),
    questions: positive(values, "questions"),
    forks: positive(values, "forks"),
  });
  const { at, fork } = figures;
  const missed = [
    at.p99_ms < GOALS.at_ms ? "" : `any entry in ${GOALS.at_ms} ms at p99`,
    fork.p99_ms < GOALS.fork_ms ? "" : `a fork in ${GOALS.fork_ms} ms at p99`,
    fork.bytes < GOALS.fork_bytes ? "" : `a fork in ${GOALS.fork_bytes} bytes`,
  ].filter((one) => one !== "");
  const failure = missed.length === 0 ? undefined : `not reached: ${missed.join(", ")}`;
  return { report: { figures, goals: GOALS }, table: tableOf(figures), failure };
}

/** The scenario. */
export const PAST: Scenario = {
  name: "past",
  help: HELP,
  options: {
    engine: text("embedded"),
    entries: text("1000000"),
    every: text(String(DEFAULTS.snapshot_entries)),
    snapshots: text(String(DEFAULTS.history_snapshots)),
    bytes: text(String(DEFAULTS.history_bytes)),
    questions: text("500"),
    forks: text("200"),
  },
  run,
};
