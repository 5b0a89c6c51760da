/** The scenario `presence`: what joins cost a cluster of three Brains. `presence_child.ts` measures. */
import { type Aim, renderAims } from "../policy/policy_aims.ts";
import type { PresencePlan, PresenceReport } from "./presence_child.ts";
import { measureMemory, type MemoryRow, renderMemory } from "./presence_memory.ts";
import type { Traffic, TrafficKind } from "./presence_traffic.ts";
import { runProgram } from "../measure/program.ts";
import { positive, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP =
  `presence: three Brains (processes) on one NATS, and the presence of two Shields without
their sockets: the time until all Brains have merged joins into one room and into a room each, also as
SUB with presence brings them, messages and bytes on the Spine, the convergence lag under a constant
rate of changes, and what a member takes of a Brain's memory.

  --rounds N          turns of each row; medians over them count (3)
  --members N         joins of a round (10000)
  --rate N            changes a second for the lag (1000)
  --seconds N         counted time of the lag (10)
  --memory-members N  members for the memory (100000)
`;

/** Most bytes of a Brain's memory for a member, which is the aim of the presence service. */
const MEMBER_BYTES = 500;
/** Largest lag: twice the time for which a Shield gathers changes. */
const LAG_MS = 100;

function valuesOf({ rounds }: PresenceReport, plan: string) {
  const mine = rounds.filter((round) => round.plan === plan);
  const slowest = mine.map(({ merged_ms }) => Math.max(...merged_ms));
  return {
    merged_ms: median(slowest),
    least_ms: Math.min(...slowest),
    most_ms: Math.max(...slowest),
    made_ms: median(mine.map(({ made_ms }) => made_ms)),
    answered_ms: median(mine.map(({ answered_ms }) => answered_ms ?? NaN)),
    refused: mine.reduce((sum, { refused }) => sum + refused, 0),
  };
}

const ms = (value: number) => Number.isNaN(value) ? "" : value.toFixed(0);

function renderRounds(report: PresenceReport, members: number): string {
  const plans = [...new Set(report.rounds.map(({ plan }) => plan))];
  const first = valuesOf(report, plans[0] ?? "").merged_ms;
  return renderRows(
    [
      "joins at once",
      "joins",
      "merged ms",
      "least",
      "most",
      "ratio",
      "joins/s",
      "answered",
      "refused",
      "made",
    ],
    plans.map((plan) => {
      const values = valuesOf(report, plan);
      const { merged_ms, least_ms, most_ms, made_ms, answered_ms, refused } = values;
      return [
        plan,
        String(members),
        ...[merged_ms, least_ms, most_ms].map(ms),
        `${(merged_ms / first).toFixed(2)}x`,
        (members / merged_ms * 1_000).toFixed(0),
        ms(answered_ms),
        Number.isNaN(answered_ms) ? "" : String(refused),
        ms(made_ms),
      ];
    }),
  );
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
  const { rate, heard, stamped, p50_ms, p99_ms, max_ms, merged_within } = lag;
  const shares = Object.entries(merged_within);
  return renderRows(
    ["lag", "heard", "p50 ms", "p99", "max", ...shares.map(([within]) => `merged in ${within}`)],
    [[
      `${rate} changes/s`,
      `${heard} of ${stamped}`,
      ...[p50_ms, p99_ms, max_ms].map(ms),
      ...shares.map(([, share]) => `${(share * 100).toFixed(2)} %`),
    ]],
  );
}

function aimsOf(report: PresenceReport, memory: readonly MemoryRow[]): Aim[] {
  const lag: Aim = {
    name: `convergence lag, ${report.lag.rate} changes/s, p99`,
    measured: report.lag.p99_ms,
    least: undefined,
    below: LAG_MS,
    unit: "ms",
  };
  const bytes = memory.map(({ name, member_bytes }): Aim => ({
    name: `memory of a member, ${name}`,
    measured: member_bytes,
    least: undefined,
    below: MEMBER_BYTES,
    unit: "B",
  }));
  return [lag, ...bytes];
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan: PresencePlan = {
    rounds: positive(values, "rounds"),
    members: positive(values, "members"),
    rate: positive(values, "rate"),
    seconds: positive(values, "seconds"),
  };
  const memory_members = positive(values, "memory-members");
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  console.error("presence: three Brains on one NATS ...");
  const report = await runProgram<PresenceReport>(
    "bench/presence/presence_child.ts",
    permissions,
    [JSON.stringify(plan)],
  );
  const memory = await measureMemory(memory_members);
  const aims = aimsOf(report, memory);
  const tables = [
    renderRounds(report, plan.members),
    renderTraffic(report.traffic, plan.members),
    renderLag(report),
    renderMemory(memory),
    renderAims(aims),
  ];
  return {
    report: { options: { ...plan, memory_members }, ...report, memory, aims },
    table: tables.join("\n\n"),
  };
}

/** The scenario of `deno task bench presence`. */
export const PRESENCE: Scenario = {
  name: "presence",
  help: HELP,
  options: {
    rounds: text("3"),
    members: text("10000"),
    rate: text("1000"),
    seconds: text("10"),
    "memory-members": text("100000"),
  },
  run,
};
