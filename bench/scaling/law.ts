/**
 * A scaling law: one number grows while the load stays the same, and the CPU time of a message is measured.
 * `laws.ts` has the numbers that grow.
 */
import { type LoadReport, runLoad } from "../load/crowd/driver.ts";
import type { LoadPlan } from "../load/plans/plan.ts";
import type { RunningTarget } from "../load/targets/target.ts";
import { medianOf } from "../measure/statistics.ts";

/** The description of one law. */
export interface Law {
  readonly name: string;
  /** Name of what grows. */
  readonly axis: string;
  /** What stays the same, in words. */
  readonly about: string;
  /** The steps in ascending order; 0 means without any. */
  readonly steps: readonly number[];
  /** The largest step of a quick run. */
  readonly quick_most: number;
  start(): Promise<RunningLaw>;
}

/** A server on which a law is measured. */
export interface RunningLaw extends AsyncDisposable {
  /** Whether steps cannot be taken back. Then each step is measured as often as asked before the next. */
  readonly ascends: boolean;
  /** The target and load for a step, which it prepares first when the step is more than a load. */
  at(step: number): Promise<{ readonly running: RunningTarget; readonly plan: LoadPlan }>;
}

/** The cost of one step, from all rounds. */
export interface StepCost {
  readonly step: number;
  /** CPU time of the server for a message, publish to receive; median of the rounds. */
  readonly cpu_us: number;
  /** The same of each round. */
  readonly rounds_us: readonly number[];
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly rss_bytes: number;
  /** Missing messages of all rounds; 0 unless something is wrong. */
  readonly missing: number;
}

function costOf(step: number, reports: readonly LoadReport[]): StepCost {
  const latencies = reports.map(({ latency }) => latency);
  return {
    step,
    cpu_us: medianOf(reports, "cpu_us"),
    rounds_us: reports.map(({ cpu_us }) => cpu_us),
    p50_ms: medianOf(latencies, "p50_ms"),
    p99_ms: medianOf(latencies, "p99_ms"),
    rss_bytes: medianOf(reports, "rss_bytes"),
    missing: reports.reduce((sum, { missing }) => sum + Math.abs(missing), 0),
  };
}

/** The order of the measurements: the steps up, down and up, or each step so often before the next. */
export function orderOf(steps: readonly number[], rounds: number, ascends: boolean): number[] {
  if (ascends) return steps.flatMap((step) => new Array<number>(rounds).fill(step));
  return Array.from({ length: rounds }, (_, round) => round % 2 === 0 ? steps : steps.toReversed())
    .flat();
}

/** Measures a law on one server. The first load only makes its compilers warm. */
export async function measureLaw(
  law: Law,
  { rounds, quick }: { readonly rounds: number; readonly quick: boolean },
): Promise<StepCost[]> {
  const steps = law.steps.filter((step) => !quick || step <= law.quick_most);
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
