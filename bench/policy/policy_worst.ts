/**
 * Checks that a unit of fuel never takes longer than promised. Every instruction runs with the operands that
 * processors are slowest with, under each of the engine's compilers, and is compared with a reference loop on
 * the same machine. The figure is a ratio, so it is the same on slow and fast machines.
 */
import { MULTIPLICATIONS_PER_UNIT } from "../../wasm/metering/meter_costs.ts";
import { TIERS } from "./policy_kernels.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** Rows of the table: the kernels nearest to the bound. */
const SHOWN = 24;

/** The times of one kernel, as the child measured them. */
export interface WorstTimes {
  readonly name: string;
  readonly ops: readonly number[];
  /** Figures of one repetition: its time, its units, and the time of one multiplication in the reference. */
  readonly ns: number;
  readonly units: number;
  readonly multiplication_ns: number;
}

/** The figures of one kernel under one compiler, in multiplications per unit. */
export interface WorstResult extends WorstTimes {
  readonly tier: string;
  readonly ratio: number;
}

/** The figures of all kernels. */
export interface WorstReport {
  readonly bound: number;
  readonly kernels: readonly WorstResult[];
  /** The largest ratio of a whole kernel. */
  readonly worst: number;
}

function resultOf(tier: string, times: WorstTimes): WorstResult {
  return { ...times, tier, ratio: times.ns / times.units / times.multiplication_ns };
}

/** Measures every kernel under every compiler. */
export async function measureWorst(rounds: number): Promise<WorstReport> {
  const kernels: WorstResult[] = [];
  for (const [tier, flags] of Object.entries(TIERS)) {
    console.error(`worst operands, ${tier} compiler ...`);
    const permissions = ["--allow-read", "--allow-env", `--v8-flags=${flags}`];
    const times: WorstTimes[] = await runProgram(
      "bench/policy/policy_worst_child.ts",
      permissions,
      [String(rounds)],
    );
    kernels.push(...times.map((one) => resultOf(tier, one)));
  }
  const worst = Math.max(...kernels.map(({ ratio }) => ratio));
  return { bound: MULTIPLICATIONS_PER_UNIT, kernels, worst };
}

/** The table of the kernels nearest to the bound, slowest first. */
export function renderWorst({ kernels, bound, worst }: WorstReport): string {
  const rows = kernels.toSorted((a, b) => b.ratio - a.ratio).slice(0, SHOWN).map((one) => [
    one.name,
    one.tier,
    one.ns.toFixed(2),
    one.units.toFixed(1),
    one.ratio.toFixed(2),
  ]);
  const head = ["kernel", "compiler", "ns", "units", "multiplications a unit"];
  const verdict = worst <= bound ? "kept" : "BROKEN";
  return `${renderRows(head, rows)}\n${kernels.length} kernels; at most ${
    worst.toFixed(2)
  } multiplications a unit, promised ${bound}: ${verdict}`;
}
