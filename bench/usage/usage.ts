/**
 * The scenario `usage`: prices in CPU time. Tenants with different loads use one bus in varying amounts. It fits prices
 * to some runs, so that the cost of all tenants together is the CPU time of the bus. Other runs check the prices.
 */
import { enforce } from "../../tests/peers/policy_admin.ts";
import { type Load, openLoad } from "../load/crowd/driver.ts";
import { busTarget } from "../load/crowd/turns.ts";
import { type Group, ownRooms } from "../load/plans/plan.ts";
import { ROOT, scenario } from "../measure/scenario.ts";
import { until } from "../measure/scrape.ts";
import { sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { type BusProcess, startConfigured, type TokenFor, tokens } from "../measure/targets.ts";
import { cpuSecondsBetween, usagesOf } from "../measure/usage.ts";
import { CONFIG } from "../policy/policy_bus.ts";
import { fitPrices, type FittedRun, pricedAt } from "./fit.ts";

/** The minimum share of the CPU time in checked runs whose cost is within this tolerance. */
const GOAL_EXPLAINED = 0.9;
const GOAL_WITHIN = 0.1;
/** The units with a price: they do not contain one another. No tenant here checks schemas or sends commands. */
const UNITS = [
  "messages_in",
  "bytes_in",
  "deliveries",
  "bytes_out",
  "connection_minutes",
  "fuel",
  "log_bytes",
] as const;
const COUNTING = `
[usage]
enabled = true
#constant usage.flush_ms = 1000
[[rooms]]
room = "kept-*"
durable = true
`;
const MINUTE_MS = 60_000;

/** One tenant: its connections, the size of its messages, and its rate while it sends. */
interface UsageLoad {
  readonly tenant: string;
  readonly groups: readonly Group[];
  readonly rate: number;
  readonly size_bytes: number;
}

const load = (
  tenant: string,
  rate: number,
  size_bytes = 100,
  groups = [ownRooms(10, "room")],
): UsageLoad => ({ tenant, groups, rate, size_bytes });

/** All tenants: one to one, one to many, large bodies, a policy, a log, and a silent tenant. */
const LOADS: readonly UsageLoad[] = [
  load("pairs", 6_000),
  load("crowd", 240, 100, [
    ownRooms(1, "room"),
    ownRooms(59, "room", { rooms: 1, publishes: false }),
  ]),
  load("large", 500, 16_384),
  load("judged", 2_500, 1_000),
  load("kept", 2_500, 100, [ownRooms(10, "kept")]),
  load("silent", 0, 100, [ownRooms(200, "room", { rooms: 10, publishes: false })]),
];
/** All of them are open for as long as anything is measured. */
const CONNECTIONS = sumOf(LOADS.flatMap(({ groups }) => groups), "connections");

async function deploy(bus: BusProcess, tokenFor: TokenFor): Promise<void> {
  const adminToken = () => tokenFor({ tenant_id: "default", role: "admin" });
  const words = { tenant: "judged", name: "words", order: 0, hooks: ["on_message"] };
  await enforce({ admin_url: bus.admin_url, tokenFor: adminToken }, "bad_words", words);
}

/** The usage of all tenants so far, by unit. */
async function usedOf(bus: BusProcess, token: string): Promise<Record<string, number>> {
  const used: Record<string, number> = {};
  for (const { tenant } of LOADS) {
    const headers = { authorization: `Bearer ${token}` };
    const url = `${bus.admin_url}/v1/usage?tenant=${tenant}&since_ms=0`;
    const { total } = await (await fetch(url, { headers })).json();
    for (const unit of UNITS) used[unit] = (used[unit] ?? 0) + total[unit];
  }
  return used;
}

/** Waits until the ledger has every message that was received. */
async function settled(bus: BusProcess, token: string, received: number) {
  let used: Record<string, number> = {};
  const isThere = async () => (used = await usedOf(bus, token))["deliveries"] === received;
  await until(isThere, "the deliveries in the ledger", 200);
  return used;
}

/** Repeatable random numbers from 0 to 1. */
function sameNumbers(): () => number {
  let state = 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

/** The minimum part of a run for which an active tenant sends. */
const LEAST = 0.3;

/** The sending times of a tenant in a run, in seconds; a third of the tenants send nothing. */
interface Turn {
  readonly pause_seconds: number;
  readonly seconds: number;
}

function turnsOf(number: () => number, seconds: number): Turn[] {
  return LOADS.map(() => {
    const is_on = number() > 1 / 3;
    const own = is_on ? (LEAST + (1 - LEAST) * number()) * seconds : 0;
    return { pause_seconds: (seconds - own) * number(), seconds: own };
  });
}

/** The connected tenants, and the number of messages that they have received. */
interface Crowd {
  readonly bus: BusProcess;
  readonly token: string;
  readonly loads: readonly Load[];
  received: number;
}

/** One run. A tenant always sends at the same rate: at a lower one, a bus wakes up more often for each message. */
async function runOnce(crowd: Crowd, turns: readonly Turn[]): Promise<FittedRun> {
  const { bus, token, loads } = crowd;
  const before = await settled(bus, token, crowd.received);
  const usage = async () => (await usagesOf([[bus.pid]]))[0]!;
  const begun = await usage();
  await Promise.all(loads.map(async (load, at) => {
    const { pause_seconds, seconds } = turns[at]!;
    const { rate, size_bytes } = LOADS[at]!;
    if (seconds === 0 || rate === 0) return;
    await new Promise((resolve) => setTimeout(resolve, pause_seconds * 1_000));
    const pace = { kind: "rate", rate, burst: 1 } as const;
    const run = { pace, sizes_bytes: [size_bytes], seconds, warmup_seconds: 0 };
    const { received, missing } = await load.run(run);
    if (missing !== 0) throw new Error("messages were lost");
    crowd.received += received;
  }));
  const ended = await usage();
  const after = await settled(bus, token, crowd.received);
  const amounts = Object.fromEntries(UNITS.map((unit) => [unit, after[unit]! - before[unit]!]));
  // The ledger also counts the time of the wait, whose CPU time was not counted.
  const connection_minutes = CONNECTIONS * (ended.at_ms - begun.at_ms) / MINUTE_MS;
  return { amounts: { ...amounts, connection_minutes }, cost: cpuSecondsBetween(begun, ended) };
}

/** The cheapest of a run's rounds, and the highest cost of one of them: the difference comes from the machine. */
interface MeasuredRun extends FittedRun {
  readonly most: number;
}

/** Runs one after the other, repeated in each round. The cheapest of each counts. */
async function measure(runs: number, rounds: number, seconds: number): Promise<MeasuredRun[]> {
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(await startConfigured(CONFIG + COUNTING));
  const tokenFor = await tokens(bus);
  await deploy(bus, tokenFor);
  const token = await tokenFor({ tenant_id: "default", role: "admin" });
  const loads: Load[] = [];
  for (const { tenant, groups } of LOADS) {
    const target = busTarget(bus, [await tokenFor({ tenant_id: tenant, role: "user" })]);
    loads.push(owned.use(await openLoad(target, { groups, processes: 1, echo: false })));
  }
  const crowd = { bus, token, loads, received: 0 };
  const number = sameNumbers();
  const plan = Array.from({ length: runs }, () => turnsOf(number, seconds));
  // The optimising compiler must have compiled every load before the measurement.
  const everybody = LOADS.map(() => ({ pause_seconds: 0, seconds }));
  for (let run = 0; run < 2; run++) await runOnce(crowd, everybody);
  const least: MeasuredRun[] = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`usage, round ${round + 1} of ${rounds} ...`);
    for (const [at, turns] of plan.entries()) {
      const one = await runOnce(crowd, turns);
      const before = least[at] ?? { ...one, most: 0 };
      const most = Math.max(before.most, one.cost);
      least[at] = { ...(one.cost < before.cost ? one : before), most };
    }
  }
  return least;
}

/** The prices as a table of the configuration. */
function tomlOf(prices: Readonly<Record<string, number>>): string {
  const lines = UNITS.map((unit) => `${unit} = ${(prices[unit] ?? 0).toExponential(3)}\n`);
  return `# Seconds of CPU time, as fitted by \`deno task bench usage\` on one machine.\n` +
    `[usage.prices]\n${lines.join("")}`;
}

/** The scenario of `deno task bench usage`. */
export const USAGE = scenario(
  "usage",
  `prices for [usage.prices], in seconds of CPU time. Six tenants with different loads use
one bus; prices are fitted on some runs and checked on others, whose cost by them is compared with the CPU
time of the process.`,
  {
    runs: [14, "runs of which prices are made"],
    checks: [6, "runs that check them"],
    // Other work on the machine only raises the cost.
    rounds: [4, "how often each is made; the least CPU time counts"],
    seconds: [3, "of a run"],
    prices: ["bench/results/usage_prices.toml", "where the prices go, as TOML"],
  },
  async ({ runs, checks, rounds, seconds, prices: file }) => {
    const all = await measure(runs + checks, rounds, seconds);
    // One of several runs is a check, so that other work on the machine affects both about equally.
    const every = Math.max(2, Math.floor(all.length / checks));
    const is_check = (at: number) => at % every === every - 1;
    const prices = fitPrices(all.filter((_, at) => !is_check(at)), UNITS);
    const checked = all.filter((_, at) => is_check(at)).map((run) => {
      const priced = pricedAt(prices, run.amounts);
      return { ...run, priced, part: priced / run.cost };
    });
    const cpu_seconds = sumOf(checked, "cost");
    const close = checked.filter(({ part }) => Math.abs(part - 1) <= GOAL_WITHIN);
    const within = sumOf(close, "cost") / cpu_seconds;
    await Deno.mkdir(`${ROOT}/bench/results`, { recursive: true });
    await Deno.writeTextFile(file, tomlOf(prices));
    const share = `${(within * 100).toFixed(0)} % of it is in runs within ${GOAL_WITHIN * 100} %`;
    const percent = (sumOf(checked, "priced") / cpu_seconds * 100).toFixed(1);
    const shown = renderTable([...checked.entries()], [
      ["run", ([at]) => String(at + 1)],
      ["in", ([, { amounts }]) => amounts["messages_in"]],
      ["deliveries", ([, { amounts }]) => amounts["deliveries"]],
      ["CPU ms", ([, { cost }]) => cost * 1_000],
      ["most", ([, { most }]) => most * 1_000],
      ["cost ms", ([, { priced }]) => priced * 1_000],
      ["part", ([, { part }]) => part, 3],
    ]);
    const total = `cost of the checked runs: ${percent} % of their CPU time; ${share}`;
    return {
      report: { runs: all, prices, parts: checked.map(({ part }) => part), within },
      table: `${shown}\n${total}\n\n${tomlOf(prices)}`,
      failure: within < GOAL_EXPLAINED
        ? `of the CPU time of the checked runs only ${share}`
        : undefined,
    };
  },
);
