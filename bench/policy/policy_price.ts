/**
 * Measures what one policy costs a message in CPU time: messages per CPU second of the whole process of a bus,
 * all threads, without a policy and with `bad_words`, at constant rates and as fast as it goes. The rows take
 * turns on one running bus. What a policy adds to the latency stands beside it.
 */
import { openCrowd } from "../garbage/echo_crowd.ts";
import { cpuSecondsBetween, type Usage, usagesOf } from "../measure/usage.ts";
import { ARQON_WIRE } from "../load/wires/wire_arqon.ts";
import { openLoop } from "../measure/open_loop.ts";
import { ROOT } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { type BusProcess, openOnBus, startBus } from "../measure/targets.ts";
import { deployRows, tenantOf, tokens } from "./policy_bus.ts";
import { chatPayload, CONNECTIONS, type OverheadRow, ROWS } from "./policy_rows.ts";

/** The loads: messages per second, or as fast as it goes. */
const LOADS = [1_000, 5_000, 10_000, "fastest"] as const;
type Load = typeof LOADS[number];

/** The figures of one row under one load: of one round, or the medians over the rounds. */
export interface Price {
  readonly row: string;
  readonly load: Load;
  /** Messages per CPU second of the process, all threads. */
  readonly per_cpu_second: number;
  /** From sending to receiving; NaN as fast as it goes. */
  readonly p50_us: number;
  readonly p99_us: number;
  /** Messages that did not come back. */
  readonly missing: number;
}

/** The row without a policy, and those that are compared with it. */
const MEASURED = ROWS.filter(({ name }) => ["none 200 B", "bad words 200 B"].includes(name));
/** Messages of each connection that are under way when it goes as fast as it goes. */
const WINDOW = 64;
/** The messages of a turn of the fastest load, for each second that is asked for. */
const FASTEST = 10_000;

/** A running bus, and the tokens of the rows. */
interface Bench {
  readonly bus: BusProcess;
  readonly tokens: ReadonlyMap<OverheadRow, string>;
}

async function usageOf({ pid }: BusProcess): Promise<Usage> {
  const [usage] = await usagesOf([[pid]]);
  return usage!;
}

async function atRate(
  { bus, tokens }: Bench,
  row: OverheadRow,
  rate: number,
  seconds: number,
): Promise<Price> {
  const token = tokens.get(row)!;
  const target = {
    name: row.name,
    open: (index: number, onEcho: () => void) => openOnBus(bus.url, token, index, onEcho),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const body = chatPayload(row.payload_bytes);
  const usages: Usage[] = [];
  const read = async () => void usages.push(await usageOf(bus));
  const { sent, received, p50_ms, p99_ms } = await openLoop(target, {
    ...{ rate, seconds, warmup_seconds: 0, connections: CONNECTIONS, body_bytes: body.length },
    ...{ body, from: "sent", onOpen: read, onAnswered: read },
  });
  return {
    ...{ row: row.name, load: rate as Load, missing: sent - received },
    ...{ p50_us: p50_ms * 1_000, p99_us: p99_ms * 1_000 },
    per_cpu_second: received / cpuSecondsBetween(usages[0]!, usages[1]!),
  };
}

async function fastest(
  { bus, tokens }: Bench,
  row: OverheadRow,
  messages: number,
): Promise<Price> {
  const spec = { protocol: "arqon", url: bus.url, tokens: [tokens.get(row)!] } as const;
  const { payload_bytes: body_bytes } = row;
  const size = { connections: CONNECTIONS, window: WINDOW, body_bytes };
  using crowd = await openCrowd(ARQON_WIRE, spec, size);
  const before = await usageOf(bus);
  await crowd.exchange(messages);
  const per_cpu_second = messages / cpuSecondsBetween(before, await usageOf(bus));
  return { row: row.name, load: "fastest", missing: 0, p50_us: NaN, p99_us: NaN, per_cpu_second };
}

function measureOne(bench: Bench, row: OverheadRow, load: Load, seconds: number): Promise<Price> {
  if (load === "fastest") return fastest(bench, row, FASTEST * seconds);
  return atRate(bench, row, load, seconds);
}

/** Measures every row under every load, `rounds` times in turns; the medians over them. */
export async function measurePrice(rounds: number, seconds: number): Promise<Price[]> {
  await using bus = await startBus(`${ROOT}/bench/policy/policy_price.toml`);
  const tokenFor = await tokens(bus);
  await deployRows(bus, tokenFor, MEASURED);
  const own = MEASURED.map(async (row) => {
    return [row, await tokenFor({ tenant_id: tenantOf(row), role: "user" })] as const;
  });
  const bench = { bus, tokens: new Map(await Promise.all(own)) };
  // The optimising compiler must have seen every row before anything counts.
  for (const row of MEASURED) await fastest(bench, row, 2 * FASTEST);
  const all: Price[] = [];
  for (let round = 0; round < rounds; round++) {
    const rows = round % 2 === 0 ? MEASURED : MEASURED.toReversed();
    for (const load of LOADS) {
      console.error(`price, ${load}, round ${round + 1} of ${rounds} ...`);
      for (const row of rows) all.push(await measureOne(bench, row, load, seconds));
    }
  }
  return LOADS.flatMap((load) => MEASURED.map(({ name }) => medians(all, name, load)));
}

function medians(all: readonly Price[], row: string, load: Load): Price {
  const mine = all.filter((one) => one.row === row && one.load === load);
  const of = (key: "per_cpu_second" | "p50_us" | "p99_us") => median(mine.map((one) => one[key]));
  const missing = mine.reduce((sum, one) => sum + one.missing, 0);
  const times = { p50_us: of("p50_us"), p99_us: of("p99_us") };
  return { row, load, per_cpu_second: of("per_cpu_second"), ...times, missing };
}

/** The table, each row beside the one without a policy. */
export function renderPrice(prices: readonly Price[]): string {
  const none = new Map<Load, Price>();
  const shown = (value: number) => Number.isNaN(value) ? "" : value.toFixed(0);
  const rows = prices.map((one) => {
    const { row, load, per_cpu_second, p50_us, p99_us, missing } = one;
    if (!none.has(load)) none.set(load, one);
    const base = none.get(load)!;
    return [
      ...[row, typeof load === "number" ? `${load}/s` : load, shown(per_cpu_second)],
      ...[(1e6 / per_cpu_second).toFixed(1), (per_cpu_second / base.per_cpu_second).toFixed(2)],
      ...[shown(p50_us), shown(p99_us), shown(p50_us - base.p50_us), shown(p99_us - base.p99_us)],
      missing === 0 ? "" : `${missing} MISSING`,
    ];
  });
  const head = ["CPU, all threads", "load", "per CPU s", "µs each", "of none", "p50 µs", "p99 µs"];
  return renderRows([...head, "added p50", "p99", ""], rows);
}
