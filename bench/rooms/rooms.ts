/** The scenario `rooms`: what commands of rooms cost. `rooms_child.ts` measures. */
import type { Syncing } from "../measure/brains.ts";
import { type Aim, renderAims } from "../policy/policy_aims.ts";
import { runProgram } from "../measure/program.ts";
import type { RoomsPlan, RoomsReport } from "./rooms_child.ts";
import type { GrowthCost, GrowthStep } from "./rooms_growth.ts";
import type { PaceReport, PaceRound } from "./rooms_pace.ts";
import { positive, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP =
  `rooms: room.set over the Spine of one Brain and of three (processes, real NATS): commands a
second on one room and on many, beside bare compare-and-set on the same NATS, with and without a sync
of each write; and the cost of a command as rooms grow from ten to N.

  --rounds N        turns of each row; medians over them count (3)
  --seconds N       counted time of a turn (2)
  --rooms N         many rooms (1000)
  --outstanding N   commands under way at a time (256)
  --most N          rooms of the last step of growth (100000)
`;

/** Largest ratio of a write's cost at any number of rooms to the lowest cost: flat growth, and noise. */
const FLAT = 1.5;
/** With fewer rooms there are too few commands to time. */
const MANY = 1_000;

const SYNCING: Readonly<Record<Syncing, string>> = {
  each: "NATS syncs each write",
  later: "NATS syncs later",
};

/** The median over the rounds of a row. */
function medianOf(rounds: readonly PaceRound[], value: (round: PaceRound) => number): number {
  return median(rounds.map(value));
}

/** The rounds with which a row is compared: the bucket alone, with as many keys. */
function limitOf({ rounds }: PaceReport): readonly PaceRound[] {
  return rounds.filter(({ row }) => row.startsWith("bare") && !row.endsWith("one key"));
}

function renderPace(syncing: Syncing, report: PaceReport): string {
  const limit = medianOf(limitOf(report), ({ commands_per_s }) => commands_per_s);
  const rows = [...new Set(report.rounds.map(({ row }) => row))];
  return renderRows(
    [SYNCING[syncing], "/s", "ratio", "p50 ms", "p99 ms", "CPU µs", "conflicts", "run again"],
    rows.map((name) => {
      const mine = report.rounds.filter(({ row }) => row === name);
      const pace = medianOf(mine, ({ commands_per_s }) => commands_per_s);
      const spent = mine.flatMap((round) => round.spent ?? []);
      const sum = (values: readonly number[]) =>
        spent.length === 0 ? "" : String(values.reduce((all, value) => all + value, 0));
      return [
        name,
        pace.toFixed(0),
        `${(pace / limit).toFixed(2)}x`,
        medianOf(mine, ({ p50_ms }) => p50_ms).toFixed(2),
        medianOf(mine, ({ p99_ms }) => p99_ms).toFixed(2),
        spent.length === 0 ? "" : median(spent.map(({ cpu_us }) => cpu_us)).toFixed(0),
        sum(spent.map(({ conflicts }) => conflicts)),
        sum(spent.map(({ retries }) => retries)),
      ];
    }),
  );
}

type Kind = "create" | "write" | "write_any";

/**
 * The ratio of a step to the cheapest one. The first steps have few commands, and their noise is no growth.
 */
function ratio(step: GrowthStep, steps: readonly GrowthStep[], kind: Kind): number {
  return step[kind].cpu_us / Math.min(...steps.map((one) => one[kind].cpu_us));
}

function renderGrowth(steps: readonly GrowthStep[]): string {
  const cells = ({ commands, cpu_us, p50_ms, commands_per_s }: GrowthCost) => [
    String(commands),
    commands_per_s.toFixed(0),
    p50_ms.toFixed(2),
    cpu_us.toFixed(0),
  ];
  const head = ["commands", "/s", "p50 ms", "CPU µs"];
  const tables = ([
    ["create", "making a room"],
    ["write", "writing to new rooms"],
    ["write_any", "writing to any room"],
  ] as const).map(([kind, name]) =>
    renderRows(
      [name, ...head, "ratio"],
      steps.map((step) => [
        `${step.rooms} rooms`,
        ...cells(step[kind]),
        `${ratio(step, steps, kind).toFixed(2)}x`,
      ]),
    )
  );
  const rest = renderRows(
    ["a Brain at rest", "CPU ms/s", "RSS MB"],
    steps.map(({ rooms, idle_us, rss_bytes }) => [
      `${rooms} rooms`,
      (idle_us / 1_000).toFixed(1),
      (rss_bytes / 1e6).toFixed(0),
    ]),
  );
  return [...tables, rest].join("\n\n");
}

/** The aims of the growth, for the most expensive step among those with many commands. */
function aimsOf({ growth }: RoomsReport): Aim[] {
  const large = growth.filter(({ rooms }) => rooms >= MANY);
  if (large.length === 0) return [];
  return (["write", "write_any"] as const).map((kind): Aim => ({
    name: `CPU of writing to ${kind === "write" ? "new rooms" : "any room"}, ` +
      `${MANY} to ${large.at(-1)?.rooms} rooms`,
    measured: Math.max(...large.map((step) => ratio(step, growth, kind))),
    least: undefined,
    below: FLAT,
    unit: "x",
  }));
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan: RoomsPlan = {
    rounds: positive(values, "rounds"),
    seconds: positive(values, "seconds"),
    rooms: positive(values, "rooms"),
    outstanding: positive(values, "outstanding"),
    most: positive(values, "most"),
  };
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error("rooms: one Brain and three, each on a NATS of its own ...");
  const report = await runProgram<RoomsReport>(
    "bench/rooms/rooms_child.ts",
    permissions,
    [JSON.stringify(plan)],
  );
  const aims = aimsOf(report);
  const tables = [
    renderPace("each", report.pace.each),
    renderPace("later", report.pace.later),
    renderGrowth(report.growth),
    renderAims(aims),
  ];
  const wrong = Object.values(report.pace).find(({ contended: { accepted, version } }) =>
    accepted !== version
  );
  return {
    report: { options: plan, ...report, aims },
    table: tables.join("\n\n"),
    failure: wrong &&
      `a room has not exactly the writes that were accepted: ${JSON.stringify(wrong.contended)}`,
  };
}

/** The scenario of `deno task bench rooms`. */
export const ROOMS: Scenario = {
  name: "rooms",
  help: HELP,
  options: {
    rounds: text("3"),
    seconds: text("2"),
    rooms: text("1000"),
    outstanding: text("256"),
    most: text("100000"),
  },
  run,
};
