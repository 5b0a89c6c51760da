/**
 * The scenario `storm`: all clients lose their connection and return at once. The promises of
 * docs/architecture.md#promises stand beside the figures, and one that does not hold fails the run.
 * `storm_child.ts` makes the storm.
 */
import { runProgram } from "../measure/program.ts";
import {
  positive,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import type { StormPlan, StormReport, StormRound } from "./storm_child.ts";
import { figuresOf, ms, promisesOf } from "./storm_verdict.ts";
import type { Figures, Kept } from "./storm_verdict.ts";
import { websocketLine } from "../../tests/harness/websocket_option.ts";
import { renderRows } from "../measure/table.ts";

const HELP = `storm: clients of a Shield with TLS (their own processes) that lose their connections
all at once and come back as the SDK does: after a random moment, and when the door is closed (503)
after its Retry-After. A steady publisher and subscriber go on beside them. Fails when somebody is not
back, or not in time, when the p99 of a handshake that was let in (TCP, TLS, upgrade, WELCOME) is not
below 100 ms, or when the p99 of the steady pair more than doubles. Then the same hits bare Deno, which
asks nobody who it is: the limit of a machine whose cores the clients share.

  --clients N        (10000)
  --processes N      processes of clients (2)
  --lanes N          attempts under way at a time, all processes together (128): a machine that is all
                     clients has only its own cores, and what waits for them is not the Shield's delay
  --handshakes N     [limits] handshakes_per_second of the Shield (2500)
  --burst N          [limits] handshake_burst (1000)
  --rate N           messages a second of the steady pair (200)
  --seconds N        the steady pair alone, before the storm (10)
  --nice N           niceness of the clients, which are other machines in reality (19; 0: none)
  --websocket LIST   [server] websocket of the Shield (its default); with several, such as own,native,
                     each is hit in turn, held to the promises and compared with the first, and not with
                     bare Deno
  --plain            without TLS
  --alone            without the storm on bare Deno
`;

function stormTable(figures: Figures, pair: StormRound["pair"]): string {
  return renderRows(["the storm", "p50", "p99", "max"], [
    [
      "handshake let in",
      ms(figures.handshake_p50_ms),
      ms(figures.handshake_p99_ms),
      ms(figures.handshake_max_ms),
    ],
    ["drop to WELCOME", ms(figures.back_p50_ms), "", ms(figures.back_max_ms)],
    ...Object.entries(pair).map(([name, { p50_ms, p99_ms, max_ms }]) => [
      `steady pair, ${name}`,
      ms(p50_ms),
      ms(p99_ms),
      ms(max_ms),
    ]),
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
  return renderRows(
    ["promise", "bound", "measured", ""],
    kept.map(({ promise, bound, measured, kept }) => [
      promise,
      bound,
      measured,
      kept ? "kept" : "BROKEN",
    ]),
  );
}

/** Reads a whole number from 0 on. Throws `UsageError`. */
function whole(values: OptionValues, name: string): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new UsageError(`--${name} expects a whole number, got ${JSON.stringify(values[name])}`);
}

function planOf(values: OptionValues, websocket: string): StormPlan {
  return {
    clients: positive(values, "clients"),
    processes: positive(values, "processes"),
    lanes: positive(values, "lanes"),
    handshakes_per_second: positive(values, "handshakes"),
    handshake_burst: positive(values, "burst"),
    seconds: positive(values, "seconds"),
    rate: positive(values, "rate"),
    tls: values["plain"] !== true,
    websocket,
    nice: whole(values, "nice"),
    alone: values["alone"] === true,
  };
}

async function hit(plan: StormPlan): Promise<StormReport> {
  const permissions = ["net", "read", "write", "run", "env"].map((name) => `--allow-${name}`);
  return await runProgram<StormReport>(
    "bench/storm/storm_child.ts",
    permissions,
    [JSON.stringify(plan)],
  );
}

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

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plans = kindsOf(String(values["websocket"])).map((kind) => planOf(values, kind));
  const [plan] = plans;
  if (plan === undefined || plans.length > 1) return await compare(plans);
  const { shield, bare } = await hit(plan);
  const figures = figuresOf(shield, plan.clients);
  const limit = bare && figuresOf(bare, plan.clients);
  const kept = promisesOf(figures, shield, navigator.hardwareConcurrency);
  const { pair, spent: { door } } = shield;
  return {
    report: {
      options: plan,
      figures,
      pair,
      door,
      promises: kept,
      bare: bare && { figures: limit, pair: bare.pair },
    },
    table: [
      stormTable(figures, pair),
      doorTable(figures, shield),
      besideTable([
        ...(limit === undefined ? [] : [["bare Deno", limit] as [string, Figures]]),
        ["the Shield", figures],
      ]),
      promiseTable(kept),
    ].join("\n\n"),
    failure: failureOf(kept),
  };
}

/** The scenario of `deno task bench storm`. */
export const STORM: Scenario = {
  name: "storm",
  help: HELP,
  options: {
    clients: text("10000"),
    processes: text("2"),
    lanes: text("128"),
    handshakes: text("2500"),
    burst: text("1000"),
    rate: text("200"),
    seconds: text("10"),
    nice: text("19"),
    websocket: text(""),
    plain: { type: "boolean", default: false },
    alone: { type: "boolean", default: false },
  },
  run,
};
