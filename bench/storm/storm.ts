/**
 * The scenario `storm`: all clients lose their connection and return at once, on a Shield and then on bare Deno:
 * crowds of clients in processes of their own, and a steady pair beside them. The promises of
 * docs/architecture.md#promises are beside the figures, and one that does not hold fails the run.
 */
import { createIssuer } from "../../tests/harness/cluster.ts";
import { ROOT } from "../measure/scenario.ts";
import type { CrowdPlan, CrowdReport } from "./storm_crowd.ts";
import type { PairPlan, PairReport } from "./storm_pair_child.ts";
import { niceness, type Program, startProgram } from "../measure/line_program.ts";
import { type Spent, startBare, startShield, type StormTarget } from "./storm_target.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { scenario, type ScenarioResult, UsageError } from "../measure/scenario.ts";
import { renderRows, renderTable } from "../measure/table.ts";
import { websocketLine } from "../../tests/harness/websocket_option.ts";
import { figuresOf, ms, promisesOf } from "./storm_verdict.ts";
import type { Figures, Kept } from "./storm_verdict.ts";

/** The plan of the measurement. */
export interface StormPlan {
  readonly clients: number;
  readonly processes: number;
  /** Attempts that are under way at a time in all processes together. */
  readonly lanes: number;
  /** `[limits] handshakes_per_second` and `handshake_burst` of the Shield. */
  readonly handshakes_per_second: number;
  readonly handshake_burst: number;
  /** Seconds for which the steady pair is measured before the storm. */
  readonly seconds: number;
  /** Messages per second of the steady pair. */
  readonly rate: number;
  readonly tls: boolean;
  /** `[server] websocket` of the Shield; "" leaves it out. */
  readonly websocket: string;
  /** Added to the niceness of the clients, which in reality are on other machines. */
  readonly nice: number;
  /** Whether to leave out the storm on bare Deno. */
  readonly alone: boolean;
}

/** The result of one storm. */
export interface StormRound {
  readonly crowds: readonly CrowdReport[];
  readonly pair: PairReport;
  readonly spent: Spent;
}

/** The result of the measurement; `bare` is absent when the Shield was alone. */
export interface StormReport {
  readonly shield: StormRound;
  readonly bare?: StormRound;
}

const CA_FILE = `${ROOT}/tests/tls/ca.pem`;
/** The whole process trusts the authority, since one that a client brings is parsed each time. */
const CLIENT_FLAGS = ["--allow-net", "--cert", CA_FILE];

async function startCrowds(
  plan: StormPlan,
  url: string,
  tokens: readonly string[],
): Promise<Program[]> {
  const { hostname, port } = new URL(url);
  const door = { hostname, port: Number(port), ...(plan.tls ? { ca: "" } : {}) };
  const share = Math.ceil(plan.clients / plan.processes);
  return await Promise.all(Array.from({ length: plan.processes }, async (_, index) => {
    const child = startProgram("bench/storm/storm_crowd_child.ts", {
      flags: CLIENT_FLAGS,
      before: niceness(plan.nice),
    });
    const crowd: CrowdPlan = {
      door,
      tokens: tokens.slice(index * share, (index + 1) * share),
      lanes: Math.ceil(plan.lanes / plan.processes),
    };
    await child.say(crowd);
    return child;
  }));
}

function say(text: string): void {
  console.error(`storm: ${text} ...`);
}

async function hitOnce(
  plan: StormPlan,
  target: StormTarget,
  tokens: readonly string[],
): Promise<StormRound> {
  const [token = "", ...others] = tokens;
  await using pair = startProgram("bench/storm/storm_pair_child.ts", { flags: CLIENT_FLAGS });
  const url = `${target.url.replace(/^http/, "ws")}/v1/socket`;
  await pair.say({ url, token, rate: plan.rate } satisfies PairPlan);
  await pair.hear();
  say(`${plan.clients} clients connect`);
  const crowds = await startCrowds(plan, target.url, others);
  try {
    const open = await Promise.all(crowds.map((crowd) => crowd.hear<{ open: number }>()));
    say(`${open.reduce((sum, one) => sum + one.open, 0)} are in; quiet for ${plan.seconds} s`);
    await pair.say("before");
    await new Promise((resolve) => setTimeout(resolve, plan.seconds * 1_000));
    const measured = await target.measure();
    say("all drop and return at once");
    await pair.say("storm");
    await Promise.all(crowds.map((crowd) => crowd.say("storm")));
    await Promise.all(crowds.map((crowd) => crowd.hear<{ back: true }>()));
    await pair.say("after");
    const spent = await measured();
    const reports = await Promise.all(crowds.map((crowd) => crowd.hear<CrowdReport>()));
    await pair.finish();
    return { crowds: reports, pair: await pair.hear(), spent };
  } finally {
    await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
  }
}

async function measure(plan: StormPlan): Promise<StormReport> {
  await using issuer = await createIssuer();
  // The tokens of the steady pair, and one for each client.
  const tokens = await Promise.all(
    Array.from(
      { length: 1 + plan.clients },
      (_, index) => issuer.tokenFor({ sub: index === 0 ? "steady" : `user-${index}` }),
    ),
  );
  const round = async (name: string, start: () => Promise<StormTarget>) => {
    say(name);
    await using target = await start();
    return await hitOnce(plan, target, tokens);
  };
  const shield = await round("a Shield", () => startShield(plan, issuer));
  if (plan.alone) return { shield };
  return { shield, bare: await round("bare Deno", () => startBare(plan)) };
}

function stormTable(figures: Figures, pair: StormRound["pair"]): string {
  const { handshake_p50_ms, handshake_p99_ms, handshake_max_ms } = figures;
  const handshake = {
    p50_ms: handshake_p50_ms,
    p99_ms: handshake_p99_ms,
    max_ms: handshake_max_ms,
  };
  const back = { p50_ms: figures.back_p50_ms, p99_ms: undefined, max_ms: figures.back_max_ms };
  const rows = [
    { name: "handshake let in", ...handshake },
    { name: "drop to WELCOME", ...back },
    ...Object.entries(pair).map(([name, phase]) => ({ name: `steady pair, ${name}`, ...phase })),
  ];
  return renderTable(rows, [
    ["the storm", ({ name }) => name],
    ["p50", ({ p50_ms }) => ms(p50_ms)],
    ["p99", ({ p99_ms }) => ms(p99_ms)],
    ["max", ({ max_ms }) => ms(max_ms)],
  ]);
}

function doorTable({ refusals, distinct_waits, failures }: Figures, { spent }: StormRound): string {
  const { door } = spent;
  return renderRows(["at the door", "count"], [
    ["let in", String(door?.accepted)],
    ["rejected with 503", String(refusals)],
    ["distinct Retry-After", String(distinct_waits)],
    ["attempts without an answer", String(failures)],
    ["tokens remembered / verified", `${door?.cache_hits} / ${door?.cache_misses}`],
    ["request to 101, p99 at most", ms(door?.answered_p99_ms)],
  ]);
}

/** The table of figures beside each other, to tell the part of the machine, the runtime and the clients. */
function besideTable(columns: readonly [name: string, figures: Figures][]): string {
  type Row = [name: string, read: (of: Figures) => number, show: (value: number) => string];
  const seconds = (value: number) => `${value.toFixed(2)} s`;
  const rows: Row[] = [
    ["the last is back", (of) => of.back_max_ms, ms],
    ["p99 of a handshake", (of) => of.handshake_p99_ms, ms],
    ["p99 of the steady pair", (of) => of.steady_p99_ms, ms],
    ["steady pair, storm : before", (of) => of.steady_ratio, (value) => `${value.toFixed(2)}x`],
    ["CPU of the server", (of) => of.server_cpu_seconds, seconds],
    ["the server waited for a core", (of) => of.server_waited_seconds, seconds],
    ["CPU of the clients", (of) => of.clients_cpu_seconds, seconds],
  ];
  const [first, ...others] = columns;
  const heads = others.map(([name]) => `${name} / ${first?.[0]}`);
  return renderRows(
    ["side by side", ...columns.map(([name]) => name), ...heads],
    rows.map(([name, read, show]) => {
      const values = columns.map(([, figures]) => read(figures));
      const ratios = values.slice(1).map((value) => (value / (values[0] ?? NaN)).toFixed(2));
      return [name, ...values.map(show), ...ratios];
    }),
  );
}

function promiseTable(kept: readonly Kept[]): string {
  return renderTable(kept, [
    ["promise", ({ promise }) => promise],
    ["bound", ({ bound }) => bound],
    ["measured", ({ measured }) => measured],
    ["", ({ kept }) => kept ? "kept" : "BROKEN"],
  ]);
}

const hit = (plan: StormPlan) => measuredBy<StormReport>(import.meta.url, plan);

/** The promises that were broken, in words; undefined: none. */
function failureOf(kept: readonly Kept[], of = ""): string | undefined {
  const broken = kept.filter((one) => !one.kept).map(({ promise }) => promise);
  return broken.length === 0 ? undefined : `${of}broken: ${broken.join("; ")}`;
}

async function compare(plans: readonly StormPlan[]): Promise<ScenarioResult> {
  const columns: [name: string, figures: Figures][] = [];
  const promises: Record<string, Kept[]> = {};
  for (const plan of plans) {
    const { shield } = await hit({ ...plan, alone: true });
    const figures = figuresOf(shield, plan.clients);
    columns.push([plan.websocket, figures]);
    promises[plan.websocket] = promisesOf(figures, shield, navigator.hardwareConcurrency);
  }
  const judged = Object.entries(promises);
  const failures = judged.map(([name, kept]) => failureOf(kept, `${name} has `));
  return {
    report: { options: plans, figures: Object.fromEntries(columns), promises },
    table: [
      besideTable(columns),
      ...judged.map(([name, kept]) => `${name}\n${promiseTable(kept)}`),
    ].join("\n\n"),
    failure: failures.filter((one) => one !== undefined).join("; ") || undefined,
  };
}

/** The kinds of sockets of a list with commas; "" alone: the default. Throws `UsageError`. */
export function kindsOf(list: string): string[] {
  const kinds = list.split(",");
  try {
    kinds.forEach(websocketLine);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (kinds.length === 1 || !kinds.includes("")) return kinds;
  throw new UsageError(`--websocket has an empty kind in ${JSON.stringify(list)}`);
}

async function hitAlone(plan: StormPlan): Promise<ScenarioResult> {
  const { shield, bare } = await hit(plan);
  const figures = figuresOf(shield, plan.clients);
  const limit = bare && figuresOf(bare, plan.clients);
  const promises = promisesOf(figures, shield, navigator.hardwareConcurrency);
  const { pair, spent: { door } } = shield;
  const beside = limit === undefined ? [] : [["bare Deno", limit] as [string, Figures]];
  return {
    report: {
      ...{ options: plan, figures, pair, door, promises },
      bare: bare && { figures: limit, pair: bare.pair },
    },
    table: [
      stormTable(figures, pair),
      doorTable(figures, shield),
      besideTable([...beside, ["the Shield", figures]]),
      promiseTable(promises),
    ].join("\n\n"),
    failure: failureOf(promises),
  };
}

/** The scenario of `deno task bench storm`. */
export const STORM = scenario(
  "storm",
  `clients of a Shield with TLS (their own processes) that lose their connections
all at once and come back as the SDK does: after a random moment, and when the door is closed (503)
after its Retry-After. A steady publisher and subscriber go on beside them. Fails when somebody is not
back, or not in time, when the p99 of a handshake that was let in (TCP, TLS, upgrade, WELCOME) is not
below 100 ms, or when the p99 of the steady pair more than doubles. Then the same hits bare Deno, which
asks nobody who it is: the limit of a machine whose cores the clients share.`,
  {
    clients: [10_000, ""],
    processes: [2, "processes of clients"],
    // A machine that is all clients has only its own cores, and what is queued for them is not the Shield's delay.
    lanes: [128, "attempts under way at a time, all processes together"],
    handshakes: [2_500, "[limits] handshakes_per_second of the Shield"],
    burst: [1_000, "[limits] handshake_burst"],
    rate: [200, "messages a second of the steady pair"],
    seconds: [10, "the steady pair alone, before the storm"],
    nice: ["19", "niceness of the clients, which are other machines in reality; 0: none"],
    websocket: [
      "",
      "[server] websocket; several, such as own,native, are compared, without bare Deno",
    ],
    plain: [false, "without TLS"],
    alone: [false, "without the storm on bare Deno"],
  },
  async ({ handshakes, burst, nice, websocket: kinds, plain, ...values }) => {
    const niceness = Number(nice);
    if (!(Number.isInteger(niceness) && niceness >= 0)) {
      throw new UsageError(`--nice expects a whole number, got ${JSON.stringify(nice)}`);
    }
    const limits = { handshakes_per_second: handshakes, handshake_burst: burst };
    const plans = kindsOf(kinds).map((websocket): StormPlan => (
      { ...values, ...limits, tls: !plain, websocket, nice: niceness }
    ));
    return plans.length > 1 ? await compare(plans) : await hitAlone(plans[0]!);
  },
);

if (import.meta.main) await answer(measure);
