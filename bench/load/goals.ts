/**
 * Compares the figures of `--all` with the goals of the message path, and gives the amount by which a goal is missed.
 * Pure: it measures nothing and decides no exit code.
 */
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import type { Row } from "./load_scenario.ts";

/** A goal, and whether it is met. */
interface Goal {
  readonly goal: string;
  readonly bound: string;
  readonly measured: string;
  /** Undefined if the run did not measure it. */
  readonly met: boolean | undefined;
  /** The share of the bound by which it is missed, 0.1 for a tenth; absent if it is met or not measured. */
  readonly missed_by?: number;
}

const BURSTS_TO_10 = /^1 -> 10, (?!1 at once)\d+ at once$/;
const BURSTS_TO_1000 = /^1 -> 1000, (?!1 at once)\d+ at once$/;
const FLOOD_TIMES = 2;
/** The goals compared with Bun's server, which does none of our work: the worst of these cases counts. */
const OF_BUN = [
  ["echo", /./, "echo", 0.6],
  ["throughput", /./, "throughput", 0.3],
  ["fanout", BURSTS_TO_10, "bursts to 10", 0.7],
  ["fanout", BURSTS_TO_1000, "bursts to 1,000", 1.25],
  ["many-rooms", /./, "rooms", 0.6],
] as const;
const OF_CENTRIFUGO = [
  ["throughput", /./, "throughput", 1.9],
  ["fanout", BURSTS_TO_1000, "bursts to 1,000", 1.1],
] as const;
/** The peers that ArqonBus must outperform. */
const RIVALS: readonly string[] = ["centrifugo", "socketio", "nats-ws"];
/** The scenario, its cases, and the words for both. BATCH frames do not count. */
const AHEAD = [
  ["echo", /./, "echo", "per_cpu_s"],
  ["fanout", /^1 -> 10, \d+ at once$/, "fan-out to 10", "per_cpu_s"],
  ["fanout", /^1 -> 1000, \d+ at once$/, "fan-out to 1,000", "per_cpu_s"],
  ["many-rooms", /./, "rooms", "per_cpu_s"],
  ["chat", /^(?!.*BATCH)/, "chat", "per_cpu_s"],
  ["idle", /./, "memory of an idle connection", "kb"],
] as const;

type Rows = readonly Row[];

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
const times = (ratio: number) => `${ratio.toFixed(2)}x`;
const ms = (value: number) => `${value.toFixed(1)} ms`;
const kb = (value: number) => `${value.toFixed(1)} KB`;

const of = (rows: Rows, scenario: string, target: string, cases: RegExp): Row[] =>
  rows.filter((row) => row.scenario === scenario && row.target === target && cases.test(row.case));

/** The side of the bound that a figure must be on, and which of several figures is the worst. */
const SIDES = {
  ">=": { worst: Math.min, met: (value: number, bound: number) => value >= bound },
  "<": { worst: Math.max, met: (value: number, bound: number) => value < bound },
} as const;

/** Judges the worst of several figures; without figures the goal is not measured. */
function judged(
  side: keyof typeof SIDES,
  goal: string,
  found: readonly number[],
  bound: number,
  text: (value: number) => string,
): Goal {
  const values = found.filter(Number.isFinite);
  const shown = { goal, bound: `${side} ${text(bound)}` };
  if (values.length === 0) return { ...shown, measured: "-", met: undefined };
  const worst = SIDES[side].worst(...values);
  const met = SIDES[side].met(worst, bound);
  const missed = met ? {} : { missed_by: Math.abs(worst - bound) / bound };
  return { ...shown, measured: text(worst), met, ...missed };
}

/** The ratio of our figure to the peer's in each case that has both. */
function ratios(rows: Rows, scenario: string, cases: RegExp, peer: string, key: string): number[] {
  return of(rows, scenario, "arqon", cases).flatMap((row) => {
    const other = of(rows, scenario, peer, /./).find((one) => one.case === row.case);
    return other === undefined ? [] : [row.medians[key]! / other.medians[key]!];
  });
}

/**
 * The effect of a flood on a clean client: the ratio of its p99 with the flood to that without, for a kind of sockets.
 */
export interface FloodEffect {
  readonly websocket: string;
  readonly times: number;
}

/** The goal for floods: one for each kind of sockets, judged by the median of the rounds. */
export function floodGoals(effects: readonly FloodEffect[]): Goal[] {
  const kinds = Map.groupBy(effects, ({ websocket }) => websocket);
  return [...kinds].map(([websocket, all]) => {
    const goal = `p99 of a clean client beside one flood, of that without, ${websocket} sockets`;
    return judged("<", goal, [median(all.map((one) => one.times))], FLOOD_TIMES, times);
  });
}

/** All goals that the rows of `--all` can judge. */
export function goalsOf(rows: Rows): Goal[] {
  const titles = new Map(rows.map(({ target, title }) => [target, title]));
  const own = (scenario: string, cases: RegExp, key: string, target = "arqon") =>
    of(rows, scenario, target, cases).map(({ medians }) => medians[key]!);
  const echo = (target: string) => own("echo", /./, "p99_ms", target);
  const handshakes = (cases: RegExp) => own("handshake", cases, "p99_ms");
  return [
    ...["arqon", "arqon-nats"].map((target) =>
      judged("<", `echo p99 at a constant rate, ${target}`, echo(target), 5, ms)
    ),
    ...OF_BUN.map(([scenario, cases, words, share]) => {
      const found = of(rows, scenario, "arqon", cases).map(({ ratio }) => ratio);
      return judged(">=", `${words} per core, of Bun's`, found, share, percent);
    }),
    ...OF_CENTRIFUGO.map(([scenario, cases, words, bound]) => {
      const found = ratios(rows, scenario, cases, "centrifugo", "per_cpu_s");
      return judged(">=", `${words} per core of Centrifugo's`, found, bound, times);
    }),
    judged("<", "memory of each of 10,000 idle connections", own("idle", /^10000$/, "kb"), 6, kb),
    judged("<", "p99 of a handshake, 1,000 a second, plain", handshakes(/^plain$/), 20, ms),
    judged("<", "p99 of a handshake, 1,000 a second, TLS", handshakes(/^TLS$/), 60, ms),
    ...AHEAD.flatMap(([scenario, cases, words, key]) =>
      RIVALS.map((peer) => {
        const found = ratios(rows, scenario, cases, peer, key);
        const goal = `${words}, of ${titles.get(peer) ?? peer}'s`;
        return judged(key === "kb" ? "<" : ">=", goal, found, 1, times);
      })
    ),
  ];
}

/** One sentence with the missed goals and by how much; undefined if none is missed. */
export function missedGoals(goals: readonly Goal[]): string | undefined {
  const missed = goals.filter(({ met }) => met === false);
  if (missed.length === 0) return undefined;
  const lines = missed.map((one) => `${one.goal}: ${one.measured}, ${verdict(one)}`);
  return `${missed.length} of ${goals.length} goals missed:\n  ${lines.join("\n  ")}`;
}

/** Whether a goal is met, in words, and by how much it is missed. */
function verdict({ met, missed_by = 0 }: Goal): string {
  if (met === undefined) return "not measured";
  return met ? "met" : `missed by ${shareText(missed_by)}`;
}

const shareText = (share: number) => share < 0.1 ? `${(share * 100).toFixed(1)} %` : percent(share);

/** The goals that other programs measure. */
const ELSEWHERE =
  `Goals that take longer: \`deno task bench durable --only write\` (durable publishes of
bare JetStream's), \`deno task bench policy\` (what a bound policy adds)`;

/** The table of the goals. */
export function renderGoals(goals: readonly Goal[]): string {
  const rows = goals.map((one) => [one.goal, one.bound, one.measured, verdict(one)]);
  return `${renderRows(["goal", "bound", "measured", ""], rows)}\n\n${ELSEWHERE}`;
}
