/**
 * Compares the measurements of a soak run with the promises: messages, memory over time, latency over time; and renders
 * them as tables. Pure. Promises about speed need an unloaded machine; `counts_only` excludes them.
 */
import type { LoadReport } from "../../bench/load/crowd/driver.ts";
import { median } from "../../bench/measure/statistics.ts";
import { renderRows } from "../../bench/measure/table.ts";
import type { Memory } from "./deployment.ts";

/** One value at one time. */
interface Reading {
  readonly at_ms: number;
  readonly value: number;
}

/** The line through readings. */
interface Line {
  /** Per millisecond; 0 with fewer than two different times. */
  readonly slope: number;
  readonly mean: number;
  /** The line's growth from the first reading to the last. */
  readonly growth: number;
}

/** By least squares; throws RangeError without readings. */
function lineThrough(readings: readonly Reading[]): Line {
  const first = readings[0];
  const last = readings.at(-1);
  if (first === undefined || last === undefined) throw new RangeError("no readings");
  const count = readings.length;
  const mean_ms = readings.reduce((sum, { at_ms }) => sum + at_ms, 0) / count;
  const mean = readings.reduce((sum, { value }) => sum + value, 0) / count;
  let products = 0;
  let squares = 0;
  for (const { at_ms, value } of readings) {
    products += (at_ms - mean_ms) * (value - mean);
    squares += (at_ms - mean_ms) ** 2;
  }
  const slope = squares === 0 ? 0 : products / squares;
  return { slope, mean, growth: slope * (last.at_ms - first.at_ms) };
}

type Counted = "sent" | "received" | "missing" | "latency" | "problem_count" | "problems";

/** Counts of one interval, and the memory at its end. */
export interface Row extends Pick<LoadReport, Counted> {
  readonly at_ms: number;
  readonly memory: Memory;
}

/** All measurements. */
export interface Measured {
  readonly rows: readonly Row[];
  readonly connections: number;
  readonly counts_only: boolean;
  readonly bugs: readonly string[];
  /** Clients that connected and disconnected. */
  readonly visits: number;
}

/** Names of processes with memory. */
const PROCESSES = ["shield", "brain", "nats"] as const;

/** From publish to receive, as docs/architecture.md#promises has it. */
const P99_MS = 30;
/** docs/architecture.md#promises: 10,000 idle connections and more in less than this. */
const SHIELD_BYTES = 1_000_000_000;
/** In the first part of a run caches fill and code is compiled. */
const WARM_UP = 0.25;
/**
 * Under the load of a soak, a heap grows to its limit and shrinks for the first time after about this long; a run
 * shorter than twice that counts its second half.
 */
const CLIMB_MS = 300_000;
/** The allowed growth of the line through a process's memory within the run: this share, or at least `GROWTH_BYTES`. */
const GROWTH = 0.05;
const GROWTH_BYTES = 24_000_000;
/** The last third's p99 over the first's, if it exceeds noise. */
const P99_GROWTH = 2;
const P99_NOISE_MS = 10;

/** The line through a process's memory without the warm-up. */
function memoryLine(rows: readonly Row[], name: keyof Memory): Line {
  const whole_ms = rows.at(-1)?.at_ms ?? 0;
  const from_ms = Math.max(whole_ms * WARM_UP, Math.min(CLIMB_MS, whole_ms / 2));
  return lineThrough(
    rows.filter(({ at_ms }) => at_ms >= from_ms)
      .map(({ at_ms, memory }) => ({ at_ms, value: memory[name] })),
  );
}

/** p99 of each interval after the warm-up. */
const p99s = (rows: readonly Row[]): number[] =>
  rows.slice(Math.floor(rows.length * WARM_UP)).map(({ latency }) => latency.p99_ms);

/** Median p99 of the first and the last third; NaN with too few intervals. */
function p99Ends(rows: readonly Row[]): [first: number, last: number] {
  const counted = p99s(rows);
  const third = Math.floor(counted.length / 3);
  return [median(counted.slice(0, third)), median(counted.slice(counted.length - third))];
}

function speedProblems({ rows, connections }: Measured): string[] {
  const problems: string[] = [];
  for (const name of PROCESSES) {
    const { growth, mean } = memoryLine(rows, name);
    if (growth <= Math.max(mean * GROWTH, GROWTH_BYTES)) continue;
    const [grown, all] = [growth, mean].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
    problems.push(`memory of the ${name} is not flat: it grew by ${grown} around ${all}`);
  }
  const most = Math.max(...rows.map(({ memory }) => memory.shield));
  if (most >= SHIELD_BYTES) {
    problems.push(`the Shield took ${(most / 1e6).toFixed(0)} MB for ${connections} connections`);
  }
  const [first, last] = p99Ends(rows);
  if (last > P99_NOISE_MS && last > first * P99_GROWTH) {
    problems.push(
      `p99 is not flat: ${first.toFixed(1)} ms at first, ${last.toFixed(1)} ms at last`,
    );
  }
  const p99_ms = median(p99s(rows));
  if (p99_ms >= P99_MS) {
    problems.push(`p99 from publish to receive is ${p99_ms.toFixed(1)} ms; promised: ${P99_MS} ms`);
  }
  return problems;
}

/** Promises that do not hold; empty if all do. */
export function violationsOf(measured: Measured): string[] {
  const { rows, counts_only, bugs } = measured;
  const problems = rows.flatMap(({ at_ms, missing, problem_count, problems: [first] }) => {
    const when = `${(at_ms / 60_000).toFixed(1)} min`;
    return [
      ...(missing > 0 ? [`${when}: ${missing} deliveries are lost`] : []),
      ...(missing < 0 ? [`${when}: ${-missing} deliveries too many`] : []),
      ...(problem_count > 0
        ? [`${when}: ${problem_count} refusals and ends, first: ${first}`]
        : []),
    ];
  });
  if (rows.every(({ received }) => received === 0)) problems.push("nothing was received");
  if (!counts_only) problems.push(...speedProblems(measured));
  return [...problems, ...bugs];
}

const HOUR_MS = 3_600_000;
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

/** All measurements. */
export function renderSoak(measured: Measured): string {
  const { rows, connections, visits } = measured;
  const byTime = renderRows(
    ["minute", "sent", "received", "p50 ms", "p99 ms", ...PROCESSES.map((name) => `${name} MB`)],
    rows.map(({ at_ms, sent, received, latency, memory }) => [
      ...[(at_ms / 60_000).toFixed(1), String(sent), String(received)],
      ...[latency.p50_ms.toFixed(2), latency.p99_ms.toFixed(2)],
      ...PROCESSES.map((name) => megabytes(memory[name])),
    ]),
  );
  const byProcess = renderRows(
    ["memory", "last MB", "slope MB/h", "KB a connection"],
    PROCESSES.map((name) => {
      const last = rows.at(-1)?.memory[name] ?? NaN;
      const each = name === "shield" ? (last / connections / 1e3).toFixed(1) : "";
      return [name, megabytes(last), megabytes(memoryLine(rows, name).slope * HOUR_MS), each];
    }),
  );
  const [first, last] = p99Ends(rows).map((p99) => p99.toFixed(1));
  const ends = `${visits} visitors; p99 at first ${first} ms, at last ${last} ms`;
  return [byTime, "", byProcess, "", ends].join("\n");
}
