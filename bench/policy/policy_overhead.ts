/**
 * Measures what policies cost a message, in rounds of `policy_pool.ts` (the Overseer alone) and
 * `policy_bus.ts` (the whole bus). Each figure is the median over the rounds, with that of the least
 * disturbed round beside it. The overhead is what a row takes more than its row without a policy.
 */
import { type BusRound, measureBus } from "./policy_bus.ts";
import type { PoolPlan, PoolRound } from "./policy_pool.ts";
import { RATES, ROWS } from "./policy_rows.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** The figures of one row at one rate. Times are in µs. */
export interface OverheadResult {
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
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return {
    rounds: mine.length,
    sent: sum(mine.map(({ sent }) => sent)),
    refused: sum(mine.map(({ refused }) => refused)),
    p50_us: median(mine.map(({ p50_us }) => p50_us)),
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

function busRound({ row, rate, sent, received, p50_ms, p99_ms }: BusRound): Round {
  const us = (ms: number) => ms * 1_000;
  return { row, rate, sent, refused: sent - received, p50_us: us(p50_ms), p99_us: us(p99_ms) };
}

/** Measures pool and bus, `rounds` times each row. */
export async function measureOverhead(rounds: number, seconds: number): Promise<OverheadReport> {
  console.error("the Overseer alone ...");
  const plan: PoolPlan = { rounds, seconds };
  const flags = ["--unstable-worker-options", "--allow-run", "--allow-read"];
  const args = [JSON.stringify(plan)];
  const pool: PoolRound[] = await runProgram("bench/policy/policy_pool.ts", flags, args);
  const bus = (await measureBus(rounds, seconds)).map(busRound);
  return { pool: overheads(pool), verdict: verdicts(pool), bus: overheads(bus) };
}

function renderOverheads(title: string, results: readonly OverheadResult[]): string {
  const head = [
    title,
    "rate",
    "refused",
    "p50 µs",
    "p99 µs",
    "least p99",
    "overhead p50",
    "p99",
    "least p99",
  ];
  return renderRows(
    head,
    results.map((one) => [
      one.row,
      `${one.rate}/s`,
      `${one.refused} of ${one.sent}`,
      ...[
        one.p50_us,
        one.p99_us,
        one.least_p99_us,
        one.overhead_p50_us,
        one.overhead_p99_us,
        one.least_overhead_p99_us,
      ].map((us) => us.toFixed(0)),
    ]),
  );
}

/** The three tables of the report. */
export function renderOverhead({ pool, verdict, bus }: OverheadReport): string {
  const asked = renderRows(
    ["asking for a verdict", "rate", "p50 µs", "p99 µs", "least p99"],
    verdict.map(({ row, rate, p50_us, p99_us, least_p99_us }) => [
      row,
      `${rate}/s`,
      p50_us.toFixed(0),
      p99_us.toFixed(0),
      least_p99_us.toFixed(0),
    ]),
  );
  return [
    asked,
    renderOverheads("Overseer alone, from due", pool),
    renderOverheads("whole bus, publish -> receive", bus),
  ].join("\n\n");
}
