/**
 * A scenario of the load generator, and its results. `load_rounds.ts` runs it on targets, `load_command.ts` runs it
 * from the command line, and `load_table.ts` renders the results.
 */
import { type Options, UsageError, type Values } from "../measure/scenario.ts";
import type { LoadReport } from "./crowd/driver.ts";
import type { Ability, RunningTarget } from "./targets/target.ts";

/** The options that all scenarios of the load generator have. */
export const COMMON = {
  targets: ["arqon,arqon-nats,bun", 'in turns; "all" are these and the peers'],
  rounds: [3, "medians over them count"],
  quick: [false, "one short round"],
} satisfies Options;

/**
 * The option of message scenarios for the warm-up time of a new process on the first case. It is the same for all
 * targets. The default lets engines compile the load's code: the measurement is of a server in steady state, not of its
 * first seconds.
 */
export const WARM = {
  warm: ["10", "seconds that each new process serves the first case before; 0: one just started"],
} satisfies Options;

/** The value of `WARM`; 0 for a scenario without it. Throws `UsageError`. */
export function warmSeconds(warm = "0"): number {
  const seconds = Number(warm);
  if (Number.isInteger(seconds) && seconds >= 0) return seconds;
  throw new UsageError(`--warm expects a whole number of seconds, got ${JSON.stringify(warm)}`);
}

/** The figures of one measurement, by name; each name ends in its unit. */
export type Figures = Readonly<Record<string, number>>;

/** One case, which a scenario measures on each target. */
export interface LoadCase {
  readonly name: string;
  /** Capabilities that the case requires. Other targets are skipped, and the report says so. */
  readonly needs: readonly Ability[];
  readonly tls?: boolean;
  readonly tenants?: number;
  /** The case of Bun that this one is compared with; absent: the same case. */
  readonly beside?: string;
  /** Measures once; with `seconds`, for this long. */
  measure(running: RunningTarget, seconds?: number): Promise<Measurement>;
}

/** The result of one measurement. */
export interface Measurement {
  readonly figures: Figures;
  /** Number of expected messages that never arrived. */
  readonly missing: number;
  readonly problems: readonly string[];
  /** The latencies in µs as HdrHistogram V2, in Base64. */
  readonly histogram?: string;
}

/** A column of the table, with one figure. */
export type Column = readonly [key: string, title: string, digits: number];

/** A scenario of the load generator. */
export interface LoadScenario<O extends Options = Options> {
  readonly name: string;
  /** What it measures, in words. */
  readonly about: string;
  /** The scenario's own options, beside `COMMON`. */
  readonly options: O;
  readonly quick: Partial<Values<O>>;
  /** Whether each measurement needs a new process of the target, as memory does. */
  readonly fresh?: true;
  readonly columns: readonly Column[];
  /** Name of the figure that is compared with Bun's, and whose minimum and maximum are shown. */
  readonly headline: string;
  /** The cases for these option values. Throws `UsageError`. */
  cases(values: Values<O>): readonly LoadCase[];
}

/** Number of measurements of a scenario, and the warm-up time of its targets. */
export interface Effort {
  readonly rounds: number;
  readonly warm: number;
}

/** The results of a target in a case. */
export interface Row {
  readonly scenario: string;
  readonly case: string;
  readonly target: string;
  readonly title: string;
  readonly version: string;
  readonly medians: Figures;
  /** The minimum of the headline. */
  readonly least: number;
  readonly most: number;
  /** Ratio of the headline to Bun's; NaN without Bun. */
  readonly ratio: number;
  readonly missing: number;
  readonly problems: readonly string[];
  readonly rounds: readonly Figures[];
  /** The latencies of all rounds in µs as HdrHistogram V2; absent without latencies. */
  readonly histogram?: string;
}

/** A case that a target did not measure. */
export interface Omitted {
  readonly case: string;
  readonly target: string;
  readonly why: string;
  /**
   * The reason: `cannot` for a missing capability, `not here` for a target that does not run on this machine, `failed`
   * for a target whose measurement failed.
   */
  readonly kind: "cannot" | "not here" | "failed";
}

/** The results of a whole run. */
export interface LoadResults {
  /** The placement of load and targets on the cores, for people. */
  readonly placed: string;
  readonly rows: readonly Row[];
  readonly omitted: readonly Omitted[];
}

/** The measurement of a load report: its usual figures, and whether messages were lost. */
export function measurementOf(report: LoadReport, more: Figures = {}): Measurement {
  const { latency, lateness, missing, problems, histogram } = report;
  const { count: _, ...delays } = latency;
  return {
    figures: {
      ...delays,
      late_p99_ms: lateness.p99_ms,
      delivered_per_s: report.delivered_per_s,
      cpu_us: report.cpu_us,
      per_cpu_s: report.per_cpu_s,
      cores: report.cores,
      beside_cpu_us: report.beside_cores * 1e6 / report.delivered_per_s,
      generator_cores: report.generator_cores,
      rss_mb: report.rss_bytes / 1e6,
      ...more,
    },
    missing,
    problems,
    histogram,
  };
}
