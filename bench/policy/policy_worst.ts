/**
 * Whether a unit of fuel is never dearer than promised: every instruction with the operands that
 * processors are slowest with, in either of the engine's compilers, held to a reference loop on the
 * same machine. A ratio, so it says the same on a slow machine and on a fast one.
 */
import { MULTIPLICATIONS_PER_UNIT } from "../../wasm/metering/meter_costs.ts";
import { TIERS } from "./policy_kernels.ts";
import { runProgram } from "../measure/program.ts";
import { renderRows } from "../measure/table.ts";

/** Rows that the table shows: those that come nearest to the bound. */
const SHOWN = 24;

/** What the child measured of one kernel. */
export interface WorstTimes {
  readonly name: string;
  readonly ops: readonly number[];
  /** Of one repetition: time, units, and time of one multiplication of the reference beside it. */
  readonly ns: number;
  readonly units: number;
  readonly multiplication_ns: number;
}

/** One kernel in one tier, in multiplications a unit. */
export interface WorstResult extends WorstTimes {
  readonly tier: string;
  readonly ratio: number;
}

/** All kernels. */
export interface WorstReport {
  readonly bound: number;
  readonly kernels: readonly WorstResult[];
  /** The greatest ratio of a whole kernel. */
  readonly worst: number;
}

function resultOf(tier: string, times: WorstTimes): WorstResult {
  return { ...times, tier, ratio: times.ns / times.units / times.multiplication_ns };
}

/** Measures every kernel in every tier. */
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

/** The kernels nearest to the bound, dearest first. */
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
