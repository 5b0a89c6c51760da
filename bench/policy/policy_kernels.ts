/**
 * Measures what metering costs the code itself: the kernels of `bench/kernels`, plain and metered, in a child
 * process for each of the engine's two compilers. It gives the slowdown and, from the metered runs, how long
 * 10,000 fuel last.
 */
import { example } from "./policy_rows.ts";
import { runProgram } from "../measure/program.ts";
import { geometricMean, median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** Names of the kernels whose geometric mean counts. */
const KERNELS = ["byte_scan", "dfa_match", "json_scan", "utf8_fold", "hash", "hash_map"];
/** Names of the kernels that are reported separately. */
const RECURSIONS = ["recursion", "descent"];

/** The engine's compilers, and the flags that leave only one of them. */
export const TIERS: Readonly<Record<string, string>> = {
  baseline: "--liftoff-only",
  optimising: "--no-liftoff",
};

/** A module in both forms in base64, as the child takes it. */
export interface KernelModule {
  readonly name: string;
  readonly plain: string;
  readonly metered: string;
}

/** The times of one kernel, as the child measured them. */
export interface KernelTimes {
  readonly name: string;
  /** Units that one run of the metered form takes. */
  readonly units: number;
  /** Times of a run in ns. The forms alternate; equal indexes are the same round. */
  readonly plain_ns?: readonly number[];
  readonly metered_ns: readonly number[];
}

/** The figures of one kernel under one compiler. */
export interface KernelResult {
  readonly name: string;
  readonly tier: string;
  readonly units: number;
  /** The median of the plain form; undefined for a policy, which has no plain form: nothing would end it. */
  readonly plain_ns: number | undefined;
  readonly metered_ns: number;
  /** The median of the rounds' ratios. */
  readonly slowdown: number | undefined;
  readonly ms_per_10000_fuel: number;
}

/** The figures of all kernels. */
export interface KernelReport {
  readonly kernels: readonly KernelResult[];
  /** The geometric mean over `KERNELS`, for each compiler. */
  readonly geometric_mean: Readonly<Record<string, number>>;
}

const UNITS_IN_10000_FUEL = 5_000_000;

function resultOf(tier: string, times: KernelTimes): KernelResult {
  const { name, units, plain_ns, metered_ns } = times;
  const metered = median(metered_ns);
  return {
    name,
    tier,
    units,
    plain_ns: plain_ns && median(plain_ns),
    metered_ns: metered,
    slowdown: plain_ns && median(metered_ns.map((ns, index) => ns / plain_ns[index]!)),
    ms_per_10000_fuel: metered / 1e6 / units * UNITS_IN_10000_FUEL,
  };
}

/** Measures every kernel under every compiler. */
export async function measureKernels(rounds: number): Promise<KernelReport> {
  // The modules are built by a program of its own, since the AssemblyScript compiler reads the environment.
  const names = [...KERNELS, ...RECURSIONS];
  const modules: KernelModule[] = await runProgram("bench/policy/policy_kernels_build.ts", names);
  const words = await example("bad_words");
  const input = JSON.stringify({ rounds, modules, bad_words: words.toBase64() });
  const kernels: KernelResult[] = [];
  const geometric_mean: Record<string, number> = {};
  for (const [tier, flags] of Object.entries(TIERS)) {
    console.error(`kernels, ${tier} compiler ...`);
    const program = "bench/policy/policy_kernels_child.ts";
    const times: KernelTimes[] = await runProgram(program, [], {
      flags: [`--v8-flags=${flags}`],
      input,
    });
    const results = times.map((one) => resultOf(tier, one));
    kernels.push(...results);
    const counted = results.filter(({ name }) => KERNELS.includes(name));
    geometric_mean[tier] = geometricMean(counted.map(({ slowdown }) => slowdown ?? NaN));
  }
  return { kernels, geometric_mean };
}

/** The table of the kernels, one row for each, with both compilers. */
export function renderKernels({ kernels, geometric_mean }: KernelReport): string {
  const tiers = Object.keys(geometric_mean);
  const head = [
    "kernel",
    ...tiers.flatMap((tier) => [`${tier} ns`, "metered", "slowdown", "ms/10,000 fuel"]),
  ];
  const names = [...new Set(kernels.map(({ name }) => name))];
  const rows = names.map((name) => [
    name,
    ...tiers.flatMap((tier) => {
      const one = kernels.find((kernel) => kernel.name === name && kernel.tier === tier)!;
      const { plain_ns, metered_ns, slowdown, ms_per_10000_fuel } = one;
      return [
        plain_ns?.toFixed(0) ?? "-",
        metered_ns.toFixed(0),
        slowdown === undefined ? "-" : `${slowdown.toFixed(2)}x`,
        ms_per_10000_fuel.toFixed(2),
      ];
    }),
  ]);
  const mean = tiers.flatMap((tier) => ["", "", `${geometric_mean[tier]!.toFixed(2)}x`, ""]);
  const counted = rows.slice(0, KERNELS.length);
  return renderRows(head, [...counted, ["geometric mean", ...mean], ...rows.slice(KERNELS.length)]);
}
