/** Measures what mirroring costs a published message, in rounds of `governance_mirror_child.ts`. */
import type { MirrorPlan, MirrorRound } from "./governance_mirror_child.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of one row: medians over the rounds. */
export interface MirrorResult {
  readonly row: string;
  /** Messages that were mirrored in all rounds. */
  readonly mirrored: number;
  readonly publish_p50_us: number;
  readonly publish_p99_us: number;
  /** Ratio to the row without mirroring: median of the rounds' ratios. */
  readonly publish_ratio: number;
  readonly cpu_us: number;
  readonly cpu_ratio: number;
}

function resultsOf(rounds: readonly MirrorRound[]): MirrorResult[] {
  const names = [...new Set(rounds.map(({ row }) => row))];
  const of = (name: string) => rounds.filter(({ row }) => row === name);
  const without = of(names[0] ?? "");
  return names.map((row) => {
    const mine = of(row);
    const ratio = (value: (round: MirrorRound) => number) =>
      median(mine.map((round, index) => value(round) / value(without[index]!)));
    return {
      row,
      mirrored: mine.reduce((sum, { mirrored }) => sum + mirrored, 0),
      publish_p50_us: median(mine.map(({ publish_p50_us }) => publish_p50_us)),
      publish_p99_us: median(mine.map(({ publish_p99_us }) => publish_p99_us)),
      publish_ratio: ratio(({ publish_p50_us }) => publish_p50_us),
      cpu_us: median(mine.map(({ cpu_us }) => cpu_us)),
      cpu_ratio: ratio(({ cpu_us }) => cpu_us),
    };
  });
}

/** Measures every row, in turns. */
export async function measureMirror(rounds: number): Promise<MirrorResult[]> {
  console.error("mirroring ...");
  const plan: MirrorPlan = { rounds: rounds * 3, messages: 8_192 };
  const results: MirrorRound[] = await runProgram(
    "bench/governance/governance_mirror_child.ts",
    ["--allow-read"],
    [JSON.stringify(plan)],
  );
  return resultsOf(results);
}

/** The table of the results, one row for each share. */
export function renderMirror(results: readonly MirrorResult[]): string {
  return renderRows(
    ["mirroring", "publish p50 µs", "p99", "ratio p50", "all of it µs", "ratio"],
    results.map((one) => [
      one.row,
      one.publish_p50_us.toFixed(2),
      one.publish_p99_us.toFixed(1),
      `${one.publish_ratio.toFixed(2)}x`,
      one.cpu_us.toFixed(2),
      `${one.cpu_ratio.toFixed(2)}x`,
    ]),
  );
}
