/**
 * Runs the measurement of durable publishes beside a bare JetStream publisher, and renders its tables.
 * `durable_write_child.ts` measures.
 */
import type { Syncing } from "../measure/brains.ts";
import type { WritePlan, WriteReport, WriteRound } from "./durable_write_child.ts";
import type { Effort } from "../measure/parts.ts";
import { runProgram } from "../measure/program.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

/** Settings with one server, one for each way of storing. */
export const ALONE: readonly Pick<WritePlan, "servers" | "syncing" | "rooms" | "rate">[] = [
  { servers: 1, syncing: "later", rooms: [1, 10, 1_000], rate: 1_000 },
  { servers: 1, syncing: "each", rooms: [1, 10, 1_000], rate: 200 },
];

/** Settings with three servers, of which each has a copy. */
export const CLUSTER: typeof ALONE = [
  { servers: 3, syncing: "each", rooms: [10], rate: 200 },
];

const OUTSTANDING = 256;
const BODY_BYTES = 256;
const SYNCING: Readonly<Record<Syncing, string>> = {
  each: "sync_interval: always",
  later: "syncs later",
};

/** Measures every setting, one after another. */
export async function measureWrites(
  settings: typeof ALONE,
  { rounds, seconds }: Effort,
): Promise<WriteReport[]> {
  const reports: WriteReport[] = [];
  for (const setting of settings) {
    const { servers, syncing } = setting;
    console.error(`durable: publishes, ${servers} NATS, ${SYNCING[syncing]} ...`);
    const plan: WritePlan = {
      ...setting,
      rounds,
      seconds,
      outstanding: OUTSTANDING,
      body_bytes: BODY_BYTES,
    };
    const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
    const args = [JSON.stringify(plan)];
    reports.push(await runProgram("bench/durable/durable_write_child.ts", permissions, args));
  }
  return reports;
}

/** The medians over the rounds of one row. */
function pace(rounds: readonly WriteRound[], who: WriteRound["who"], rooms: number) {
  const mine = rounds.filter((round) => round.who === who && round.rooms === rooms);
  return {
    publishes_per_s: median(mine.map(({ publishes_per_s }) => publishes_per_s)),
    p50_ms: median(mine.map(({ p50_ms }) => p50_ms)),
    p99_ms: median(mine.map(({ p99_ms }) => p99_ms)),
  };
}

/** The share of the bare publisher's pace that a Shield reached, from each round's own pair. */
export interface Share {
  readonly rooms: number;
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The shares of a report, by number of rooms. */
export function shares({ plan, rounds }: WriteReport): Share[] {
  return plan.rooms.map((rooms) => {
    const [shield, bare] = (["shield", "bare"] as const).map((who) =>
      rounds.filter((round) => round.who === who && round.rooms === rooms)
    ) as [WriteRound[], WriteRound[]];
    const ratios = shield.map(({ publishes_per_s }, index) =>
      publishes_per_s / (bare[index]?.publishes_per_s ?? NaN)
    );
    return {
      rooms,
      median: median(ratios),
      least: Math.min(...ratios),
      most: Math.max(...ratios),
    };
  });
}

/** The name of a setting, for tables and aims. */
export function nameOf({ plan: { servers, syncing }, replicas }: WriteReport): string {
  const how = SYNCING[syncing];
  return `${servers} NATS, ${replicas} ${replicas === 1 ? "copy" : "copies"}, ${how}`;
}

function renderPace(report: WriteReport): string {
  const { plan, rounds } = report;
  const keys = [...new Set(rounds.map(({ row, who, rooms }) => JSON.stringify([row, who, rooms])))];
  const found = shares(report);
  return renderRows(
    [nameOf(report), "rooms", "/s", "of bare", "least", "most", "p50 ms", "p99 ms"],
    keys.toSorted((a, b) => JSON.parse(a)[2] - JSON.parse(b)[2]).map((key) => {
      const [row, who, rooms] = JSON.parse(key);
      const mine = pace(rounds, who, rooms);
      const share = who === "shield" ? found.find((one) => one.rooms === rooms) : undefined;
      const percent = [share?.median, share?.least, share?.most].map((value) =>
        value === undefined ? "" : `${(value * 100).toFixed(0)} %`
      );
      return [
        `${row}, ${plan.outstanding} under way`,
        String(rooms),
        mine.publishes_per_s.toFixed(0),
        ...percent,
        mine.p50_ms.toFixed(1),
        mine.p99_ms.toFixed(1),
      ];
    }),
  );
}

function renderLatency(report: WriteReport): string {
  const { plan, latency } = report;
  return renderRows(
    [`${nameOf(report)}, ${plan.rate}/s`, "acknowledged", "p50 ms", "p99 ms"],
    latency.map(({ row, sent, received, p50_ms, p99_ms }) => [
      row,
      `${received} of ${sent}`,
      p50_ms.toFixed(2),
      p99_ms.toFixed(2),
    ]),
  );
}

/** The tables of the reports: pace and latency for each setting. */
export function renderWrites(reports: readonly WriteReport[]): string {
  return reports.flatMap((report) => [renderPace(report), renderLatency(report)]).join("\n\n");
}
