/** The scenario `rooms`: what commands of rooms cost, on Brains and NATS as processes. */
import type { Syncing } from "../measure/brains.ts";
import { type Aim, renderAims } from "../measure/aims.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { scenario } from "../measure/scenario.ts";
import { median, medianOf, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { type GrowthStep, measureGrowth } from "./rooms_growth.ts";
import { measurePace, type PacePlan, type PaceReport, type PaceRound } from "./rooms_pace.ts";

interface RoomsReport {
  readonly pace: Readonly<Record<Syncing, PaceReport>>;
  readonly growth: readonly GrowthStep[];
}

/** Largest ratio of a write's cost at any number of rooms to the lowest cost: flat growth, and noise. */
const FLAT = 1.5;
/** With fewer rooms there are too few commands to time. */
const MANY = 1_000;

async function measure({ most, ...plan }: PacePlan & { most: number }): Promise<RoomsReport> {
  const pace = { each: await measurePace(plan, "each"), later: await measurePace(plan, "later") };
  return { pace, growth: await measureGrowth(most) };
}

function renderPace(title: string, { rounds }: PaceReport): string {
  // The bucket alone, with as many keys.
  const bare = rounds.filter(({ row }) => row.startsWith("bare") && !row.endsWith("one key"));
  const limit = medianOf(bare, "commands_per_s");
  const spent = (mine: readonly PaceRound[]) => mine.flatMap((round) => round.spent ?? []);
  const total = (key: "conflicts" | "retries") => (mine: readonly PaceRound[]) =>
    spent(mine).length === 0 ? "" : sumOf(spent(mine), key);
  return renderTable([...Map.groupBy(rounds, ({ row }) => row).values()], [
    [title, ([one]) => one!.row],
    ["/s", (mine) => medianOf(mine, "commands_per_s")],
    ["ratio", (mine) => `${(medianOf(mine, "commands_per_s") / limit).toFixed(2)}x`],
    ["p50 ms", (mine) => medianOf(mine, "p50_ms"), 2],
    ["p99 ms", (mine) => medianOf(mine, "p99_ms"), 2],
    ["CPU µs", (mine) => median(spent(mine).map(({ cpu_us }) => cpu_us))],
    ["conflicts", total("conflicts")],
    ["run again", total("retries")],
  ]);
}

type Kind = "create" | "write" | "write_any";

/** The ratio of a step to the cheapest one. The first steps have few commands, and their noise is no growth. */
function ratio(step: GrowthStep, steps: readonly GrowthStep[], kind: Kind): number {
  return step[kind].cpu_us / Math.min(...steps.map((one) => one[kind].cpu_us));
}

function renderGrowth(steps: readonly GrowthStep[]): string {
  const tables = ([
    ["create", "making a room"],
    ["write", "writing to new rooms"],
    ["write_any", "writing to any room"],
  ] as const).map(([kind, name]) =>
    renderTable(steps, [
      [name, ({ rooms }) => `${rooms} rooms`],
      ["commands", (step) => step[kind].commands],
      ["/s", (step) => step[kind].commands_per_s],
      ["p50 ms", (step) => step[kind].p50_ms, 2],
      ["CPU µs", (step) => step[kind].cpu_us],
      ["ratio", (step) => `${ratio(step, steps, kind).toFixed(2)}x`],
    ])
  );
  const rest = renderTable(steps, [
    ["a Brain at rest", ({ rooms }) => `${rooms} rooms`],
    ["CPU ms/s", ({ idle_us }) => idle_us / 1_000, 1],
    ["RSS MB", ({ rss_bytes }) => rss_bytes / 1e6],
  ]);
  return [...tables, rest].join("\n\n");
}

/** The aims of the growth, for the most expensive step among those with many commands. */
function aimsOf({ growth }: RoomsReport): Aim[] {
  const large = growth.filter(({ rooms }) => rooms >= MANY);
  if (large.length === 0) return [];
  return (["write", "write_any"] as const).map((kind) => ({
    name: `CPU of writing to ${kind === "write" ? "new rooms" : "any room"}, ` +
      `${MANY} to ${large.at(-1)?.rooms} rooms`,
    measured: Math.max(...large.map((step) => ratio(step, growth, kind))),
    bound: FLAT,
    unit: "x",
  }));
}

/** The scenario of `deno task bench rooms`. */
export const ROOMS = scenario(
  "rooms",
  `room.set over the Spine of one Brain and of three (processes, real NATS): commands a
second on one room and on many, beside bare compare-and-set on the same NATS, with and without a sync
of each write; and the cost of a command as rooms grow from ten to N.`,
  {
    rounds: [3, "turns of each row; medians over them count"],
    seconds: [2, "counted time of a turn"],
    rooms: [1_000, "many rooms"],
    outstanding: [256, "commands under way at a time"],
    most: [100_000, "rooms of the last step of growth"],
  },
  async (plan) => {
    console.error("rooms: one Brain and three, each on a NATS of its own ...");
    const report = await measuredBy<RoomsReport>(import.meta.url, plan);
    const aims = aimsOf(report);
    const wrong = Object.values(report.pace).find(({ contended: { accepted, version } }) =>
      accepted !== version
    );
    return {
      report: { options: plan, ...report, aims },
      table: [
        renderPace("NATS syncs each write", report.pace.each),
        renderPace("NATS syncs later", report.pace.later),
        renderGrowth(report.growth),
        ...(aims.length === 0 ? [] : [renderAims(aims)]),
      ].join("\n\n"),
      failure: wrong &&
        `a room has not exactly the writes that were accepted: ${JSON.stringify(wrong.contended)}`,
    };
  },
);

if (import.meta.main) await answer(measure);
