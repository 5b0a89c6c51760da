/**
 * The measurements of a storm, and the promises of docs/architecture.md#promises that it kept. Pure; `storm.ts` prints
 * the tables.
 */
import { delaysOf, sumOf } from "../measure/statistics.ts";
import type { CrowdReport } from "./storm_crowd.ts";
import type { PairReport } from "./storm_pair_child.ts";

/** The result of a storm. */
export interface StormRound {
  readonly crowds: readonly CrowdReport[];
  readonly pair: PairReport;
  readonly spent: Spent;
}

/** The cost of a storm, by the Shield's own figures. */
export interface Spent {
  readonly cpu_seconds: number;
  /** Time that its main thread was ready and had no core, from Linux; absent on other systems. */
  readonly waited_seconds?: number;
  readonly accepted: number;
  /** Upper bound of the p99 from an upgrade request to its 101, by the histogram's buckets. */
  readonly answered_p99_ms: number;
  readonly cache_hits: number;
  readonly cache_misses: number;
}

/** Time limit for 10,000 clients to return, for each pair of cores. */
const BACK_MS = 5_000;
const BACK_CLIENTS = 10_000;
const HANDSHAKE_MS = 100;
const STEADY_RATIO = 2;

/** A promise, and whether it was kept. */
export interface Kept {
  readonly promise: string;
  readonly bound: string;
  readonly measured: string;
  readonly kept: boolean;
}

/** The result of one storm. */
export type Figures = ReturnType<typeof figuresOf>;

/** The result of one storm. */
export function figuresOf({ crowds, pair, spent }: StormRound, clients: number) {
  const all = (key: "back_ms" | "handshake_ms" | "retry_after_ms") =>
    crowds.flatMap((crowd) => crowd[key]);
  const waits = all("retry_after_ms");
  const [back, handshake] = [all("back_ms"), all("handshake_ms")].map(delaysOf);
  return {
    clients,
    back: all("back_ms").length,
    lost: sumOf(crowds, "lost"),
    mute_refusals: sumOf(crowds, "mute_refusals"),
    other_refusals: sumOf(crowds, "other_refusals"),
    failures: sumOf(crowds, "failures"),
    refusals: waits.length,
    distinct_waits: new Set(waits).size,
    back_p50_ms: back!.p50_ms,
    back_max_ms: back!.max_ms,
    handshake_p50_ms: handshake!.p50_ms,
    handshake_p99_ms: handshake!.p99_ms,
    handshake_max_ms: handshake!.max_ms,
    clients_cpu_seconds: sumOf(crowds, "cpu_seconds"),
    server_cpu_seconds: spent.cpu_seconds,
    /** Time that the server had no core, which is not its fault; NaN on other systems. */
    server_waited_seconds: spent.waited_seconds ?? NaN,
    steady_p99_ms: pair["storm"]?.p99_ms ?? NaN,
    /** Ratio of that p99 to the one before the storm. */
    steady_ratio: (pair["storm"]?.p99_ms ?? NaN) / (pair["before"]?.p99_ms ?? NaN),
  };
}

/** Milliseconds as text; "" for none. */
export const ms = (value: number | undefined) =>
  value === undefined ? "" : `${value.toFixed(1)} ms`;

/** The promises, on a machine with this number of cores. */
export function promisesOf(figures: Figures, { pair }: StormRound, cores: number): Kept[] {
  const pairs = Math.max(1, Math.floor(cores / 2));
  const back_ms = BACK_MS * Math.max(1, figures.clients / (BACK_CLIENTS * pairs));
  const ratio = figures.steady_ratio;
  const steady = Object.values(pair);
  const missing = steady.reduce((sum, { sent, received }) => sum + sent - received, 0);
  const refused = figures.mute_refusals + figures.other_refusals;
  const back = figures.back - figures.lost;
  const last = `the last is back (${pairs} core pair${pairs === 1 ? "" : "s"}, clients included)`;
  const promises: readonly (readonly [string, string, string, boolean])[] = [
    ["all are back, none is lost", `${figures.clients}`, `${back}`, back === figures.clients],
    [last, ms(back_ms), ms(figures.back_max_ms), figures.back_max_ms <= back_ms],
    [
      "p99 of a handshake that was let in",
      ms(HANDSHAKE_MS),
      ms(figures.handshake_p99_ms),
      figures.handshake_p99_ms < HANDSHAKE_MS,
    ],
    [
      "p99 of the steady pair, storm : before",
      `${STEADY_RATIO.toFixed(2)}x`,
      `${ratio.toFixed(2)}x`,
      ratio <= STEADY_RATIO,
    ],
    ["messages of the steady pair that are missing", "0", `${missing}`, missing === 0],
    ["refusals without a Retry-After", "0", `${refused}`, refused === 0],
  ];
  return promises.map(([promise, bound, measured, kept]) => ({ promise, bound, measured, kept }));
}
