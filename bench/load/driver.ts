/**
 * The load generator. A scenario says what connections there are (`Crowd`) and what they do (`Run`);
 * this starts load processes, gives each its part, and adds up what they measured:
 *
 *     const report = await runLoad(running, {
 *       groups: [{ connections: 10, tenants: 1, prefix: "echo", rooms: 10, rooms_each: 1,
 *                  subscribes: true, publishes: true, batch: false }],
 *       processes: 2, echo: true,
 *       pace: { kind: "rate", rate: 10_000, burst: 1 }, sizes_bytes: [256],
 *       warmup_seconds: 1, seconds: 5,
 *     });
 *
 * `openLoad` keeps the connections for several runs and tells what the target uses meanwhile.
 * Latencies count from the time at which a message was due (coordinated omission; G. Tene, "How NOT
 * to Measure Latency"); CPU time and memory are those of the target's processes. It knows no target
 * and no protocol.
 */
import { place, type Placement, placement } from "./cores.ts";
import { type Latency, merged } from "./histogram.ts";
import { unixMs } from "./measure.ts";
import { processesOf } from "./plan.ts";
import type { Crowd, LoadPlan, Run } from "./plan.ts";
import { type Program, startProgram } from "./program.ts";
import type { RunningTarget } from "./target.ts";
import { cpuSecondsBetween, type Usage, usagesOf } from "./usage.ts";
import type { Count, Opened, Order, Report, Sent, Word } from "./words.ts";

/** All processes begin so long after they are told. */
const BEGIN_MS = 100;
/** A drain ends when nothing has come for so long. */
const SILENCE_MS = 5_000;
const POLL_MS = 20;
/** A process that has ended says why within this. */
const LOG_MS = 1_000;

/** What a run came to. */
export interface LoadReport {
  readonly seconds: number;
  /** Published, and how often that was to be heard and was, warm-up included. */
  readonly sent: number;
  readonly expected: number;
  readonly received: number;
  /** Expected and never heard; below 0: heard more often than it was to be. */
  readonly missing: number;
  /** Heard in the counted time, a second. */
  readonly delivered_per_s: number;
  /** From the due time to when it was heard. */
  readonly latency: Latency;
  /** From the due time to when the generator sent it: its own part of the latencies above. */
  readonly lateness: Latency;
  /** HdrHistogram V2 of the latencies, µs. */
  readonly histogram: string;
  /** Cores that the target used, as 1 for a whole one. */
  readonly cores: number;
  /** The same of what it works with, such as NATS. */
  readonly beside_cores: number;
  readonly generator_cores: number;
  /** CPU time of the target for each delivery in the counted time. */
  readonly cpu_us: number;
  /** Deliveries for each second of CPU time of the target. */
  readonly per_cpu_s: number;
  /** Resident memory of the target at the end of the counted time. */
  readonly rss_bytes: number;
  /** Refusals and ends of connections: how many, and the first few. */
  readonly problem_count: number;
  readonly problems: readonly string[];
  /** How load and target share the cores. */
  readonly placed: string;
}

/** New connections at a constant rate. */
export interface ConnectPlan {
  readonly rate: number;
  readonly warmup_seconds: number;
  readonly seconds: number;
}

/** Connections that are open. */
export interface Load extends AsyncDisposable {
  readonly connections: number;
  run(run: Run): Promise<LoadReport>;
  /** Opens more, as those of the first group; the report's messages are connections. */
  connect(plan: ConnectPlan): Promise<LoadReport>;
  /** What the target uses now. */
  usage(): Promise<Usage>;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

function sum<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((total, one) => total + value(one), 0);
}

function startAll(running: RunningTarget, crowd: Crowd, { load }: Placement): Program[] {
  const { host } = new URL(running.wire.url);
  return Array.from(
    { length: processesOf(crowd) },
    () =>
      startProgram("bench/load/load_process.ts", {
        flags: ["--ignore-env", `--allow-net=${host}`],
        before: load,
      }),
  );
}

async function openAll(all: readonly Program[], running: RunningTarget, crowd: Crowd) {
  const opened = await Promise.all(all.map(async (program, process) => {
    await program.say({ wire: running.wire, crowd, process } satisfies Order);
    return await program.hear<Opened>();
  }));
  const problem = opened.find((one) => one.problem !== undefined)?.problem;
  if (problem !== undefined) throw new Error(`connections were refused: ${problem}`);
  return sum(opened, (one) => one.connections);
}

/** All processes with their answers in the same order. */
async function askAll<T>(all: readonly Program[], word: Word): Promise<T[]> {
  return await Promise.all(all.map(async (program) => {
    await program.say(word);
    return await program.hear<T>();
  }));
}

/** Until all is heard, or nothing comes any more. */
async function drain(all: readonly Program[], expected: number): Promise<void> {
  let [received, changed_ms] = [-1, performance.now()];
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
  /** Of the target, of what is beside it, and of the load, before and after the counted time. */
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
    cpu_us: cores(0) * 1e6 / delivered_per_s,
    per_cpu_s: delivered_per_s / cores(0),
    rss_bytes: after[0]!.rss_bytes,
    problem_count: sum(reports, (one) => one.problem_count),
    problems: reports.flatMap((report) => report.problems).slice(0, 5),
    placed,
  };
}

/** Connects a crowd. Rejects when a connection or a room is refused. */
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
    // Who waits for it does so below; until then a failure is not nobody's.
    sending.catch(() => {});
    const usagesAt = async (seconds: number) => {
      await pause(start_ms + seconds * 1_000 - unixMs());
      try {
        return await usagesOf(sets);
      } catch (error) {
        // Where a process of the load has ended, its log says more than that it is gone.
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

/** Connects, runs once, and closes. */
export async function runLoad(running: RunningTarget, plan: LoadPlan): Promise<LoadReport> {
  await using load = await openLoad(running, plan);
  return await load.run(plan);
}
