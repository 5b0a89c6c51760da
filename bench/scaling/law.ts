/**
 * What a scaling law is: one number that grows while the load stays the same, and the CPU time that a
 * message then costs. Here it is measured; what grows is in `laws.ts`.
 */
import { type LoadReport, runLoad } from "../load/driver.ts";
import type { LoadPlan } from "../load/plan.ts";
import type { RunningTarget } from "../load/target.ts";
import { median } from "../measure/statistics.ts";

/** One law. */
export interface Law {
  readonly name: string;
  /** What grows. */
  readonly axis: string;
  /** What stays the same, for people. */
  readonly about: string;
  /** In ascending order; 0 is without any. */
  readonly steps: readonly number[];
  /** Fewer, for a quick run. */
  readonly quick_steps: readonly number[];
  start(): Promise<RunningLaw>;
}

/** A server to measure a law on. */
export interface RunningLaw extends AsyncDisposable {
  /** Steps cannot be taken back: each is measured as often as asked before the next. */
  readonly ascends: boolean;
  /** What is to be measured at a step; makes it so first, where that takes more than a load. */
  at(step: number): Promise<{ readonly running: RunningTarget; readonly plan: LoadPlan }>;
}

/** One step of all rounds. */
export interface StepCost {
  readonly step: number;
  /** CPU time of the server a message, publish to receive; median of the rounds. */
  readonly cpu_us: number;
  /** Of each round. */
  readonly rounds_us: readonly number[];
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly rss_bytes: number;
  /** Of all rounds; 0 unless something is wrong. */
  readonly missing: number;
}

function costOf(step: number, reports: readonly LoadReport[]): StepCost {
  const middle = (value: (report: LoadReport) => number) => median(reports.map(value));
  return {
    step,
    cpu_us: middle(({ cpu_us }) => cpu_us),
    rounds_us: reports.map(({ cpu_us }) => cpu_us),
    p50_ms: middle(({ latency }) => latency.p50_ms),
    p99_ms: middle(({ latency }) => latency.p99_ms),
    rss_bytes: middle(({ rss_bytes }) => rss_bytes),
    missing: reports.reduce((sum, { missing }) => sum + Math.abs(missing), 0),
  };
}

/** Steps in the order in which they are measured: up, down, up, or each so often before the next. */
export function orderOf(steps: readonly number[], rounds: number, ascends: boolean): number[] {
  if (ascends) return steps.flatMap((step) => new Array<number>(rounds).fill(step));
  return Array.from({ length: rounds }, (_, round) => round % 2 === 0 ? steps : steps.toReversed())
    .flat();
}

/** Measures a law on one server; the first load is for its compilers. */
export async function measureLaw(
  law: Law,
  { rounds, quick }: { readonly rounds: number; readonly quick: boolean },
): Promise<StepCost[]> {
  const steps = quick ? law.quick_steps : law.steps;
  await using running = await law.start();
  const reports = new Map(steps.map((step) => [step, [] as LoadReport[]]));
  const run = async (step: number) => {
    const { running: target, plan } = await running.at(step);
    const report = await runLoad(target, plan);
    if (report.problem_count > 0) {
      throw new Error(`${law.name} ${step}: ${report.problems.join("; ")}`);
    }
    console.error(`scaling: ${step} ${law.axis}, ${report.cpu_us.toFixed(1)} µs a message`);
    return report;
  };
  await run(steps[0]!);
  for (const step of orderOf(steps, rounds, running.ascends)) {
    reports.get(step)!.push(await run(step));
  }
  return [...reports].map(([step, all]) => costOf(step, all));
}
