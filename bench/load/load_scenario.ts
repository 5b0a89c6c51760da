/**
 * What a scenario of the load generator is, and what comes of one. `load_rounds.ts` runs it on targets,
 * `load_command.ts` from the command line, and `load_table.ts` renders it.
 */
import type { ParseArgsOptionsConfig } from "node:util";
import type { OptionValues } from "../measure/scenario.ts";
import type { LoadReport } from "./driver.ts";
import type { Ability, RunningTarget } from "./target.ts";

/** Figures of one measurement, by names that end in their units. */
export type Figures = Readonly<Record<string, number>>;

/** One thing that a scenario measures on each target. */
export interface LoadCase {
  readonly name: string;
  /** Targets without one of these are left out, and the report says so. */
  readonly needs: readonly Ability[];
  readonly tls?: boolean;
  readonly tenants?: number;
  /** The case whose bare Deno figures this one's are compared with; absent: its own. */
  readonly beside?: string;
}

/** One measurement. */
export interface Measurement {
  readonly figures: Figures;
  /** Messages that were expected and never came. */
  readonly missing: number;
  readonly problems: readonly string[];
  /** HdrHistogram V2 of its latencies in µs, as Base64. */
  readonly histogram?: string;
}

/** A figure as a column of the table. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
}

/** A scenario of the load generator. */
export interface LoadScenario<C extends LoadCase = LoadCase> {
  readonly name: string;
  /** For `--help`, without the options that all of these have. */
  readonly help: string;
  /** Its own options; `--targets`, `--rounds` and `--quick` are everybody's. */
  readonly options: ParseArgsOptionsConfig;
  /** Values of options with `--quick`, and in `--all --quick`. */
  readonly quick: Readonly<Record<string, string>>;
  /** A new process of the target for each measurement: where memory is measured. */
  readonly fresh: boolean;
  readonly columns: readonly Column[];
  /** The figure that is compared with bare Deno's, whose most and least are shown. */
  readonly headline: string;
  /** Throws `UsageError`. */
  cases(values: OptionValues): readonly C[];
  measure(running: RunningTarget, one: C, values: OptionValues): Promise<Measurement>;
}

/** What a target came to in a case. */
export interface Row {
  readonly scenario: string;
  readonly case: string;
  readonly target: string;
  readonly title: string;
  readonly version: string;
  /** Medians of the rounds. */
  readonly medians: Figures;
  /** Of the headline. */
  readonly least: number;
  readonly most: number;
  /** The headline over bare Deno's; NaN without. */
  readonly ratio: number;
  readonly missing: number;
  readonly problems: readonly string[];
  readonly rounds: readonly Figures[];
  /** Of the latencies of all rounds, HdrHistogram V2 in µs; absent where there are none. */
  readonly histogram?: string;
}

/** A case that a target did not measure. */
export interface Omitted {
  readonly case: string;
  readonly target: string;
  readonly why: string;
  /** `here`: it should have given figures. */
  readonly kind: "cannot" | "not here" | "failed";
}

/** All of a run. */
export interface LoadResults {
  /** How load and targets shared the cores. */
  readonly placed: string;
  readonly rows: readonly Row[];
  readonly omitted: readonly Omitted[];
}

/** The usual figures of a load, and whether messages were lost. */
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
