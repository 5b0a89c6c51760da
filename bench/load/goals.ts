/** Compares the goals of the message path with the figures of `--all`. Pure; a missed goal is only told. */
import { renderRows } from "../measure/table.ts";
import type { Row } from "./scenarios/load_scenario.ts";

/** A goal, and whether it is met. */
export interface Goal {
  readonly goal: string;
  readonly bound: string;
  readonly measured: string;
  /** Undefined: the run did not measure it. */
  readonly met: boolean | undefined;
}

const ECHO_SHARE = { "arqon": 0.6, "arqon-nats": 0.45 } as const;
const ECHO_P99_MS = 5;
const BATCH_TIMES = 2;
const SINGLE_TIMES = 0.9;
const IDLE_TIMES = 1.3;
const IDLE_MB = 350;
const IDLE_CONNECTIONS = "10000";
const HANDSHAKE_P99_MS = 20;
/** Targets that are no peers: our own, and the bare servers. */
const NO_PEERS: readonly string[] = ["arqon", "arqon-nats", "deno", "ws"];

type Rows = readonly Row[];

const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
const times = (ratio: number) => `${ratio.toFixed(2)}x`;
const ms = (value: number) => `${value.toFixed(1)} ms`;

function of(rows: Rows, scenario: string, target: string): Row[] {
  return rows.filter((row) => row.scenario === scenario && row.target === target);
}

/** On which side of its bound a figure must be, and which of several figures is the worst. */
const SIDES = {
  ">=": { worst: Math.min, met: (value: number, bound: number) => value >= bound },
  "<": { worst: Math.max, met: (value: number, bound: number) => value < bound },
} as const;

/** Judges the worst of several figures; without figures the goal was not measured. */
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
  return { ...shown, measured: text(worst), met: SIDES[side].met(worst, bound) };
}

function echoGoals(rows: Rows): Goal[] {
  return (["arqon", "arqon-nats"] as const).flatMap((target) => {
    const own = of(rows, "echo", target);
    const [p99, ratios] = [own.map(({ medians }) => medians["p99_ms"]!), own.map((r) => r.ratio)];
    return [
      judged(">=", `echo per core of bare Deno's, ${target}`, ratios, ECHO_SHARE[target], percent),
      judged("<", `echo p99 at a constant rate, ${target}`, p99, ECHO_P99_MS, ms),
    ];
  });
}

/** Our lead over the best peer in each case, by the better of our two ways, with BATCH and without. */
function leads(rows: Rows): number[] {
  const fanout = rows.filter(({ scenario }) => scenario === "fanout");
  const plain = (name: string) => name.replace(/, BATCH$/, "");
  const rate = (row: Row) => row.medians["per_cpu_s"]!;
  const cases = [...new Set(fanout.map((row) => plain(row.case)))];
  return cases.flatMap((name) => {
    const own = fanout.filter((row) => plain(row.case) === name && row.target === "arqon");
    const peers = fanout.filter((row) => row.case === name && !NO_PEERS.includes(row.target));
    if (own.length === 0 || peers.length === 0) return [];
    return [Math.max(...own.map(rate)) / Math.max(...peers.map(rate))];
  });
}

function fanoutGoals(rows: Rows): Goal[] {
  const own = of(rows, "fanout", "arqon");
  const batch = own.filter(({ case: name }) => /BATCH$/.test(name) && !/, 1 at once/.test(name));
  const single = own.filter(({ case: name }) => !/BATCH$/.test(name));
  const ratios = (some: Rows) => some.map(({ ratio }) => ratio);
  return [
    judged(
      ">=",
      "fan-out per core of bare Deno's, clients that take BATCH, several at once",
      ratios(batch),
      BATCH_TIMES,
      times,
    ),
    judged(
      ">=",
      "fan-out per core of bare Deno's, other clients",
      ratios(single),
      SINGLE_TIMES,
      times,
    ),
    judged(">=", "fan-out per core of the best peer's", leads(rows), 1, times),
  ];
}

function idleGoals(rows: Rows): Goal[] {
  const own = of(rows, "idle", "arqon");
  const ten_thousand = own.filter(({ case: name }) => name === IDLE_CONNECTIONS);
  return [
    judged(
      "<",
      "memory of an idle connection of bare Deno's",
      own.map(({ ratio }) => ratio),
      IDLE_TIMES,
      times,
    ),
    judged(
      "<",
      "memory with 10,000 idle connections",
      ten_thousand.map(({ medians }) => medians["rss_mb"]!),
      IDLE_MB,
      (value) => `${value.toFixed(0)} MB`,
    ),
  ];
}

function handshakeGoals(rows: Rows): Goal[] {
  return of(rows, "handshake", "arqon").map((row) =>
    judged(
      "<",
      `p99 of a handshake, 1,000 a second, ${row.case}`,
      [row.medians["p99_ms"]!],
      HANDSHAKE_P99_MS,
      ms,
    )
  );
}

/** All goals that `--all` can judge. */
export function goalsOf(rows: Rows): Goal[] {
  return [...echoGoals(rows), ...fanoutGoals(rows), ...idleGoals(rows), ...handshakeGoals(rows)];
}

/** The goals that are measured elsewhere. */
const ELSEWHERE =
  `Goals that take longer: \`deno task bench durable --only write\` (durable publishes of
bare JetStream's), \`deno task bench policy\` (what a bound policy adds), \`deno task bench garbage\``;

/** The table of the goals. */
export function renderGoals(goals: readonly Goal[]): string {
  const rows = goals.map(({ goal, bound, measured, met }) => [
    goal,
    bound,
    measured,
    met === undefined ? "not measured" : met ? "met" : "missed",
  ]);
  return `${renderRows(["goal", "bound", "measured", ""], rows)}\n\n${ELSEWHERE}`;
}
