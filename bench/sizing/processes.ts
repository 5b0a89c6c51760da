/**
 * What one machine does with one Shield and with several on one port (`shield --processes N`, one NATS server):
 * fan-out from one publisher, and many publishers to few readers.
 */
import { createIssuer, startServer } from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { Scrape } from "../measure/brains.ts";
import { openPublisher, startReaders } from "../slow_reader/fanout_load.ts";
import { answer, measuredBy } from "../measure/program.ts";

/** The plan of the measurement. */
export interface ProcessesPlan {
  /** Numbers of Shields, which take turns. */
  readonly counts: readonly number[];
  readonly rounds: number;
  readonly loads: readonly ProcessesLoad[];
  readonly size_bytes: number;
}

/** A load of so many messages, published as fast as possible. */
export interface ProcessesLoad {
  readonly name: string;
  readonly publishers: number;
  readonly readers: number;
  /** Messages of each publisher. */
  readonly messages: number;
}

/** The figures of one load on one number of Shields. */
export interface ProcessesRow {
  readonly count: number;
  readonly load: string;
  readonly expected: number;
  readonly received: number;
  readonly seconds: number;
  /** CPU time of all Shields for each delivery. */
  readonly cpu_us: number;
}

/** Most messages per second: a Shield refuses more than its queue for a publisher holds. */
const RATE = 20_000;
const BURST = 50;

interface Target {
  readonly url: string;
  readonly ops_url: string;
  readonly token: string;
}

async function cpuSeconds({ ops_url }: Target): Promise<number> {
  const scrape = new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  return scrape.sum("process_cpu_seconds_total");
}

async function run(target: Target, load: ProcessesLoad, count: number, plan: ProcessesPlan) {
  await using owned = new AsyncDisposableStack();
  const { url, token } = target;
  const { publishers, readers, messages, name } = load;
  const room_id = `processes-${name.replaceAll(/[^a-z]/g, "")}`;
  const order = { url, token, room_id, connections: readers, batch: false };
  const listening = owned.use(await startReaders(order, 2));
  const speaking = await Promise.all(
    Array.from({ length: publishers }, async () => owned.use(await openPublisher(url, token))),
  );
  const expected = messages * publishers * readers;
  const before_s = await cpuSeconds(target);
  const started_ms = performance.now();
  const { size_bytes } = plan;
  await Promise.all(
    speaking.map((one) =>
      one.run(room_id, { rate: RATE / publishers, burst: BURST, messages, size_bytes })
    ),
  );
  await listening.until(expected);
  const seconds = (performance.now() - started_ms) / 1_000;
  const cpu_us = (await cpuSeconds(target) - before_s) * 1e6 / expected;
  const { received } = await listening.take();
  return { count, load: name, expected, received, seconds, cpu_us };
}

async function measure(plan: ProcessesPlan): Promise<ProcessesRow[]> {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n[limits]\nunsent_bytes = 1_073_741_824\n` +
    issuer.config;
  const token = await issuer.tokenFor();
  const rows: ProcessesRow[] = [];
  // The first round makes compilers and buffers warm and does not count.
  for (let round = 0; round <= plan.rounds; round++) {
    for (const count of round % 2 === 0 ? plan.counts : plan.counts.toReversed()) {
      const lines = "drain_ms = 0\n";
      const args = ["--processes", `${count}`];
      await using shield = await startServer("shield", config, issuer.dir, lines, 0, args);
      const { url = "", ops_url = "" } = shield.ready;
      const target = { url: `${url.replace(/^http/, "ws")}/v1/socket`, ops_url, token };
      for (const load of plan.loads) {
        const row = await run(target, load, count, plan);
        if (round > 0) rows.push(row);
      }
    }
  }
  await Deno.remove(issuer.dir, { recursive: true });
  return rows;
}

/** Measures in a process of its own. */
export function measureProcesses(plan: ProcessesPlan): Promise<ProcessesRow[]> {
  console.error(`processes: ${plan.counts.join(", ")} Shields ...`);
  return measuredBy<ProcessesRow[]>(import.meta.url, plan);
}

if (import.meta.main) await answer(measure);
