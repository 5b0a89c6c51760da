/**
 * Compares the aims of the Overseer with a run's figures. A missed aim is a finding and does not fail the
 * run.
 */
import type { DeployCycle } from "./policy_deploy.ts";
import type { KernelReport } from "./policy_kernels.ts";
import type { OverheadReport, VerdictResult } from "./policy_overhead.ts";
import type { WorstReport } from "./policy_worst.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of a run; parts that did not run are absent. */
export interface Measured {
  readonly overhead?: OverheadReport;
  readonly kernels?: KernelReport;
  readonly worst?: WorstReport;
  readonly deploy?: readonly DeployCycle[];
}

/** One aim, with its figure. */
export interface Aim {
  readonly name: string;
  readonly measured: number;
  /** The figure of the round that was disturbed least; undefined where there are no rounds. */
  readonly least: number | undefined;
  readonly below: number;
  readonly unit: string;
}

/** Rows with one policy. An aim holds only when all of them reach it. */
const ONE_POLICY = ["allow", "bad words 200 B", "bad words 4 KiB"];

function delays({ verdict }: OverheadReport): Aim[] {
  const worst = (rate: number, value: (result: VerdictResult) => number) =>
    Math.max(
      ...verdict.filter((one) => one.rate === rate && ONE_POLICY.includes(one.row)).map(value),
    );
  const p99 = (rate: number, below: number): Aim => ({
    name: `delay by one policy, ${rate}/s, p99`,
    measured: worst(rate, ({ p99_us }) => p99_us),
    least: worst(rate, ({ least_p99_us }) => least_p99_us),
    below,
    unit: "µs",
  });
  const p50: Aim = {
    name: "delay by one policy, 1000/s, p50",
    measured: worst(1_000, ({ p50_us }) => p50_us),
    least: undefined,
    below: 50,
    unit: "µs",
  };
  return [p50, p99(1_000, 200), p99(10_000, 1_000)];
}

/** The aims for which the run has figures. */
export function aimsOf({ overhead, kernels, worst, deploy }: Measured): Aim[] {
  const aims: Aim[] = overhead === undefined ? [] : delays(overhead);
  for (const [tier, mean] of Object.entries(kernels?.geometric_mean ?? {})) {
    const name = `slowdown by metering, ${tier} compiler`;
    aims.push({ name, measured: mean, least: undefined, below: 1.3, unit: "x" });
  }
  if (worst !== undefined) {
    aims.push({
      name: "a unit with the worst operands, multiplications",
      measured: worst.worst,
      least: undefined,
      below: worst.bound,
      unit: "x",
    });
  }
  const commands = (deploy ?? []).filter(({ kind }) => kind === "command")
    .map(({ enforced_ms }) => Math.max(...enforced_ms));
  if (commands.length > 0) {
    aims.push({
      name: "arq policy deploy to enforced on 4 Shields",
      measured: median(commands),
      least: Math.min(...commands),
      below: 1_000,
      unit: "ms",
    });
  }
  return aims;
}

/** The table of the aims, one row for each. */
export function renderAims(aims: readonly Aim[]): string {
  const shown = (value: number | undefined, unit: string) =>
    value === undefined ? "" : `${value.toFixed(unit === "x" ? 2 : 0)} ${unit}`;
  return renderRows(
    ["aim", "below", "measured", "least disturbed", ""],
    aims.map(({ name, below, measured, least, unit }) => [
      name,
      shown(below, unit),
      shown(measured, unit),
      shown(least, unit),
      measured < below ? "met" : (least ?? Infinity) < below ? "undisturbed" : "missed",
    ]),
  );
}
