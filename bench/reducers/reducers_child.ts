/**
 * A program that measures rooms that are programs in one process: the service that a Brain has for them, its callers
 * and, in turns with it, a bare JetStream publisher. Its argument is a plan as JSON; it prints JSON. `reducers.ts`
 * starts it.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { configFrom } from "../../shared/config/load.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { bareTarget } from "../durable/durable_publishers.ts";
import { errorLog, openNatsSpine, type Syncing } from "../measure/brains.ts";
import { percentile } from "../measure/open_loop.ts";
import { keepBusy } from "../rooms/rooms_load.ts";
import { type CounterRooms, startCounters, TENANT } from "./counter_rooms.ts";

/** What is to be measured. */
export interface ReducersPlan {
  readonly part: "embedded" | "nats" | "latency" | "idle";
  readonly rounds: number;
  readonly seconds: number;
  readonly outstanding: number;
  readonly syncing: Syncing;
  readonly rate: number;
  readonly rooms: number;
}

/** One turn; `who` is a reducer, or `bare`. */
export interface PaceRound {
  readonly who: string;
  readonly per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** CPU time of the whole process for each call, of all its threads; 0: not measured. */
  readonly cpu_us: number;
}

/** From a call to its event, and to its answer. */
export interface LatencyFigures {
  readonly rate: number;
  readonly sent: number;
  readonly heard: number;
  readonly event_p50_ms: number;
  readonly event_p99_ms: number;
  readonly answer_p99_ms: number;
}

/** Memory of rooms that nobody calls. */
export interface IdleFigures {
  readonly rooms: number;
  /** Resident bytes of the process for each room that is in memory, and for each that was let go. */
  readonly loaded_bytes: number;
  readonly forgotten_bytes: number;
}

const WARM_UP_SECONDS = 2;
const BARE = "BENCH_BARE";
/** Longer than a busy machine takes to call all rooms once. */
const IDLE_MS = 120_000;

/** User and system time of all threads, in seconds; Linux only. */
async function cpuSeconds(): Promise<number> {
  const stat = await Deno.readTextFile("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Calls a counter, so many at a time. */
async function turn(counters: CounterRooms, room: string, plan: ReducersPlan): Promise<PaceRound> {
  const end_ms = performance.now() + plan.seconds * 1_000;
  const before = await cpuSeconds();
  const pace = await keepBusy(plan.outstanding, async () => {
    if (performance.now() >= end_ms) return false;
    await counters.add(room);
    return true;
  });
  const cpu_us = 1e6 * (await cpuSeconds() - before) / pace.commands;
  return {
    who: room,
    per_s: pace.commands_per_s,
    p50_ms: pace.p50_ms,
    p99_ms: pace.p99_ms,
    cpu_us,
  };
}

/** A Brain on a log of the embedded engine, in files as `arq serve` has them. */
async function onFiles(
  owned: AsyncDisposableStack,
  limits: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly counters: CounterRooms; readonly spine: Spine }> {
  const data_dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  owned.defer(() => Deno.remove(data_dir, { recursive: true }));
  const config = configFrom({ server: { data_dir } });
  const spine = await openSpine(config, { log: errorLog("bench"), now: Date.now });
  return { counters: owned.use(await startCounters(spine, limits)), spine };
}

async function measureEmbedded(plan: ReducersPlan): Promise<PaceRound[]> {
  await using owned = new AsyncDisposableStack();
  const { counters } = await onFiles(owned);
  await turn(counters, "counter", { ...plan, seconds: WARM_UP_SECONDS });
  const rounds: PaceRound[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    rounds.push(await turn(counters, "counter", plan));
  }
  return rounds;
}

/** A stream like the tenant's, with subjects of its own and its own destination. */
async function bareOn(url: string, owned: AsyncDisposableStack) {
  const connection = await connect({ servers: url.replace("nats://", "") });
  owned.defer(() => connection.close());
  const manager = await jetstreamManager(connection);
  const name = await manager.streams.find(`log.t.${TENANT}.r.*`);
  const { config } = await manager.streams.info(name);
  const republish = { src: "bench.log.*", dest: "bench.in.{{wildcard(1)}}" };
  await manager.streams.add({
    ...config,
    ...{ name: BARE, subjects: ["bench.log.*"], republish, metadata: {} },
  });
  const stored = await manager.streams.getMessage(name, {
    last_by_subj: `log.t.${TENANT}.r.counter`,
  });
  if (stored === null) throw new Error("the room has published nothing");
  return bareTarget("bare", connection, (room) => `bench.log.${room}`, stored.data);
}

/** The room in turns with a publisher that stores each message of the size of an event for itself. */
async function measureNats(plan: ReducersPlan): Promise<PaceRound[]> {
  await using owned = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  owned.defer(() => Deno.remove(dir, { recursive: true }));
  const { url } = owned.use(
    await startNats(
      plan.syncing === "each"
        ? { jetstream: true }
        : { config: `jetstream { store_dir: ${JSON.stringify(dir)} }` },
    ),
  );
  const counters = owned.use(await startCounters(await openNatsSpine(url, "bench")));
  await turn(counters, "counter", { ...plan, seconds: WARM_UP_SECONDS });
  const bare = await (await bareOn(url, owned)).open();
  const bareTurn = async (seconds: number): Promise<PaceRound> => {
    const end_ms = performance.now() + seconds * 1_000;
    const pace = await keepBusy(plan.outstanding, async () => {
      if (performance.now() >= end_ms) return false;
      await bare.publish("counter", new Uint8Array());
      return true;
    });
    const { commands_per_s: per_s, p50_ms, p99_ms } = pace;
    return { who: "bare", per_s, p50_ms, p99_ms, cpu_us: 0 };
  };
  await bareTurn(WARM_UP_SECONDS);
  const rounds: PaceRound[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const both = [() => turn(counters, "counter", plan), () => bareTurn(plan.seconds)];
    for (const one of round % 2 === 0 ? both : both.toReversed()) rounds.push(await one());
  }
  return rounds;
}

/** Calls at a constant rate; each event names its call by the sum, which is the number of the call. */
async function measureLatency({ rate, seconds }: ReducersPlan): Promise<LatencyFigures> {
  await using owned = new AsyncDisposableStack();
  const { counters, spine } = await onFiles(owned);
  const heard_ms: number[] = [];
  spine.subscribe(
    roomSubject("in", TENANT, "counter"),
    () => void heard_ms.push(performance.now()),
  );
  const due_ms: number[] = [];
  const answers: number[] = [];
  const count = rate * (seconds + WARM_UP_SECONDS);
  const began_ms = performance.now();
  const asked: Promise<void>[] = [];
  while (due_ms.length < count) {
    const passed_ms = performance.now() - began_ms;
    while (due_ms.length < count && due_ms.length * 1_000 / rate <= passed_ms) {
      const due = began_ms + due_ms.length * 1_000 / rate;
      due_ms.push(due);
      asked.push((async () => {
        await counters.add("counter");
        answers.push(performance.now() - due);
      })());
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(asked);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const from = rate * WARM_UP_SECONDS;
  const events = heard_ms.map((at_ms, index) => at_ms - due_ms[index]!).slice(from);
  const [event, answer] = [events, answers.slice(from)].map((all) => Float64Array.from(all).sort());
  return {
    ...{ rate, sent: count, heard: heard_ms.length },
    event_p50_ms: percentile(event!, 0.5),
    event_p99_ms: percentile(event!, 0.99),
    answer_p99_ms: percentile(answer!, 0.99),
  };
}

const settled = async () => {
  (globalThis as { gc?: () => void }).gc?.();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  (globalThis as { gc?: () => void }).gc?.();
  return Deno.memoryUsage().rss;
};

/** Rooms that were called once each, while they are in memory and when they were let go. */
async function measureIdle({ rooms, outstanding }: ReducersPlan): Promise<IdleFigures> {
  await using owned = new AsyncDisposableStack();
  const limits = {
    reducer_rooms: rooms + 1,
    reducer_idle_ms: IDLE_MS,
    rooms_per_tenant: rooms + 1,
  };
  const { counters } = await onFiles(owned, limits);
  await turn(counters, "counter", {
    ...{ part: "idle", rounds: 1, seconds: WARM_UP_SECONDS, outstanding, syncing: "later" },
    ...{ rate: 1, rooms },
  });
  const before = await settled();
  const loaded = async () => {
    const values = (await counters.registry.getSingleMetric("brain_reducer_rooms")?.get())?.values;
    return values?.[0]?.value ?? 0;
  };
  let next = 0;
  await keepBusy(outstanding, async () => {
    if (next === rooms) return false;
    await counters.add(`counter-${next++}`);
    return true;
  });
  const [in_memory, after] = [await loaded(), await settled()];
  if (in_memory < rooms) throw new Error(`${in_memory} of ${rooms} rooms are in memory`);
  while (await loaded() > 0) await new Promise((resolve) => setTimeout(resolve, 500));
  const last = await settled();
  return {
    rooms,
    loaded_bytes: (after - before) / rooms,
    forgotten_bytes: (last - before) / rooms,
  };
}

async function run(plan: ReducersPlan): Promise<unknown> {
  switch (plan.part) {
    case "embedded":
      return await measureEmbedded(plan);
    case "nats":
      return await measureNats(plan);
    case "latency":
      return await measureLatency(plan);
    case "idle":
      return await measureIdle(plan);
    default:
      return plan.part satisfies never;
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
