/**
 * The throughput of one machine with one Shield and with several on one port (`shield --processes N`, one NATS server):
 * fan-out from one publisher, and many publishers with few readers.
 */
import { createIssuer, startServer } from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { openLoad } from "../load/crowd/driver.ts";
import { busTarget } from "../load/crowd/turns.ts";
import { oneRoom } from "../load/plans/plan.ts";
import type { RunningTarget } from "../load/targets/target.ts";
import { cpuSecondsBetween } from "../measure/usage.ts";

interface ProcessesPlan {
  /** Numbers of Shields, interleaved. */
  readonly counts: readonly number[];
  readonly rounds: number;
  readonly loads: readonly ProcessesLoad[];
  readonly size_bytes: number;
}

/** A load of a number of messages, published as fast as possible. */
interface ProcessesLoad {
  readonly name: string;
  readonly publishers: number;
  readonly readers: number;
  readonly messages: number;
}

/** The figures of one load on one number of Shields. */
export interface ProcessesRow {
  readonly count: number;
  readonly load: string;
  readonly expected: number;
  readonly received: number;
  /** CPU time of all Shields for each delivery. */
  readonly cpu_us: number;
}

/** The highest rate: a Shield refuses messages beyond its queue for a publisher. */
const RATE = 20_000;
const BURST = 50;

async function run(target: RunningTarget, load: ProcessesLoad, count: number, size_bytes: number) {
  const { publishers, readers, messages, name } = load;
  const groups = oneRoom(`processes-${publishers}`, publishers, readers, false);
  await using running = await openLoad(target, { groups, processes: 2, echo: false });
  const before = await running.usage();
  const { expected, received } = await running.run({
    pace: { kind: "rate", rate: RATE, burst: BURST },
    sizes_bytes: [size_bytes],
    seconds: messages * publishers / RATE,
    warmup_seconds: 0,
  });
  // All deliveries count, also those after the last publish.
  const cpu_us = cpuSecondsBetween(before, await running.usage()) * 1e6 / expected;
  return { count, load: name, expected, received, cpu_us };
}

/** Measures each load on each number of Shields. */
export async function measureProcesses(plan: ProcessesPlan): Promise<ProcessesRow[]> {
  console.error(`processes: ${plan.counts.join(", ")} Shields ...`);
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n[limits]\nunsent_bytes = 1_073_741_824\n` +
    issuer.config;
  const token = await issuer.tokenFor();
  const rows: ProcessesRow[] = [];
  // The first round warms up compilers and buffers, and does not count.
  for (let round = 0; round <= plan.rounds; round++) {
    for (const count of round % 2 === 0 ? plan.counts : plan.counts.toReversed()) {
      const args = ["--processes", `${count}`];
      const { dir } = issuer;
      await using shield = await startServer("shield", config, dir, "drain_ms = 0\n", { args });
      const target = busTarget({ pid: shield.pid, url: shield.socket_url }, [token]);
      for (const load of plan.loads) {
        const row = await run(target, load, count, plan.size_bytes);
        if (round > 0) rows.push(row);
      }
    }
  }
  return rows;
}
