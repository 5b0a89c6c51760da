/**
 * What policies cost a message, in rounds of `policy_pool.ts` (the Overseer alone) and through the whole bus. Each
 * figure is the median over the rounds, with that of the least disturbed round beside it. The overhead is what a row
 * takes more than its row without a policy.
 */
import { atRate, inTurns } from "../load/crowd/turns.ts";
import { measuredBy } from "../measure/program.ts";
import { median, medianOf, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { startConfigured } from "../measure/targets.ts";
import { CONFIG, playersOf } from "./policy_bus.ts";
import type { PoolPlan, PoolRound } from "./policy_pool.ts";
import { RATES, ROWS } from "./policy_rows.ts";

/** The figures of one row at one rate. Times are in µs. */
interface OverheadResult {
  readonly row: string;
  readonly rate: number;
  readonly rounds: number;
  readonly sent: number;
  /**
   * For the pool: messages that the policy could not decide in time. For the bus: these, and messages that
   * were not received.
   */
  readonly refused: number;
  /** Medians over the rounds. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** The p99 of the round that was disturbed least. */
  readonly least_p99_us: number;
  readonly overhead_p50_us: number;
  readonly overhead_p99_us: number;
  readonly least_overhead_p99_us: number;
}

/** Times from asking for a verdict to having it, without the lateness of the question. */
export interface VerdictResult {
  readonly row: string;
  readonly rate: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly least_p99_us: number;
}

/** All figures of the overhead. */
export interface OverheadReport {
  readonly pool: readonly OverheadResult[];
  readonly verdict: readonly VerdictResult[];
  readonly bus: readonly OverheadResult[];
}

interface Round {
  readonly row: string;
  readonly rate: number;
  readonly sent: number;
  readonly refused: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

function figures(rounds: readonly Round[], row: string, rate: number) {
  const mine = rounds.filter((round) => round.row === row && round.rate === rate);
  const p99s = mine.map(({ p99_us }) => p99_us);
  return {
    rounds: mine.length,
    sent: sumOf(mine, "sent"),
    refused: sumOf(mine, "refused"),
    p50_us: medianOf(mine, "p50_us"),
    p99_us: median(p99s),
    least_p99_us: Math.min(...p99s),
  };
}

function overheads(rounds: readonly Round[]): OverheadResult[] {
  return RATES.flatMap((rate) =>
    ROWS.map(({ name, baseline }) => {
      const [mine, none] = [figures(rounds, name, rate), figures(rounds, baseline, rate)];
      return {
        row: name,
        rate,
        ...mine,
        overhead_p50_us: mine.p50_us - none.p50_us,
        overhead_p99_us: mine.p99_us - none.p99_us,
        least_overhead_p99_us: mine.least_p99_us - none.least_p99_us,
      };
    })
  );
}

function verdicts(rounds: readonly PoolRound[]): VerdictResult[] {
  const asked = rounds.map((round) => ({
    ...round,
    p50_us: round.asked_p50_us,
    p99_us: round.asked_p99_us,
  }));
  return RATES.flatMap((rate) =>
    ROWS.filter(({ chain }) => chain.length > 0).map(({ name }) => {
      const { p50_us, p99_us, least_p99_us } = figures(asked, name, rate);
      return { row: name, rate, p50_us, p99_us, least_p99_us };
    })
  );
}

/** Measures the rows through the whole bus, `rounds` times in turns. */
async function measureBus(rounds: number, seconds: number): Promise<Round[]> {
  await using bus = await startConfigured(CONFIG);
  const paces = Object.fromEntries(RATES.map((rate) => [rate, atRate(rate)]));
  const warm = [{ ...atRate(2_000), seconds: 1 }];
  const turns = await inTurns(await playersOf(bus, ROWS), paces, { rounds, seconds, warm });
  return turns.map(({ name, at, report: { sent, missing, latency } }) => ({
    row: name,
    rate: Number(at),
    sent,
    refused: missing,
    p50_us: latency.p50_ms * 1_000,
    p99_us: latency.p99_ms * 1_000,
  }));
}

/** Measures pool and bus, `rounds` times each row. */
export async function measureOverhead(rounds: number, seconds: number): Promise<OverheadReport> {
  console.error("the Overseer alone ...");
  const flags = ["--unstable-worker-options", "--allow-run", "--allow-read"];
  const plan: PoolPlan = { rounds, seconds };
  const pool: PoolRound[] = await measuredBy("bench/policy/policy_pool.ts", plan, { flags });
  const bus = await measureBus(rounds, seconds);
  return { pool: overheads(pool), verdict: verdicts(pool), bus: overheads(bus) };
}

function renderOverheads(title: string, results: readonly OverheadResult[]): string {
  return renderTable(results, [
    [title, ({ row }) => row],
    ["rate", ({ rate }) => `${rate}/s`],
    ["refused", ({ refused, sent }) => `${refused} of ${sent}`],
    ["p50 µs", ({ p50_us }) => p50_us],
    ["p99 µs", ({ p99_us }) => p99_us],
    ["least p99", ({ least_p99_us }) => least_p99_us],
    ["overhead p50", ({ overhead_p50_us }) => overhead_p50_us],
    ["p99", ({ overhead_p99_us }) => overhead_p99_us],
    ["least p99", ({ least_overhead_p99_us }) => least_overhead_p99_us],
  ]);
}

/** The three tables of the report. */
export function renderOverhead({ pool, verdict, bus }: OverheadReport): string {
  const asked = renderTable(verdict, [
    ["asking for a verdict", ({ row }) => row],
    ["rate", ({ rate }) => `${rate}/s`],
    ["p50 µs", ({ p50_us }) => p50_us],
    ["p99 µs", ({ p99_us }) => p99_us],
    ["least p99", ({ least_p99_us }) => least_p99_us],
  ]);
  return [
    asked,
    renderOverheads("Overseer alone, from due", pool),
    renderOverheads("whole bus, publish -> receive", bus),
  ].join("\n\n");
}
