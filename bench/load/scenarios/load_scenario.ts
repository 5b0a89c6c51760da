/**
 * A scenario of the load generator, and its results. `load_rounds.ts` runs it on targets, `load_command.ts`
 * from the command line, and `load_table.ts` renders the results.
 */
import type { ParseArgsOptionsConfig } from "node:util";
import { text, UsageError } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import type { LoadReport } from "../crowd/driver.ts";
import type { Ability, RunningTarget } from "../targets/target.ts";

/**
 * The option of scenarios of messages for how long a process that has just started serves the first case
 * before anything of it is measured. The same for all targets, by default long enough that engines have
 * compiled what the load needs: a server that has run for a while is measured, not its first seconds.
 */
export const WARM_OPTION = { warm: text("10") } as const;

/** Its line for `--help`. */
export const WARM_HELP =
  `  --warm N          seconds that each new process serves the first case before, so that a server
                    is measured that has run for a while; 0: one that has just started (10)
`;

/** The value of `WARM_OPTION`; 0 for a scenario that does not have it. Throws `UsageError`. */
export function warmSeconds({ warm = "0" }: OptionValues): number {
  const seconds = Number(warm);
  if (Number.isInteger(seconds) && seconds >= 0) return seconds;
  throw new UsageError(`--warm expects a whole number of seconds, got ${JSON.stringify(warm)}`);
}

/** The figures of one measurement, by names that end in their units. */
export type Figures = Readonly<Record<string, number>>;

/** One case, which a scenario measures on each target. */
export interface LoadCase {
  readonly name: string;
  /** Abilities that a target needs for the case. Other targets are left out, and the report says so. */
  readonly needs: readonly Ability[];
  readonly tls?: boolean;
  readonly tenants?: number;
  /** The case with whose figures on bare Deno this one is compared; absent: this case itself. */
  readonly beside?: string;
}

/** The result of one measurement. */
export interface Measurement {
  readonly figures: Figures;
  /** Number of expected messages that never came. */
  readonly missing: number;
  readonly problems: readonly string[];
  /** The latencies in µs as HdrHistogram V2, in Base64. */
  readonly histogram?: string;
}

/** A column of the table, which shows one figure. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
}

/** A scenario of the load generator. */
export interface LoadScenario<C extends LoadCase = LoadCase> {
  readonly name: string;
  /** The text for `--help`, without the common options. */
  readonly help: string;
  /** The scenario's own options; `--targets`, `--rounds` and `--quick` are common to all. */
  readonly options: ParseArgsOptionsConfig;
  /** Option values with `--quick`, and in `--all --quick`. */
  readonly quick: Readonly<Record<string, string>>;
  /** Whether each measurement needs a new process of the target, as memory does. */
  readonly fresh: boolean;
  readonly columns: readonly Column[];
  /** Name of the figure that is compared with bare Deno's, and whose least and most are shown. */
  readonly headline: string;
  /** The cases for these option values. Throws `UsageError`. */
  cases(values: OptionValues): readonly C[];
  measure(running: RunningTarget, one: C, values: OptionValues): Promise<Measurement>;
}

/** The results of a target in a case. */
export interface Row {
  readonly scenario: string;
  readonly case: string;
  readonly target: string;
  readonly title: string;
  readonly version: string;
  /** The medians of the rounds. */
  readonly medians: Figures;
  /** The least value of the headline. */
  readonly least: number;
  readonly most: number;
  /** Ratio of the headline to bare Deno's; NaN without bare Deno. */
  readonly ratio: number;
  readonly missing: number;
  readonly problems: readonly string[];
  readonly rounds: readonly Figures[];
  /** The latencies of all rounds in µs as HdrHistogram V2; absent when there are none. */
  readonly histogram?: string;
}

/** A case that a target did not measure. */
export interface Omitted {
  readonly case: string;
  readonly target: string;
  readonly why: string;
  /**
   * The reason: `cannot` for a missing ability, `not here` for a target that does not run here, `failed` for
   * a target that should have given figures.
   */
  readonly kind: "cannot" | "not here" | "failed";
}

/** The results of a whole run. */
export interface LoadResults {
  /** How load and targets shared the cores, for people. */
  readonly placed: string;
  readonly rows: readonly Row[];
  readonly omitted: readonly Omitted[];
}

/** The measurement of a load report: its usual figures, and whether messages were lost. */
export function measurementOf(report: LoadReport, more: Figures = {}): Measurement {
  const { latency, lateness } = report;
  return {
    figures: {
      p50_ms: latency.p50_ms,
      p90_ms: latency.p90_ms,
      p99_ms: latency.p99_ms,
      p999_ms: latency.p999_ms,
      max_ms: latency.max_ms,
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
    missing: report.missing,
    problems: report.problems,
    histogram: report.histogram,
  };
}
