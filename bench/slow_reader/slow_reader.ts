/**
 * The scenario `slow_reader`: what readers that do not read cost the other readers, by room class, on real
 * sockets in one run. `slow_reader_child.ts` measures.
 */
import { runProgram } from "../measure/program.ts";
import { websocketLine } from "../../tests/harness/websocket_option.ts";
import {
  positive,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { CLASSES } from "./slow_reader_child.ts";
import type { Phase, PhaseResult, SlowReaderPlan } from "./slow_reader_child.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP = `slow_reader: publish -> receive of readers that read, beside none, one and many that
never do, in rooms of each slow_reader class. Fails when their p99 is more than twice that with
none, by the medians and by the least disturbed of the rounds, or a message is missing.

  --readers N       that read (999)
  --processes N     of clients (3)
  --many N          slow readers in the phases with many (50)
  --rounds N        (5)
  --seconds N       of each phase (4)
  --rate N          messages a second, each to all readers (40)
  --bytes N         size of a body (256)
  --websocket NAME  [server] websocket of the Shield (its default)
  --noise N         a difference of p99 of so many ms counts for nothing (10)
`;

/** Largest ratio of the others' latency with slow readers to that without. */
const RATIO_MAX = 2;

/** The figures of one phase: medians of the rounds. */
export interface Row extends Phase {
  readonly expected: number;
  readonly received: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** Ratio to the phase of the same class without slow readers. */
  readonly p50_ratio: number;
  readonly p99_ratio: number;
  readonly added_p99_ms: number;
  /** The same ratio of the rounds that were disturbed least. */
  readonly least_p99_ratio: number;
  readonly disconnected: number;
  readonly dropped: number;
  readonly conflated: number;
  readonly unsent_bytes: number;
}

function sum(results: readonly PhaseResult[], key: keyof PhaseResult): number {
  return results.reduce((total, one) => total + Number(one[key]), 0);
}

function rowOf(results: readonly PhaseResult[], phase: Phase): Row {
  const of = (slow: number) =>
    results.filter((one) => one.class === phase.class && one.slow === slow);
  const [own, none] = [of(phase.slow), of(0)];
  const middle = (some: PhaseResult[], key: "p50_ms" | "p99_ms") => (
    median(some.map((one) => one[key]))
  );
  const least = (some: PhaseResult[]) => Math.min(...some.map((one) => one.p99_ms));
  const [p50_ms, p99_ms] = [middle(own, "p50_ms"), middle(own, "p99_ms")];
  return {
    ...phase,
    expected: sum(own, "expected"),
    received: sum(own, "received"),
    p50_ms,
    p99_ms,
    p50_ratio: p50_ms / middle(none, "p50_ms"),
    p99_ratio: p99_ms / middle(none, "p99_ms"),
    added_p99_ms: p99_ms - middle(none, "p99_ms"),
    least_p99_ratio: least(own) / least(none),
    disconnected: sum(own, "disconnected"),
    dropped: sum(own, "dropped"),
    conflated: sum(own, "conflated"),
    unsent_bytes: Math.max(...own.map((one) => one.unsent_bytes)),
  };
}

/** The rows of the table: one for each class and number of slow readers. */
export function rowsOf(results: readonly PhaseResult[], many: number): Row[] {
  const phases = CLASSES.flatMap((name) => [0, 1, many].map((slow) => ({ class: name, slow })));
  return phases.map((phase) => rowOf(results, phase));
}

function render(rows: readonly Row[]): string {
  const head = [
    ...["class", "slow", "received", "missing", "p50 ms", "p99 ms", "p50", "p99", "least p99"],
    ...["cut off", "dropped", "conflated", "waiting KB"],
  ];
  return renderRows(
    head,
    rows.map((row) => [
      row.class,
      String(row.slow),
      String(row.received),
      String(row.expected - row.received),
      row.p50_ms.toFixed(1),
      row.p99_ms.toFixed(1),
      `${row.p50_ratio.toFixed(2)}x`,
      `${row.p99_ratio.toFixed(2)}x`,
      `${row.least_p99_ratio.toFixed(2)}x`,
      ...[row.disconnected, row.dropped, row.conflated].map(String),
      (row.unsent_bytes / 1_000).toFixed(0),
    ]),
  );
}

/** Why the promise does not hold for a row; undefined when it does. */
export function brokenBy(row: Row, rounds: number, noise_ms: number): string | undefined {
  const where = `${row.class} with ${row.slow} slow`;
  if (row.received !== row.expected) return `${where}: ${row.expected - row.received} are missing`;
  const medians_broken = row.p99_ratio > RATIO_MAX && row.added_p99_ms > noise_ms;
  // The cost of slow readers is there in every round, disturbances of the machine only in some.
  if (medians_broken && row.least_p99_ratio > RATIO_MAX) {
    return `${where}: p99 of the others is ${row.p99_ratio.toFixed(2)} times that with none`;
  }
  if (row.slow === 0) return undefined;
  const done = {
    disconnect: row.disconnected === row.slow * rounds,
    "drop-oldest": row.disconnected === 0 && row.dropped > 0,
    latest: row.disconnected === 0 && row.conflated > 0,
  };
  return done[row.class] ? undefined : `${where}: the slow ones did not get what the class says`;
}

function serverLines(kind: string): string {
  try {
    return websocketLine(kind);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan: SlowReaderPlan = {
    readers: positive(values, "readers"),
    processes: positive(values, "processes"),
    many: positive(values, "many"),
    rounds: positive(values, "rounds"),
    seconds: positive(values, "seconds"),
    rate: positive(values, "rate"),
    size_bytes: positive(values, "bytes"),
    server_lines: serverLines(String(values["websocket"])),
  };
  const noise_ms = positive(values, "noise");
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error(`slow_reader: ${plan.readers} readers, ${plan.rounds} rounds of 9 phases ...`);
  const results = await runProgram<PhaseResult[]>(
    "bench/slow_reader/slow_reader_child.ts",
    permissions,
    [JSON.stringify(plan)],
  );
  const rows = rowsOf(results, plan.many);
  const broken = rows.map((row) => brokenBy(row, plan.rounds, noise_ms));
  return {
    report: { options: { ...plan, noise_ms }, rows, rounds: results },
    table: render(rows),
    failure: broken.find((why) => why !== undefined),
  };
}

/** The scenario of `deno task bench slow_reader`. */
export const SLOW_READER: Scenario = {
  name: "slow_reader",
  help: HELP,
  options: {
    readers: text("999"),
    processes: text("3"),
    many: text("50"),
    rounds: text("5"),
    seconds: text("4"),
    rate: text("40"),
    bytes: text("256"),
    websocket: text(""),
    noise: text("10"),
  },
  run,
};
