/**
 * Measures what one policy costs a message in CPU time: messages per CPU second of the whole process of a bus,
 * all threads, without a policy, with one that only allows, with `bad_words` in a worker and on the Shield's own
 * thread, and with one and two keys of state, at constant rates and as fast as it goes. The rows take turns. What a policy adds to the latency stands beside it.
 */
import { openCrowd } from "../garbage/echo_crowd.ts";
import { cpuSecondsBetween, threadSecondsBetween, type Usage, usagesOf } from "../measure/usage.ts";
import { ARQON_WIRE } from "../load/wires/wire_arqon.ts";
import { openLoop } from "../measure/open_loop.ts";
import { ROOT } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, openOnBus, startBus } from "../measure/targets.ts";
import { deployRows, tenantOf, tokens } from "./policy_bus.ts";
import {
  chatPayload,
  CONNECTIONS,
  example,
  type OverheadRow,
  ROWS,
  STATE_ROWS,
} from "./policy_rows.ts";

/** The loads: messages per second, or as fast as it goes. */
const LOADS = [1_000, 5_000, 10_000, "fastest"] as const;
type Load = typeof LOADS[number];

/** The figures of one row under one load: of one round, or the medians over the rounds. */
export interface Price {
  readonly row: string;
  readonly load: Load;
  /** Messages per CPU second of the process, all threads. */
  readonly per_cpu_second: number;
  /** What of a message's time the program's thread has, the policy workers, and the engine's threads. */
  readonly main_us: number;
  readonly workers_us: number;
  readonly engine_us: number;
  /** From sending to receiving; NaN as fast as it goes. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** Messages that the bus refused, as it does when a policy has no verdict in time. */
  readonly refused: number;
  /** Messages that neither came back nor were refused within the generator's patience. */
  readonly missing: number;
}

/** Messages of each connection that are under way when it goes as fast as it goes. */
const WINDOW = 64;
/** The messages of a turn of the fastest load, for each second that is asked for. */
const FASTEST = 50_000;
/**
 * The messages of each row before anything counts, as fast as it goes, and the seconds at a rate: second by second,
 * a new bus compiles until it has had some 40,000.
 */
const WARM_MESSAGES = 100_000;
const WARM_RATE = 10_000;
const WARM_SECONDS = 2;

/** A measured row: a load, on a bus that has its policies. */
interface Bench {
  readonly name: string;
  readonly row: OverheadRow;
  readonly bus: BusProcess;
  readonly token: string;
}

const CONFIG = `${ROOT}/bench/policy/policy_price.toml`;
const NONE = rowOf("none 200 B");
const ALLOW = rowOf("allow");
const BAD_WORDS = rowOf("bad words 200 B");

function rowOf(name: string): OverheadRow {
  const found = ROWS.find((row) => row.name === name);
  if (found === undefined) throw new Error(`there is no row ${name}`);
  return found;
}

/** Writes the configuration of a bus on whose own thread `bad_words` runs; gives its path. */
async function inlineConfig(): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", await example("bad_words"));
  const sha256 = new Uint8Array(hash).toHex();
  const dir = `${ROOT}/.arqon`;
  await Deno.mkdir(dir, { recursive: true });
  const file = await Deno.makeTempFile({ dir, suffix: ".toml" });
  const inline = `inline_fuel = 1_000\ninline_modules = ["${sha256}"]\n`;
  await Deno.writeTextFile(file, await Deno.readTextFile(CONFIG) + inline);
  return file;
}

/** The rows on one bus, with their policies deployed. */
async function benches(
  bus: BusProcess,
  rows: readonly (readonly [name: string, row: OverheadRow])[],
): Promise<Bench[]> {
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, rows.map(([, row]) => row));
  const opened = rows.map(async ([name, row]) => {
    const token = await tokenFor({ tenant_id: tenantOf(row), role: "user" });
    return { name, row, bus, token };
  });
  return await Promise.all(opened);
}

async function usageOf({ pid }: BusProcess): Promise<Usage> {
  const [usage] = await usagesOf([[pid]]);
  return usage!;
}

/** The figures of messages that took the time between two readings. */
function spent(messages: number, before: Usage, after: Usage) {
  const threads = [...threadSecondsBetween(before, after)];
  const us = (pattern: RegExp) =>
    threads.reduce((sum, [name, seconds]) => sum + (pattern.test(name) ? seconds : 0), 0) * 1e6 /
    messages;
  return {
    per_cpu_second: messages / cpuSecondsBetween(before, after),
    ...{ main_us: us(/^deno/), workers_us: us(/^worker-/), engine_us: us(/^V8 /) },
  };
}

async function atRate(
  { name, row, bus, token }: Bench,
  rate: number,
  seconds: number,
): Promise<Price> {
  const target = {
    name,
    open: (index: number, onEcho: () => void) => openOnBus(bus.url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const body = chatPayload(row.payload_bytes);
  const usages: Usage[] = [];
  const read = async () => void usages.push(await usageOf(bus));
  const { sent, received, refused, p50_ms, p99_ms } = await openLoop(target, {
    ...{ rate, seconds, warmup_seconds: 0, connections: CONNECTIONS, body_bytes: body.length },
    ...{ body, from: "sent", onOpen: read, onAnswered: read },
  });
  return {
    ...{ row: name, load: rate as Load, refused, missing: sent - received - refused },
    ...{ p50_us: p50_ms * 1_000, p99_us: p99_ms * 1_000 },
    ...spent(received, usages[0]!, usages[1]!),
  };
}

async function fastest({ name, row, bus, token }: Bench, messages: number): Promise<Price> {
  const spec = { protocol: "arqon", url: bus.url, tokens: [token] } as const;
  const { payload_bytes: body_bytes } = row;
  const body = chatPayload(body_bytes);
  const size = { connections: CONNECTIONS, window: WINDOW, body_bytes, body };
  using crowd = await openCrowd(ARQON_WIRE, spec, size);
  const before = await usageOf(bus);
  await crowd.exchange(messages);
  const lost = { refused: 0, missing: 0 };
  const figures = { ...lost, ...spent(messages, before, await usageOf(bus)) };
  return { row: name, load: "fastest", ...figures, p50_us: NaN, p99_us: NaN };
}

function measureOne(bench: Bench, load: Load, seconds: number): Promise<Price> {
  if (load === "fastest") return fastest(bench, FASTEST * seconds);
  return atRate(bench, load, seconds);
}

/** Measures every row under every load, `rounds` times in turns; the medians over them. */
export async function measurePrice(rounds: number, seconds: number): Promise<Price[]> {
  await using bus = await startBus(CONFIG);
  const inline_config = await inlineConfig();
  await using inline_bus = await startBus(inline_config);
  await Deno.remove(inline_config);
  const measured = [
    ...await benches(bus, [NONE, ALLOW, BAD_WORDS, ...STATE_ROWS].map((row) => [row.name, row])),
    ...await benches(inline_bus, [[`${BAD_WORDS.name}, inline`, BAD_WORDS]]),
  ];
  // The optimising compiler must have seen every row before anything counts, at both kinds of load.
  for (const bench of measured) {
    console.error(`price, ${bench.name}, warming up ...`);
    await fastest(bench, WARM_MESSAGES);
    await atRate(bench, WARM_RATE, WARM_SECONDS);
  }
  const all: Price[] = [];
  for (let round = 0; round < rounds; round++) {
    const turn = round % 2 === 0 ? measured : measured.toReversed();
    for (const load of LOADS) {
      console.error(`price, ${load}, round ${round + 1} of ${rounds} ...`);
      for (const bench of turn) all.push(await measureOne(bench, load, seconds));
    }
  }
  return LOADS.flatMap((load) => measured.map(({ name }) => medians(all, name, load)));
}

function medians(all: readonly Price[], row: string, load: Load): Price {
  const mine = all.filter((one) => one.row === row && one.load === load);
  // The threads' times are of one round, so that they add up.
  const middle = mine.toSorted((a, b) => a.per_cpu_second - b.per_cpu_second)[mine.length >> 1]!;
  const of = (key: "p50_us" | "p99_us") => median(mine.map((one) => one[key]));
  const sum = (key: "refused" | "missing") => mine.reduce((all, one) => all + one[key], 0);
  const lost = { refused: sum("refused"), missing: sum("missing") };
  return { ...middle, p50_us: of("p50_us"), p99_us: of("p99_us"), ...lost };
}

/** The outcome of the messages that did not come back. */
function lostOf({ refused, missing }: Price): string {
  const refusals = refused === 0 ? [] : [`${refused} REFUSED`];
  return [...refusals, ...missing === 0 ? [] : [`${missing} MISSING`]].join(", ");
}

/** The table, each row beside the one without a policy. */
export function renderPrice(prices: readonly Price[]): string {
  const none = new Map<Load, Price>();
  const shown = (value: number) => Number.isNaN(value) ? "" : value.toFixed(0);
  const rows = prices.map((one) => {
    const { row, load, per_cpu_second, p50_us, p99_us } = one;
    if (!none.has(load)) none.set(load, one);
    const base = none.get(load)!;
    return [
      ...[row, typeof load === "number" ? `${load}/s` : load, shown(per_cpu_second)],
      ...[(1e6 / per_cpu_second).toFixed(1), (per_cpu_second / base.per_cpu_second).toFixed(2)],
      ...[one.main_us, one.workers_us, one.engine_us].map((us) => us.toFixed(1)),
      ...[shown(p50_us), shown(p99_us), shown(p50_us - base.p50_us), shown(p99_us - base.p99_us)],
      lostOf(one),
    ];
  });
  const head = ["CPU, all threads", "load", "per CPU s", "µs each", "of none"];
  const threads = ["main", "workers", "V8"];
  return renderRows([...head, ...threads, "p50 µs", "p99 µs", "added p50", "p99", ""], rows);
}
