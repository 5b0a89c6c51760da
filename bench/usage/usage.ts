/**
 * The scenario `usage`: prices in CPU time. Some tenants with different loads use one bus in changing measures; of
 * some runs prices are fitted, by which the cost of all tenants together is the CPU time of the bus. Other runs
 * check them.
 */
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import {
  type OptionValues,
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
} from "../measure/scenario.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, startBus } from "../measure/targets.ts";
import { cpuSecondsBetween, type Usage, usagesOf } from "../measure/usage.ts";
import { type TokenFor, tokens } from "../policy/policy_bus.ts";
import { fitPrices, type FittedRun, pricedAt } from "./fit.ts";
import { type OpenLoad, openLoad, USAGE_LOADS } from "./usage_loads.ts";

const HELP =
  `usage: prices for [usage.prices], in seconds of CPU time. Six tenants with different loads use
one bus; prices are fitted on some runs and checked on others, whose cost by them is compared with the CPU
time of the process.

  --runs N          runs of which prices are made (14)
  --checks N        runs that check them (6)
  --rounds N        how often each is made; the least CPU time counts, for what others do beside only
                    adds to it (4)
  --seconds N       of a run (3)
  --prices FILE     where the prices go, as TOML (bench/results/usage_prices.toml)
`;

/** So much of the CPU time has to be in checked runs whose cost is within this part of it. */
const GOAL_EXPLAINED = 0.9;
const GOAL_WITHIN = 0.1;
/** What prices are of: units that do not contain one another. Nobody checks schemas or sends commands here. */
const UNITS = [
  "messages_in",
  "bytes_in",
  "deliveries",
  "bytes_out",
  "connection_minutes",
  "fuel",
  "log_bytes",
] as const;
const POLICY = `${ROOT}/policies/build/bad_words.wasm`;
const CONFIG = `
[usage]
enabled = true
flush_ms = 1000
[[rooms]]
room = "kept-*"
durable = true
`;
const ARRIVE_MS = 30_000;
const MINUTE_MS = 60_000;
/** All of them are open for as long as anything is measured. */
const CONNECTIONS = USAGE_LOADS.reduce((sum, { readers }) => sum + readers, 0);

async function startCounting(): Promise<BusProcess> {
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  const file = await Deno.makeTempFile({ dir, suffix: ".toml" });
  await Deno.writeTextFile(
    file,
    await Deno.readTextFile(`${ROOT}/bench/policy/policy_price.toml`) + CONFIG,
  );
  const bus = await startBus(file);
  await Deno.remove(file);
  return bus;
}

async function deploy(bus: BusProcess, tokenFor: TokenFor): Promise<void> {
  const adminToken = () => tokenFor({ tenant_id: "default", role: "admin" });
  const admin = await policyAdmin({ admin_url: bus.admin_url, tokenFor: adminToken });
  const { body } = await admin.upload(await Deno.readFile(POLICY));
  const binding = { tenant: "judged", name: "words", sha256: body["sha256"] };
  const { status } = await admin.post("deploy", { ...binding, order: 0, hooks: ["on_message"] });
  if (status !== 200) throw new Error(`deploy: ${status}`);
}

/** What all tenants have used so far, by unit. */
async function usedOf(bus: BusProcess, token: string): Promise<Record<string, number>> {
  const used: Record<string, number> = {};
  for (const { tenant } of USAGE_LOADS) {
    const headers = { authorization: `Bearer ${token}` };
    const url = `${bus.admin_url}/v1/usage?tenant=${tenant}&since_ms=0`;
    const { total } = await (await fetch(url, { headers })).json();
    for (const unit of UNITS) used[unit] = (used[unit] ?? 0) + total[unit];
  }
  return used;
}

/** Waits until the ledger has every message that was received. */
async function settled(bus: BusProcess, token: string, received: number) {
  const begun_ms = performance.now();
  for (;;) {
    const used = await usedOf(bus, token);
    if (used["deliveries"] === received) return used;
    if (performance.now() - begun_ms > ARRIVE_MS) throw new Error("the ledger lacks deliveries");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const receivedBy = (loads: readonly OpenLoad[]) =>
  loads.reduce((sum, { received }) => sum + received, 0);

/** The same numbers each time, from 0 to 1. */
function* sameNumbers(): Generator<number> {
  for (let state = 1;;) {
    state = (state * 48_271) % 2_147_483_647;
    yield state / 2_147_483_647;
  }
}

/** The least part of a run for which a tenant sends that does. */
const LEAST = 0.3;

/** When a tenant sends in a run, in seconds; a third of them send nothing. */
interface Turn {
  readonly pause_seconds: number;
  readonly seconds: number;
}

function turnsOf(numbers: Generator<number, never>, seconds: number): Turn[] {
  return USAGE_LOADS.map(() => {
    const is_on = numbers.next().value > 1 / 3;
    const own = is_on ? (LEAST + (1 - LEAST) * numbers.next().value) * seconds : 0;
    return { pause_seconds: (seconds - own) * numbers.next().value, seconds: own };
  });
}

/**
 * One run. A tenant that sends does so at its one rate: at a lower one, a bus wakes up more often for each
 * message.
 */
async function runOnce(
  bus: BusProcess,
  token: string,
  loads: readonly OpenLoad[],
  turns: readonly Turn[],
): Promise<FittedRun> {
  const before = await settled(bus, token, receivedBy(loads));
  const usage = async (): Promise<Usage> => (await usagesOf([[bus.pid]]))[0]!;
  const [begun, received] = [await usage(), receivedBy(loads)];
  const expected = await Promise.all(loads.map((load, at) => {
    const { pause_seconds, seconds } = turns[at]!;
    return load.run(pause_seconds, seconds);
  }));
  const all = received + expected.reduce((sum, one) => sum + one, 0);
  for (const begun_ms = performance.now(); receivedBy(loads) < all;) {
    if (performance.now() - begun_ms > ARRIVE_MS) throw new Error("messages were lost");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const ended = await usage();
  const cost = cpuSecondsBetween(begun, ended);
  const [begun_ms, ended_ms] = [begun.at_ms, ended.at_ms];
  const after = await settled(bus, token, all);
  const amounts = Object.fromEntries(UNITS.map((unit) => [unit, after[unit]! - before[unit]!]));
  // The ledger has those of the time in which it was waited for, too, and no CPU time was counted then.
  const connection_minutes = CONNECTIONS * (ended_ms - begun_ms) / MINUTE_MS;
  return { amounts: { ...amounts, connection_minutes }, cost };
}

/** The cheapest of a run's rounds, and the most that one of them cost: how far apart they are is the machine's. */
interface MeasuredRun extends FittedRun {
  readonly most: number;
}

/** Runs, one after the other, and all of them again in each round; the cheapest of each. */
async function measure(runs: number, rounds: number, seconds: number): Promise<MeasuredRun[]> {
  await using bus = await startCounting();
  using stack = new DisposableStack();
  const tokenFor = await tokens(bus);
  await deploy(bus, tokenFor);
  const token = await tokenFor({ tenant_id: "default", role: "admin" });
  const loads: OpenLoad[] = [];
  for (const load of USAGE_LOADS) {
    const own = await tokenFor({ tenant_id: load.tenant, role: "user" });
    loads.push(stack.use(await openLoad(bus.url, own, load)));
  }
  const numbers = sameNumbers() as Generator<number, never>;
  const plan = Array.from({ length: runs }, () => turnsOf(numbers, seconds));
  // The optimising compiler must have seen every load before anything counts.
  const everybody = USAGE_LOADS.map(() => ({ pause_seconds: 0, seconds }));
  for (let run = 0; run < 2; run++) await runOnce(bus, token, loads, everybody);
  const least: MeasuredRun[] = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`usage, round ${round + 1} of ${rounds} ...`);
    for (const [at, turns] of plan.entries()) {
      const one = await runOnce(bus, token, loads, turns);
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

async function run(values: OptionValues): Promise<ScenarioResult> {
  const [runs, checks, rounds, seconds] = ["runs", "checks", "rounds", "seconds"]
    .map((one) => positive(values, one));
  const all = await measure(runs! + checks!, rounds!, seconds!);
  // Every so often one is a check: what else the machine does then is the same for both.
  const every = Math.max(2, Math.floor(all.length / checks!));
  const is_check = (at: number) => at % every === every - 1;
  const checked = all.filter((_, at) => is_check(at));
  const prices = fitPrices(all.filter((_, at) => !is_check(at)), UNITS);
  const parts = checked.map(({ amounts, cost }) => pricedAt(prices, amounts) / cost);
  const cpu_seconds = checked.reduce((sum, { cost }) => sum + cost, 0);
  const priced = checked.reduce((sum, { amounts }) => sum + pricedAt(prices, amounts), 0);
  const within = checked.reduce(
    (sum, { cost }, at) => Math.abs(parts[at]! - 1) <= GOAL_WITHIN ? sum + cost : sum,
    0,
  ) / cpu_seconds;
  await Deno.mkdir(`${ROOT}/bench/results`, { recursive: true });
  await Deno.writeTextFile(String(values["prices"]), tomlOf(prices));
  const rows = checked.map(({ amounts, cost, most }, at) => [
    String(at + 1),
    String(Math.round(amounts["messages_in"]!)),
    String(Math.round(amounts["deliveries"]!)),
    (cost * 1_000).toFixed(0),
    (most * 1_000).toFixed(0),
    (pricedAt(prices, amounts) * 1_000).toFixed(0),
    parts[at]!.toFixed(3),
  ]);
  const part = `${(within * 100).toFixed(0)} % of it is in runs within ${GOAL_WITHIN * 100} %`;
  const total = `cost of the checked runs: ${(priced / cpu_seconds * 100).toFixed(1)} % of their ` +
    `CPU time; ${part}`;
  const shown = renderRows(["run", "in", "deliveries", "CPU ms", "most", "cost ms", "part"], rows);
  return {
    report: { runs: all, prices, parts, within },
    table: `${shown}\n${total}\n\n${tomlOf(prices)}`,
    failure: within < GOAL_EXPLAINED
      ? `of the CPU time of the checked runs only ${part}`
      : undefined,
  };
}

/** The scenario of `deno task bench usage`. */
export const USAGE: Scenario = {
  name: "usage",
  help: HELP,
  options: {
    runs: text("14"),
    checks: text("6"),
    rounds: text("4"),
    seconds: text("3"),
    prices: text("bench/results/usage_prices.toml"),
  },
  run,
};
