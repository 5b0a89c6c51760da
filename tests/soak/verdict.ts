/**
 * What a soak run measured against what is promised: messages, memory over time, latency over time.
 * Pure. Promises about speed hold for a machine that has the time; `counts_only` leaves them out.
 */
import { merged } from "../../bench/measure/histogram.ts";
import type { Latencies } from "../../bench/measure/histogram.ts";
import { median } from "../../bench/measure/statistics.ts";
import type { Memory } from "./deployment.ts";
import { byKind, KINDS } from "./plan.ts";
import type { Done, Report, RoomKind } from "./plan.ts";
import { addFaults, noFaults } from "./room_check.ts";
import type { RoomFaults } from "./room_check.ts";
import { lineThrough } from "./slope.ts";
import type { Line } from "./slope.ts";

/** Memory at one time of the run. */
export interface MemoryReading extends Memory {
  readonly at_ms: number;
}

/** One row of the table: what happened in one stretch of time, over all client processes. */
export interface Row {
  readonly at_ms: number;
  readonly sent: number;
  readonly received: number;
  /** By the kind of room; encoded, since a long run has many rows. */
  readonly latencies: Readonly<Record<RoomKind, readonly string[]>>;
}

/** Everything that was measured. */
export interface Measured {
  readonly rows: readonly Row[];
  readonly memory: readonly MemoryReading[];
  readonly done: readonly Done[];
  readonly connections: number;
  readonly counts_only: boolean;
  readonly bugs: readonly string[];
}

/** Names of processes with memory. */
export const PROCESSES = ["shield", "brain", "nats"] as const;

/** From publish to receive, as docs/architecture.md#promises says. */
const P99_MS = 30;
/** docs/architecture.md#promises: 10,000 idle connections and more in less than this. */
const SHIELD_BYTES = 1_000_000_000;
/** The first part of a run is for caches to fill and code to be compiled. */
const WARM_UP = 0.25;
/**
 * A heap climbs to its limit and falls back for the first time in about that, under the load of a soak;
 * a run that is shorter than twice as long counts its second half.
 */
const CLIMB_MS = 300_000;
/** What the line through a process's memory may grow by within the run: a share of it, or this. */
const GROWTH = 0.05;
const GROWTH_BYTES = 24_000_000;
/** The last third's p99 over the first's, when it is above what is noise. */
const P99_GROWTH = 2;
const P99_NOISE_MS = 10;

/** Adds up reports that came at about one time. */
export function rowOf(at_ms: number, reports: readonly Report[]): Row {
  const latencies = byKind((kind) => reports.map((report) => report.latencies[kind]));
  const sum = (of: "sent" | "received") => reports.reduce((all, report) => all + report[of], 0);
  return { at_ms, sent: sum("sent"), received: sum("received"), latencies };
}

/** The faults of all client processes. */
export function faultsOf(done: readonly Done[]): RoomFaults {
  const sum = noFaults();
  for (const { faults } of done) addFaults(sum, faults);
  return sum;
}

const warm = <T>(all: readonly T[]) => all.slice(Math.floor(all.length * WARM_UP));

/** The line through a process's memory without the warm-up. */
export function memoryLine(memory: readonly MemoryReading[], name: keyof Memory): Line {
  const whole_ms = memory.at(-1)?.at_ms ?? 0;
  const from_ms = Math.max(whole_ms * WARM_UP, Math.min(CLIMB_MS, whole_ms / 2));
  return lineThrough(
    memory.filter(({ at_ms }) => at_ms >= from_ms)
      .map((reading) => ({ at_ms: reading.at_ms, value: reading[name] })),
  );
}

/** The latencies of all of these rows, of one kind of room or of all. */
export function latenciesOf(rows: readonly Row[], kinds: readonly RoomKind[] = KINDS): Latencies {
  return merged(rows.flatMap(({ latencies }) => kinds.flatMap((kind) => latencies[kind])));
}

/** Median p99 of the first and the last third of the rows without the warm-up; NaN with too few. */
export function p99Ends(rows: readonly Row[]): [first: number, last: number] {
  const counted = warm(rows).map((row) => latenciesOf([row]).figures())
    .filter(({ count }) => count > 0).map(({ p99_ms }) => p99_ms);
  const third = Math.floor(counted.length / 3);
  return [median(counted.slice(0, third)), median(counted.slice(counted.length - third))];
}

/** Latencies without the warm-up, of one kind of room or of all. */
export function warmLatencies(rows: readonly Row[], kinds: readonly RoomKind[] = KINDS): Latencies {
  return latenciesOf(warm(rows), kinds);
}

function speedProblems({ rows, memory, connections }: Measured): string[] {
  const problems: string[] = [];
  for (const name of PROCESSES) {
    const { growth, mean } = memoryLine(memory, name);
    if (growth <= Math.max(mean * GROWTH, GROWTH_BYTES)) continue;
    const [grown, all] = [growth, mean].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
    problems.push(`memory of the ${name} is not flat: it grew by ${grown} around ${all}`);
  }
  const most = Math.max(...memory.map(({ shield }) => shield));
  if (most >= SHIELD_BYTES) {
    problems.push(`the Shield took ${(most / 1e6).toFixed(0)} MB for ${connections} connections`);
  }
  const [first, last] = p99Ends(rows);
  if (last > P99_NOISE_MS && last > first * P99_GROWTH) {
    problems.push(
      `p99 is not flat: ${first.toFixed(1)} ms at first, ${last.toFixed(1)} ms at last`,
    );
  }
  const p99_ms = warmLatencies(rows).quantile(0.99);
  if (p99_ms >= P99_MS) {
    problems.push(`p99 from publish to receive is ${p99_ms.toFixed(1)} ms; promised: ${P99_MS} ms`);
  }
  return problems;
}

/** Which promises do not hold; empty: all do. */
export function violationsOf(measured: Measured): string[] {
  const { done, counts_only, bugs } = measured;
  const problems = Object.entries(faultsOf(done)).flatMap(([name, count]) =>
    count === 0 ? [] : [`${name.replaceAll("_", " ")}: ${count}`]
  );
  for (const [reason, count] of done.flatMap(({ refusals }) => refusals)) {
    problems.push(`refused (${reason}): ${count}`);
  }
  if (done.every(({ received }) => received === 0)) problems.push("nothing was received");
  if (!counts_only) problems.push(...speedProblems(measured));
  return [...problems, ...done.flatMap(({ findings }) => findings), ...bugs];
}
