/**
 * A program that measures what slow readers cost the others: one bus on the embedded Spine, readers in client
 * processes, one publisher, and in turns no slow reader, one of each room class, and many. Its argument is a
 * plan as JSON; it prints JSON. `slow_reader.ts` starts it.
 */
import type { BusProcess } from "../measure/targets.ts";
import { Scrape, until } from "../measure/brains.ts";
import { openPublisher, stamped, startConfigured, startReaders } from "./fanout_load.ts";
import type { FanoutResult, Publisher, Readers } from "./fanout_load.ts";
import { stall } from "../measure/stalled_clients.ts";

/** The plan of the measurement. */
export interface SlowReaderPlan {
  /** Number of all readers that do read. */
  readonly readers: number;
  readonly processes: number;
  /** Number of slow readers in the phases with many. */
  readonly many: number;
  readonly rounds: number;
  readonly seconds: number;
  /** Messages per second. */
  readonly rate: number;
  readonly size_bytes: number;
  /** More lines of `[server]`. */
  readonly server_lines: string;
}

/** The room classes, by what they do with a slow reader. */
export const CLASSES = ["disconnect", "drop-oldest", "latest"] as const;
/** One of these classes. */
export type SlowClass = typeof CLASSES[number];

/** One phase: a room class, and its number of slow readers. */
export interface Phase {
  readonly class: SlowClass;
  readonly slow: number;
}

/** The result of one phase in one round. */
export interface PhaseResult extends Phase, FanoutResult {
  readonly expected: number;
  /** What the Shield did with the slow readers, by `shield_slow_reader_total`. */
  readonly disconnected: number;
  readonly dropped: number;
  readonly conflated: number;
  /** Most bytes in the Shield's queues, at the beginning and after the flood. */
  readonly unsent_bytes: number;
}

/** The configuration, with bounds so small that a phase reaches them. */
const configOf = (server_lines: string) => `
[server]
host = "127.0.0.1"
heartbeat_ms = 60_000
${server_lines}[ops]
host = "127.0.0.1"
[brain]
tap = 0
[limits]
unsent_bytes = 1_048_576
slow_reader_bytes = 16_384
${CLASSES.map((name) => `[[rooms]]\nroom = "${name}-*"\nslow_reader = "${name}"\n`).join("")}`;

/** Size of messages that only slow readers hear, to fill what the kernel and the Shield hold for them. */
const FILL_BYTES = 60_000;
/** So few between two looks that nobody is cut off before its backlog is seen. */
const FILL_STEP = 5;
/** Number of messages after which no slow reader of `disconnect` is left. */
const FLOOD = 40;
const roomOf = (name: SlowClass) => `${name}-main`;
const fillOf = (name: SlowClass) => `${name}-fill`;

/** A bus and all its clients. */
interface Stage {
  readonly bus: BusProcess;
  readonly publisher: Publisher;
  readonly readers: Readonly<Record<SlowClass, Readers>>;
  metrics(): Promise<Scrape>;
}

function flood({ publisher }: Stage, name: SlowClass, messages: number): void {
  const frame = stamped(fillOf(name), 0, FILL_BYTES);
  for (let sent = 0; sent < messages; sent++) publisher.send(frame);
}

/** Connects the slow readers, and publishes until something waits for each of them. */
async function stallAll(stage: Stage, { class: name, slow }: Phase) {
  const { bus, metrics } = stage;
  const before = (await metrics()).sum("shield_subscriptions");
  const url = bus.url.replace(/^ws/, "http");
  const stalled = await stall(url, bus.token, [roomOf(name), fillOf(name)], slow);
  const all = before + 2 * slow;
  const published = async () => (await metrics()).sum("shield_ingress_ops", '"publish"');
  await until(async () => (await metrics()).sum("shield_subscriptions") === all, "slow readers");
  await until(
    async () => {
      if ((await metrics()).sum("shield_unsent_bytes") >= slow * FILL_BYTES * 0.9) return true;
      // A Shield that has no core yet has not seen them, and more would come on top.
      const all_published = await published() + FILL_STEP;
      flood(stage, name, FILL_STEP);
      await until(async () => await published() >= all_published, "the messages that fill");
      return false;
    },
    "a backlog of each slow reader",
  );
  return stalled;
}

const ACTIONS = ["disconnected", "dropped", "conflated"] as const;

function actions(scrape: Scrape): Record<typeof ACTIONS[number], number> {
  const total = (action: string) => scrape.sum("shield_slow_reader_total", `"${action}"`);
  return {
    disconnected: total("disconnected"),
    dropped: total("dropped"),
    conflated: total("conflated"),
  };
}

async function run(stage: Stage, phase: Phase, plan: SlowReaderPlan): Promise<PhaseResult> {
  const { metrics, publisher, readers: all } = stage;
  const readers = all[phase.class];
  const connected = (await metrics()).sum("shield_active_connections");
  const before = actions(await metrics());
  using stalled = phase.slow === 0 ? undefined : await stallAll(stage, phase);
  const messages = Math.round(plan.rate * plan.seconds);
  const load = { rate: plan.rate, burst: 1, size_bytes: plan.size_bytes };
  const room_id = roomOf(phase.class);
  await readers.take();
  let unsent_bytes = (await metrics()).sum("shield_unsent_bytes");
  await publisher.run(room_id, { ...load, messages: messages >> 1 });
  if (stalled !== undefined) flood(stage, phase.class, FLOOD);
  await publisher.run(room_id, { ...load, messages: messages - (messages >> 1) });
  const expected = messages * readers.connections;
  await readers.until(expected);
  const after = await metrics();
  unsent_bytes = Math.max(unsent_bytes, after.sum("shield_unsent_bytes"));
  const result = await readers.take();
  const now = actions(after);
  const grown = ACTIONS.map((action) => [action, now[action] - before[action]]);
  stalled?.[Symbol.dispose]();
  const active = async () => (await metrics()).sum("shield_active_connections");
  await until(async () => await active() === connected, "the slow readers have left", 20);
  return { ...phase, ...result, expected, ...Object.fromEntries(grown), unsent_bytes };
}

/** All phases: every class with no slow reader, one and many, in the opposite order every other round. */
function phasesOf(round: number, { many }: SlowReaderPlan): Phase[] {
  const phases = CLASSES.flatMap((name) => [0, 1, many].map((slow) => ({ class: name, slow })));
  return round % 2 === 0 ? phases : phases.toReversed();
}

async function measure(plan: SlowReaderPlan): Promise<PhaseResult[]> {
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(await startConfigured(configOf(plan.server_lines)));
  const metrics = async () => new Scrape(await (await fetch(`${bus.ops_url}/metrics`)).text());
  const publisher = owned.use(await openPublisher(bus.url, bus.token));
  const readers: Partial<Record<SlowClass, Readers>> = {};
  const results: PhaseResult[] = [];
  // One class at a time, since the readers of the others would only take memory.
  for (const name of CLASSES) {
    const order = { url: bus.url, token: bus.token, room_id: roomOf(name), batch: true };
    await using heard = await startReaders({ ...order, connections: plan.readers }, plan.processes);
    readers[name] = heard;
    const stage = { bus, publisher, metrics, readers: readers as Stage["readers"] };
    // This phase makes compilers and buffers warm and does not count.
    await run(stage, { class: name, slow: 0 }, plan);
    for (let round = 0; round < plan.rounds; round++) {
      for (const phase of phasesOf(round, plan).filter((one) => one.class === name)) {
        results.push(await run(stage, phase, plan));
      }
    }
  }
  return results;
}

if (import.meta.main) {
  console.log(JSON.stringify(await measure(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
