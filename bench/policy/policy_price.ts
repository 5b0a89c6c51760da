/**
 * The CPU cost of one policy per message: messages per CPU second of the whole process of a bus, all threads, without a
 * policy, with one that only allows, with `bad_words` in a worker and on the Shield's own thread, and with one and two
 * keys of state, at constant rates and as fast as possible. The table also shows the added latency.
 */
import { atRate, inTurns, type Paces, type Turn } from "../load/crowd/turns.ts";
import { median, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { startConfigured } from "../measure/targets.ts";
import { CONFIG, playersOf } from "./policy_bus.ts";
import { example, ROWS, STATE_ROWS } from "./policy_rows.ts";

/** As fast as possible: this many messages of each connection are in flight. */
const FASTEST = { pace: { kind: "window", window: 64 } } as const;
/** The loads: messages per second, or as fast as possible. */
const PACES: Paces = {
  "1000/s": atRate(1_000),
  "5000/s": atRate(5_000),
  "10000/s": atRate(10_000),
  "fastest": FASTEST,
};
/** The warm-up of each row: a new bus compiles until it has received about 40,000 messages. */
const WARM = [{ ...FASTEST, seconds: 2 }, { ...PACES["10000/s"]!, seconds: 2 }];

/** The figures of one row under one load: the medians over the rounds. */
export interface Price {
  readonly row: string;
  readonly load: string;
  /** Messages per CPU second of the process, all threads. */
  readonly per_cpu_second: number;
  /** The shares of a message's time: the main thread, the policy workers, and the engine's threads. */
  readonly main_us: number;
  readonly workers_us: number;
  readonly engine_us: number;
  /** From send to receive; NaN if as fast as possible. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** Messages that the bus refused, for example because a policy had no verdict in time. */
  readonly refused: number;
  /** Messages that were neither delivered nor refused within the generator's time limit. */
  readonly missing: number;
}

/** The configuration of a bus that runs `bad_words` on its own thread. */
async function inlineConfig(): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await example("bad_words"));
  const sha256 = new Uint8Array(hash).toHex();
  return `${CONFIG}inline_modules = ["${sha256}"]\n`;
}

/** The row of some turns. The times of the threads are from one round, so that they add up. */
function priceOf(turns: readonly Turn[]): Price {
  const [{ name, at }] = turns as [Turn];
  const reports = turns.map(({ report }) => report);
  const middle = reports.toSorted((a, b) => a.per_cpu_s - b.per_cpu_s)[reports.length >> 1]!;
  const us = (pattern: RegExp) =>
    Object.entries(middle.threads).reduce(
      (sum, [thread, seconds]) => sum + (pattern.test(thread) ? seconds : 0),
      0,
    ) * 1e6 / (middle.delivered_per_s * middle.seconds);
  const delay = (key: "p50_ms" | "p99_ms") =>
    at === "fastest" ? NaN : median(reports.map(({ latency }) => latency[key])) * 1_000;
  const refused = sumOf(reports, "problem_count");
  return {
    row: name,
    load: at,
    per_cpu_second: middle.per_cpu_s,
    main_us: us(/^deno/),
    workers_us: us(/^worker-/),
    engine_us: us(/^V8 /),
    p50_us: delay("p50_ms"),
    p99_us: delay("p99_ms"),
    refused,
    missing: Math.max(0, sumOf(reports, "missing") - refused),
  };
}

/** Measures every row under every load, `rounds` times, interleaved; the medians over the rounds. */
export async function measurePrice(rounds: number, seconds: number): Promise<Price[]> {
  await using bus = await startConfigured(CONFIG);
  await using inline_bus = await startConfigured(await inlineConfig());
  const bad_words = ROWS.at(-1)!;
  const players = [
    ...await playersOf(bus, [...ROWS, ...STATE_ROWS]),
    ...await playersOf(inline_bus, [bad_words], ({ name }) => `${name}, inline`),
  ];
  const turns = await inTurns(players, PACES, { rounds, seconds, warm: WARM });
  return Object.keys(PACES).flatMap((load) =>
    players.map(({ name }) => priceOf(turns.filter((one) => one.name === name && one.at === load)))
  );
}

/** The table, each row compared with the one without a policy. */
export function renderPrice(prices: readonly Price[]): string {
  const none = (one: Price) =>
    prices.find(({ load, row }) => load === one.load && row === ROWS[0]!.name)!;
  return renderTable(prices, [
    ["CPU, all threads", ({ row }) => row],
    ["load", ({ load }) => load],
    ["per CPU s", ({ per_cpu_second }) => per_cpu_second],
    ["µs each", ({ per_cpu_second }) => 1e6 / per_cpu_second, 1],
    ["of none", (one) => one.per_cpu_second / none(one).per_cpu_second, 2],
    ["main", ({ main_us }) => main_us, 1],
    ["workers", ({ workers_us }) => workers_us, 1],
    ["V8", ({ engine_us }) => engine_us, 1],
    ["p50 µs", ({ p50_us }) => p50_us],
    ["p99 µs", ({ p99_us }) => p99_us],
    ["added p50", (one) => one.p50_us - none(one).p50_us],
    ["p99", (one) => one.p99_us - none(one).p99_us],
    [
      "",
      ({ refused, missing }) =>
        [refused && `${refused} REFUSED`, missing && `${missing} MISSING`].filter(Boolean).join(
          ", ",
        ),
    ],
  ]);
}
