/**
 * The load generator. A scenario defines the connections (`Crowd`) and their work (`Run`); this module starts load
 * processes, gives each its part, and adds up their measurements:
 *
 *     const report = await runLoad(running, {
 *       groups: [{ connections: 10, tenants: 1, prefix: "echo", rooms: 10, rooms_each: 1,
 *                  subscribes: true, publishes: true, batch: false }],
 *       processes: 2, echo: true,
 *       pace: { kind: "rate", rate: 10_000, burst: 1 }, sizes_bytes: [256],
 *       warmup_seconds: 1, seconds: 5,
 *     });
 *
 * `openLoad` keeps the connections for several runs and measures the target's usage in the meantime.
 * Latencies count from the due time of a message (coordinated omission; G. Tene, "How NOT to Measure
 * Latency"); CPU time and memory are those of the target's processes. It knows no target and no protocol.
 */
import { place, type Placement, placement } from "../../measure/cores.ts";
import { type Latency, merged } from "../../measure/histogram.ts";
import { unixMs } from "./measure.ts";
import { type Crowd, type LoadPlan, processesOf, type Run } from "../plans/plan.ts";
import { type Program, startProgram } from "../../measure/line_program.ts";
import type { RunningTarget } from "../targets/target.ts";
import {
  cpuSecondsBetween,
  threadSecondsBetween,
  type Usage,
  usagesOf,
} from "../../measure/usage.ts";
import type { Count, Opened, Order, Report, Sent, Word } from "./words.ts";

/** Time from the command to the common start of all processes, in ms. */
const BEGIN_MS = 100;
/** Time without deliveries in ms after which a drain ends. */
const SILENCE_MS = 5_000;
const POLL_MS = 20;
/** Time limit in ms for the log of an ended process to give the reason. */
const LOG_MS = 1_000;

/** The result of a run. */
export interface LoadReport {
  readonly seconds: number;
  /** Number of published messages, of expected deliveries, and of actual deliveries; warm-up included. */
  readonly sent: number;
  readonly expected: number;
  readonly received: number;
  /** Deliveries that were expected and never arrived; below 0: more arrived than were expected. */
  readonly missing: number;
  /** Deliveries per second during the measurement. */
  readonly delivered_per_s: number;
  /** Latency from the due time of a message to its delivery. */
  readonly latency: Latency;
  /** Time from the due time of a message to its sending, which is the generator's share of the latencies. */
  readonly lateness: Latency;
  /** The latencies in µs as HdrHistogram V2. */
  readonly histogram: string;
  /** Number of cores that the target used; 1 is a whole core. */
  readonly cores: number;
  /** Number of cores that other processes of the target used, such as NATS. */
  readonly beside_cores: number;
  readonly generator_cores: number;
  /** CPU seconds of the target during the measurement, by thread name. */
  readonly threads: Readonly<Record<string, number>>;
  /** CPU time of the target per delivery during the measurement. */
  readonly cpu_us: number;
  /** Deliveries per CPU second of the target. */
  readonly per_cpu_s: number;
  /** Resident memory of the target at the end of the measurement. */
  readonly rss_bytes: number;
  /** Number of refusals and disconnections, and the first few of them. */
  readonly problem_count: number;
  readonly problems: readonly string[];
  /** The placement of load and target on the cores, for people. */
  readonly placed: string;
}

/** The plan for new connections at a constant rate. */
interface ConnectPlan {
  readonly rate: number;
  readonly warmup_seconds: number;
  readonly seconds: number;
}

/** The open connections of a load. */
export interface Load extends AsyncDisposable {
  readonly connections: number;
  run(run: Run): Promise<LoadReport>;
  /** Opens more connections like those of the first group. The report counts connections in place of messages. */
  connect(plan: ConnectPlan): Promise<LoadReport>;
  /** The current CPU time and memory of the target. */
  usage(): Promise<Usage>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

function sum<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((total, one) => total + value(one), 0);
}

const urlOf = ({ wire }: RunningTarget, process: number) => wire.urls?.[process] ?? wire.url;

function startAll(running: RunningTarget, crowd: Crowd, { load }: Placement): Program[] {
  return Array.from(
    { length: processesOf(crowd) },
    (_, process) =>
      startProgram("bench/load/crowd/load_process.ts", {
        flags: ["--ignore-env", `--allow-net=${new URL(urlOf(running, process)).host}`],
        before: load,
      }),
  );
}

async function openAll(all: readonly Program[], running: RunningTarget, crowd: Crowd) {
  const opened = await Promise.all(all.map(async (program, process) => {
    const wire = { ...running.wire, url: urlOf(running, process) };
    await program.say({ wire, crowd, process } satisfies Order);
    return await program.next<Opened>();
  }));
  const problem = opened.find((one) => one.problem !== undefined)?.problem;
  if (problem !== undefined) throw new Error(`connections were refused: ${problem}`);
  return sum(opened, (one) => one.connections);
}

/** Sends a command to all processes. Resolves with their answers in the same order. */
async function askAll<T>(all: readonly Program[], word: Word): Promise<T[]> {
  return await Promise.all(all.map(async (program) => {
    await program.say(word);
    return await program.next<T>();
  }));
}

/** Waits until all expected messages have arrived, or deliveries have stopped. */
async function drain(all: readonly Program[], expected: number): Promise<void> {
  let received = -1;
  let changed_ms = performance.now();
  for (;;) {
    const counts = await askAll<Count>(all, { word: "count" });
    const now = sum(counts, (count) => count.received);
    if (now !== received) [received, changed_ms] = [now, performance.now()];
    if (received >= expected || performance.now() - changed_ms > SILENCE_MS) return;
    await pause(POLL_MS);
  }
}

interface Measured {
  readonly seconds: number;
  readonly sent: readonly Sent[];
  readonly reports: readonly Report[];
  /** Usage of the target, of its other processes and of the load, before and after the measurement. */
  readonly before: readonly Usage[];
  readonly after: readonly Usage[];
  readonly placed: string;
}

function reportOf({ seconds, sent, reports, before, after, placed }: Measured): LoadReport {
  const cores = (index: number) =>
    cpuSecondsBetween(before[index]!, after[index]!) * 1_000 /
    (after[index]!.at_ms - before[index]!.at_ms);
  const latencies = merged(reports.map((report) => report.latencies));
  const expected = sum(sent, (one) => one.expected);
  const received = sum(reports, (one) => one.received);
  const delivered_per_s = sum(reports, (one) => one.delivered) / seconds;
  return {
    seconds,
    sent: sum(sent, (one) => one.sent),
    expected,
    received,
    missing: expected - received,
    delivered_per_s,
    latency: latencies.figures(),
    lateness: merged(reports.map((report) => report.lateness)).figures(),
    histogram: latencies.encode(),
    cores: cores(0),
    beside_cores: cores(1),
    generator_cores: cores(2),
    threads: Object.fromEntries(threadSecondsBetween(before[0]!, after[0]!)),
    cpu_us: cores(0) * 1e6 / delivered_per_s,
    per_cpu_s: delivered_per_s / cores(0),
    rss_bytes: after[0]!.rss_bytes,
    problem_count: sum(reports, (one) => one.problem_count),
    problems: reports.flatMap((report) => report.problems).slice(0, 5),
    placed,
  };
}

/** Connects a crowd. Rejects if a connection or a room is refused. */
export async function openLoad(running: RunningTarget, crowd: Crowd): Promise<Load> {
  await using owned = new AsyncDisposableStack();
  const placed = await placement();
  await place(running.pids, placed);
  const all = startAll(running, crowd, placed).map((program) => owned.use(program));
  const connections = await openAll(all, running, crowd);
  const sets = [running.pids, running.beside_pids ?? [], all.map(({ pid }) => pid)];
  const measure = async (
    { warmup_seconds, seconds }: { warmup_seconds: number; seconds: number },
    word: (start_ms: number) => Word,
  ) => {
    const start_ms = unixMs() + BEGIN_MS;
    const sending = askAll<Sent>(all, word(start_ms));
    // The result is awaited below; until then a failure must not count as an unhandled rejection.
    sending.catch(() => {});
    const usagesAt = async (seconds: number) => {
      await pause(start_ms + seconds * 1_000 - unixMs());
      try {
        return await usagesOf(sets);
      } catch (error) {
        // The log of an ended load process gives the reason for its end.
        await Promise.race([sending, pause(LOG_MS)]);
        throw error;
      }
    };
    const before = await usagesAt(warmup_seconds);
    const after = await usagesAt(warmup_seconds + seconds);
    const sent = await sending;
    await drain(all, sum(sent, (one) => one.expected));
    const reports = await askAll<Report>(all, { word: "report" });
    return reportOf({ seconds, sent, reports, before, after, placed: placed.how });
  };
  const stack = owned.move();
  return {
    connections,
    run: (run) => measure(run, (start_ms) => ({ word: "run", run, start_ms })),
    connect: (plan) => measure(plan, (start_ms) => ({ word: "connect", ...plan, start_ms })),
    usage: async () => (await usagesOf([running.pids]))[0]!,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Connects, runs once, and closes all connections. */
export async function runLoad(running: RunningTarget, plan: LoadPlan): Promise<LoadReport> {
  await using load = await openLoad(running, plan);
  return await load.run(plan);
}
