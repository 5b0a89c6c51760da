/**
 * A program that calls a room that is a program very often, then asks what it was. Its argument is a plan as JSON; it
 * prints JSON. `past.ts` starts it.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { configFrom } from "../../shared/config/load.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { errorLog } from "../measure/brains.ts";
import { percentile } from "../measure/open_loop.ts";
import { type CounterRooms, startCounters, TENANT } from "./counter_rooms.ts";

/** What is to be measured. */
export interface PastPlan {
  readonly engine: "embedded" | "nats";
  readonly entries: number;
  readonly every: number;
  readonly snapshots: number;
  readonly bytes: number;
  readonly questions: number;
  readonly forks: number;
}

interface Times {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  /** CPU time of the process for each, on average. */
  readonly cpu_ms: number;
}

/** What came of it. */
export interface PastFigures {
  readonly entries: number;
  readonly calls_per_s: number;
  readonly snapshots: number;
  readonly snapshot_bytes: number;
  readonly at: Times;
  readonly fork: Times & { readonly bytes: number };
}

interface Timed {
  readonly all: number[];
  readonly cpu_ms: number;
}

const AT_ONCE = 512;
const ROOM = "counter";

const timesOf = ({ all, cpu_ms }: Timed): Times => ({
  p50_ms: percentile(all, 0.5),
  p99_ms: percentile(all, 0.99),
  max_ms: percentile(all, 1),
  cpu_ms,
});

async function fill(rooms: CounterRooms, entries: number): Promise<number> {
  const begun_ms = performance.now();
  for (let done = 0; done < entries; done += AT_ONCE) {
    const calls = Array.from({ length: Math.min(AT_ONCE, entries - done) }, () => rooms.add(ROOM));
    await Promise.all(calls);
  }
  return entries / (performance.now() - begun_ms) * 1_000;
}

async function timed(times: number, act: (at: number) => Promise<void>): Promise<Timed> {
  const cpu = process.cpuUsage();
  const all: number[] = [];
  for (let at = 0; at < times; at++) {
    const begun_ms = performance.now();
    await act(at);
    all.push(performance.now() - begun_ms);
  }
  const { user, system } = process.cpuUsage(cpu);
  const cpu_ms = (user + system) / 1_000 / times;
  return { all: all.sort((one, other) => one - other), cpu_ms };
}

async function measure(plan: PastPlan): Promise<PastFigures> {
  const { entries, every, questions, forks } = plan;
  await using owned = new AsyncDisposableStack();
  const server = plan.engine === "nats" && owned.use(await startNats({ jetstream: true }));
  const nats = server ? { nats: { urls: [server.url], request_timeout_ms: 60_000 } } : {};
  const spine = await openSpine(configFrom(nats), { log: errorLog("bench"), now: Date.now });
  const own = { history_snapshots: plan.snapshots, history_bytes: plan.bytes };
  await using rooms = await startCounters(
    ...[spine, { reducer_idle_ms: 3_600_000 }, { snapshot_entries: every, ...own }] as const,
  );
  const calls_per_s = await fill(rooms, entries);
  const some = () => 1 + Math.floor(Math.random() * entries);
  const at = await timed(questions, async () => {
    const offset = some();
    const ask = { action: "show", offset, prefix: "total", after: "", limit: 10 } as const;
    const { values } = JSON.parse(await rooms.past(ROOM, ask));
    assert.equal(values[0].value.text, String(offset));
  });
  // Before there are forks, which have one each.
  const objects = await (await spine.objects("ARQON_REDUCER_OBJECTS")).list();
  const snapshots = objects.filter(({ name }) => name.startsWith("snapshot-"));
  const fork = await timed(forks, async (index) => {
    const ask = { action: "fork", source: "counter", offset: some(), with_timers: true } as const;
    await rooms.past(`counter-${index}`, ask);
  });
  const records = await spine.keyValue("ARQON_REDUCERS");
  const [record] = await records.sizes([TENANT, "counter-0"]);
  return {
    ...{ entries, calls_per_s, snapshots: snapshots.length, at: timesOf(at) },
    snapshot_bytes: snapshots.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
    fork: { ...timesOf(fork), bytes: record?.size_bytes ?? 0 },
  };
}

console.log(JSON.stringify(await measure(JSON.parse(Deno.args[0] ?? ""))));
Deno.exit(0);
