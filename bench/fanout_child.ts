/**
 * A program that measures fan-out from one publisher to many readers of one room, with and without
 * BATCH frames, on one bus with the embedded Spine. Its argument is a plan as JSON; prints JSON.
 * `fanout.ts` starts it.
 */
import { Scrape } from "./brains.ts";
import { openPublisher, startConfigured, startReaders } from "./fanout_load.ts";
import type { FanoutResult, Publisher, Readers } from "./fanout_load.ts";
import type { BusProcess } from "./targets.ts";

/** What is asked for. */
export interface FanoutPlan {
  readonly readers: number;
  readonly processes: number;
  readonly rounds: number;
  readonly seconds: number;
  /** Messages a second. */
  readonly rate: number;
  /** Messages that are published at once, for each of these in turn. */
  readonly bursts: readonly number[];
  readonly size_bytes: number;
}

/** One load in one of the two ways. */
export interface FanoutRow extends FanoutResult {
  readonly batch: boolean;
  readonly burst: number;
  readonly expected: number;
  /** CPU time of the whole bus, a delivery. */
  readonly cpu_us: number;
}

/** Two heartbeats are longer than any queue that this load makes on a slow machine. */
const CONFIG = `
[server]
host = "127.0.0.1"
heartbeat_ms = 60_000
[ops]
host = "127.0.0.1"
[brain]
tap = 0
`;

async function cpuSeconds({ ops_url }: BusProcess): Promise<number> {
  const scrape = new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  return scrape.sum("process_cpu_seconds_total");
}

/** One round of each burst. */
async function round(
  stage: { bus: BusProcess; readers: Readers; publisher: Publisher; room_id: string },
  batch: boolean,
  { rate, seconds, bursts, size_bytes }: FanoutPlan,
): Promise<FanoutRow[]> {
  const { bus, readers, publisher, room_id } = stage;
  const rows: FanoutRow[] = [];
  for (const burst of bursts) {
    const messages = Math.max(burst, Math.round(rate * seconds / burst) * burst);
    const expected = messages * readers.connections;
    await readers.take();
    const before_s = await cpuSeconds(bus);
    await publisher.run(room_id, { rate, burst, messages, size_bytes });
    await readers.until(expected);
    const cpu_us = (await cpuSeconds(bus) - before_s) * 1e6 / expected;
    rows.push({ batch, burst, expected, cpu_us, ...await readers.take() });
  }
  return rows;
}

async function measure(plan: FanoutPlan): Promise<FanoutRow[]> {
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(await startConfigured(CONFIG));
  const publisher = owned.use(await openPublisher(bus.url, bus.token));
  const rows: FanoutRow[] = [];
  const both = await Promise.all([false, true].map(async (batch) => {
    const room_id = `fanout-${batch ? "batch" : "single"}`;
    const order = { url: bus.url, token: bus.token, room_id, connections: plan.readers, batch };
    const readers = owned.use(await startReaders(order, plan.processes));
    return { batch, stage: { bus, publisher, readers, room_id } };
  }));
  // The first round is for compilers and buffers; not counted.
  for (let count = 0; count <= plan.rounds; count++) {
    for (const { batch, stage } of count % 2 === 0 ? both : both.toReversed()) {
      const measured = await round(stage, batch, plan);
      if (count > 0) rows.push(...measured);
    }
  }
  return rows;
}

if (import.meta.main) {
  console.log(JSON.stringify(await measure(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
