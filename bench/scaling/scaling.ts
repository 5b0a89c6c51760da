/**
 * The scenario `scaling`: how the CPU time of a message grows as one number grows and the load stays the same.
 * `laws.ts` has the numbers that grow.
 */
import { runLoad } from "../load/crowd/driver.ts";
import type { LoadReport } from "../load/crowd/driver.ts";
import { namedBy } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { medianOf, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { type Law, LAWS } from "./laws.ts";

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

interface MeasuredLaw extends Pick<Law, "name" | "axis" | "about"> {
  readonly steps: readonly StepCost[];
}

/** A step and its cost. */
type Point = Pick<StepCost, "step" | "cpu_us">;

/**
 * The exponent of the power law through the points above 0: 0 for a cost that does not grow, 1 for one that
 * is proportional to the step. NaN with fewer than two points.
 */
export function slopeOf(points: readonly Point[]): number {
  const logs = points.filter(({ step, cpu_us }) => step > 0 && cpu_us > 0)
    .map(({ step, cpu_us }) => ({ x: Math.log(step), y: Math.log(cpu_us) }));
  const mean = (value: (log: { x: number; y: number }) => number) =>
    logs.reduce((sum, log) => sum + value(log), 0) / logs.length;
  const [x_mean, y_mean] = [mean(({ x }) => x), mean(({ y }) => y)];
  const variance = mean(({ x }) => (x - x_mean) ** 2);
  return logs.length < 2 ? NaN : mean(({ x, y }) => (x - x_mean) * (y - y_mean)) / variance;
}

const cheapestOf = (points: readonly Point[]) => Math.min(...points.map(({ cpu_us }) => cpu_us));

/** The ratio of the cost at the largest step to that of the cheapest; NaN without points. */
export const growthOf = (points: readonly Point[]): number =>
  (points.at(-1)?.cpu_us ?? NaN) / cheapestOf(points);

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
async function measureLaw(law: Law, rounds: number, quick: boolean): Promise<MeasuredLaw> {
  const { name, axis, about } = law;
  const steps = law.steps.filter((step) => !quick || step <= law.quick_most);
  await using running = await law.start();
  const reports = new Map(steps.map((step) => [step, [] as LoadReport[]]));
  const run = async (step: number) => {
    const { running: target, plan } = await running.at(step);
    const report = await runLoad(target, plan);
    if (report.problem_count > 0) throw new Error(`${name} ${step}: ${report.problems.join("; ")}`);
    console.error(`scaling: ${step} ${axis}, ${report.cpu_us.toFixed(1)} µs a message`);
    return report;
  };
  await run(steps[0]!);
  for (const step of orderOf(steps, rounds, running.ascends)) {
    reports.get(step)!.push(await run(step));
  }
  return { name, axis, about, steps: [...reports].map(([step, all]) => costOf(step, all)) };
}

const counted = (step: number): string => step.toLocaleString("en-US");

function renderSteps({ axis, about, steps }: MeasuredLaw): string {
  const cheapest = cheapestOf(steps);
  const table = renderTable(steps, [
    [axis, ({ step }) => counted(step)],
    ["CPU µs", ({ cpu_us }) => cpu_us, 1],
    ["least", ({ rounds_us }) => Math.min(...rounds_us), 1],
    ["most", ({ rounds_us }) => Math.max(...rounds_us), 1],
    ["of the cheapest", ({ cpu_us }) => `${(cpu_us / cheapest).toFixed(2)}x`],
    ["p50 ms", ({ p50_ms }) => p50_ms, 2],
    ["p99 ms", ({ p99_ms }) => p99_ms, 2],
    ["RSS MB", ({ rss_bytes }) => rss_bytes / 1e6],
  ]);
  return `${about}\n${table}`;
}

/** The table of the laws, one row for each, as docs/performance.md has it. */
export function renderGrowth(laws: readonly MeasuredLaw[]): string {
  return renderTable(laws, [
    ["law", ({ axis }) => axis],
    ["from", ({ steps }) => counted(steps[0]?.step ?? NaN)],
    ["to", ({ steps }) => counted(steps.at(-1)?.step ?? NaN)],
    ["largest / cheapest", ({ steps }) => `${growthOf(steps).toFixed(2)}x`],
    ["exponent", ({ steps }) => slopeOf(steps), 3],
  ]);
}

const NAMES = LAWS.map(({ name }) => name);

/** The scenario of `deno task bench scaling`. */
export const SCALING = scenario(
  "scaling",
  `CPU time of a message, publish -> receive, on the embedded Spine, as one number
grows and the load stays the same. Medians of the rounds.`,
  {
    only: ["", `some of ${NAMES.join(",")}`],
    rounds: [3, ""],
    quick: [false, "fewer steps and one round"],
  },
  async ({ only, rounds, quick }) => {
    const names = namedBy(only, NAMES);
    const laws: MeasuredLaw[] = [];
    for (const law of LAWS.filter(({ name }) => names.includes(name))) {
      laws.push(await measureLaw(law, quick ? 1 : rounds, quick));
    }
    const missing = sumOf(laws.flatMap(({ steps }) => steps), "missing");
    return {
      report: { rounds, quick, laws },
      table: [...laws.map(renderSteps), renderGrowth(laws)].join("\n\n"),
      failure: missing > 0 ? `${missing} messages were lost` : undefined,
    };
  },
);
