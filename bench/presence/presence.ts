/** The scenario `presence`: what joins cost a cluster of three Brains, and the convergence lag, on one NATS. */
import { type Aim, renderAims } from "../measure/aims.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { scenario } from "../measure/scenario.ts";
import { median, medianOf, sumOf } from "../measure/statistics.ts";
import { renderRows, renderTable } from "../measure/table.ts";
import { startCluster } from "./presence_cluster.ts";
import { type LagReport, measureLag } from "./presence_lag.ts";
import { measureMemory, type MemoryRow, renderMemory } from "./presence_memory.ts";
import { countRound, type Round, type RoundPlan, runRound } from "./presence_rounds.ts";
import type { Traffic, TrafficKind } from "./presence_traffic.ts";

interface PresencePlan {
  readonly rounds: number;
  readonly members: number;
  readonly rate: number;
  readonly seconds: number;
}

interface PresenceReport {
  readonly rounds: readonly Round[];
  /** The traffic of each plan, by its name. */
  readonly traffic: Readonly<Record<string, Traffic>>;
  readonly lag: LagReport;
}

/** Most bytes of a Brain's memory for a member, which is the aim of the presence service. */
const MEMBER_BYTES = 500;
/** Largest lag: twice the time for which a Shield gathers changes. */
const LAG_MS = 100;

/** The plans, in the order in which they take turns. */
function plansOf(members: number): RoundPlan[] {
  const one = { members, rooms: 1 };
  const many = { members, rooms: members };
  return [
    { name: "one room", ...one, subscribed: false },
    { name: "a room each", ...many, subscribed: false },
    { name: "one room, SUB", ...one, subscribed: true },
    { name: "a room each, SUB", ...many, subscribed: true },
  ];
}

function say(text: string): void {
  console.error(`presence: ${text} ...`);
}

async function measure(plan: PresencePlan): Promise<PresenceReport> {
  await using cluster = await startCluster();
  const plans = plansOf(plan.members);
  say("warm-up");
  for (const one of plansOf(Math.ceil(plan.members / 10))) await runRound(cluster, one);
  const rounds: Round[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    say(`round ${round} of ${plan.rounds}`);
    for (const one of plans) rounds.push(await runRound(cluster, one));
  }
  say("traffic");
  const traffic: Record<string, Traffic> = {};
  for (const one of plans) traffic[one.name] = await countRound(cluster, one);
  say(`${plan.rate} changes/s for ${plan.seconds} s`);
  return { rounds, traffic, lag: await measureLag(cluster, plan) };
}

function renderRounds({ rounds }: PresenceReport, members: number): string {
  const plans = [...Map.groupBy(rounds, ({ plan }) => plan).values()];
  const slowest = (mine: readonly Round[]) => mine.map(({ merged_ms }) => Math.max(...merged_ms));
  const merged = (mine: readonly Round[]) => median(slowest(mine));
  return renderTable(plans, [
    ["joins at once", ([one]) => one!.plan],
    ["joins", () => members],
    ["merged ms", merged],
    ["least", (mine) => Math.min(...slowest(mine))],
    ["most", (mine) => Math.max(...slowest(mine))],
    ["ratio", (mine) => `${(merged(mine) / merged(plans[0]!)).toFixed(2)}x`],
    ["joins/s", (mine) => members / merged(mine) * 1_000],
    ["answered", (mine) => medianOf(mine, "answered_ms")],
    ["refused", (mine) => mine[0]!.answered_ms === undefined ? "" : sumOf(mine, "refused")],
    ["made", (mine) => medianOf(mine, "made_ms")],
  ]);
}

function renderTraffic(traffic: PresenceReport["traffic"], members: number): string {
  const perJoin = (value: number) => (value / members).toFixed(value < members / 100 ? 4 : 2);
  const kinds = Object.keys(Object.values(traffic)[0]?.published ?? {}) as TrafficKind[];
  const rows = Object.entries(traffic).flatMap((
    [plan, { published, delivered }]: [string, Traffic],
  ) => [
    ...kinds.filter((kind) => published[kind].bytes >= members).map((kind) => [
      `${plan}: ${kind}`,
      perJoin(published[kind].messages),
      (published[kind].bytes / members).toFixed(0),
    ]),
    [`${plan}: delivered`, perJoin(delivered.messages), (delivered.bytes / members).toFixed(0)],
  ]);
  return renderRows(["on the Spine, per join", "messages", "bytes"], rows);
}

function renderLag({ lag }: PresenceReport): string {
  return renderTable([lag], [
    ["lag", ({ rate }) => `${rate} changes/s`],
    ["heard", ({ heard, stamped }) => `${heard} of ${stamped}`],
    ["p50 ms", ({ p50_ms }) => p50_ms],
    ["p99", ({ p99_ms }) => p99_ms],
    ["max", ({ max_ms }) => max_ms],
    ...Object.entries(lag.merged_within).map(([within, share]) =>
      [`merged in ${within}`, () => `${(share * 100).toFixed(2)} %`] as const
    ),
  ]);
}

function aimsOf({ lag }: PresenceReport, memory: readonly MemoryRow[]): Aim[] {
  const name = `convergence lag, ${lag.rate} changes/s, p99`;
  return [
    { name, measured: lag.p99_ms, bound: LAG_MS, unit: "ms" },
    ...memory.map(({ name, member_bytes }) => (
      {
        name: `memory of a member, ${name}`,
        measured: member_bytes,
        bound: MEMBER_BYTES,
        unit: "B",
      }
    )),
  ];
}

/** The scenario of `deno task bench presence`. */
export const PRESENCE = scenario(
  "presence",
  `three Brains (processes) on one NATS, and the presence of two Shields without
their sockets: the time until all Brains have merged joins into one room and into a room each, also as
SUB with presence brings them, messages and bytes on the Spine, the convergence lag under a constant
rate of changes, and what a member takes of a Brain's memory.`,
  {
    rounds: [3, "turns of each row; medians over them count"],
    members: [10_000, "joins of a round"],
    rate: [1_000, "changes a second for the lag"],
    seconds: [10, "counted time of the lag"],
    "memory-members": [100_000, "members for the memory"],
  },
  async ({ "memory-members": memory_members, ...plan }) => {
    console.error("presence: three Brains on one NATS ...");
    const report = await measuredBy<PresenceReport>(import.meta.url, plan);
    const memory = await measureMemory(memory_members);
    const aims = aimsOf(report, memory);
    return {
      report: { options: { ...plan, memory_members }, ...report, memory, aims },
      table: [
        renderRounds(report, plan.members),
        renderTraffic(report.traffic, plan.members),
        renderLag(report),
        renderMemory(memory),
        renderAims(aims),
      ].join("\n\n"),
    };
  },
);

if (import.meta.main) await answer(measure);
