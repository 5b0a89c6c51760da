/**
 * The scenario `slow_reader`: the effect of slow readers on the other readers, by room class. It runs one bus on the
 * embedded Spine, readers in client processes and one publisher, in turns without a slow reader, with one, and with
 * many.
 */
import { encodePub, writeEnvelope } from "@arqon/proto";
import { type Load, openLoad } from "../load/crowd/driver.ts";
import { busTarget } from "../load/crowd/turns.ts";
import { oneRoom } from "../load/plans/plan.ts";
import { Scrape, until } from "../measure/scrape.ts";
import { connectSocket, type LoadSocket } from "../measure/socket.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { scenario } from "../measure/scenario.ts";
import { stall } from "../measure/stalled_clients.ts";
import { medianOf, sumOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { type BusProcess, socketLine, startConfigured } from "../measure/targets.ts";

interface SlowReaderPlan {
  readonly readers: number;
  readonly processes: number;
  /** Number of slow readers in the phases with many. */
  readonly many: number;
  readonly rounds: number;
  readonly seconds: number;
  /** Messages per second. */
  readonly rate: number;
  readonly size_bytes: number;
  readonly server_lines: string;
}

/** The room classes, by their treatment of a slow reader. */
export const CLASSES = ["disconnect", "drop-oldest", "latest"] as const;
type SlowClass = typeof CLASSES[number];

/** One phase: a room class, and its number of slow readers. */
export interface Phase {
  readonly class: SlowClass;
  readonly slow: number;
}

/** The result of one phase in one round. */
export interface PhaseResult extends Phase {
  readonly expected: number;
  readonly received: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** The Shield's actions on slow readers, by `shield_slow_reader_total`. */
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
#constant limits.slow_reader_bytes = 16_384
${CLASSES.map((name) => `[[rooms]]\nroom = "${name}-*"\nslow_reader = "${name}"\n`).join("")}`;

/** Size of messages for slow readers only, to fill the buffers of the kernel and the Shield. */
const FILL_BYTES = 60_000;
/** Few messages between two checks, so that no reader is disconnected before its backlog is observed. */
const FILL_STEP = 5;
/** Number of messages after which no slow reader of `disconnect` is left. */
const FLOOD = 40;
const roomOf = (name: SlowClass) => `${name}-0`;
const fillOf = (name: SlowClass) => `${name}-fill`;

interface Stage {
  readonly bus: BusProcess;
  /** Publishes the messages that only slow readers receive. */
  readonly publisher: LoadSocket;
  /** The readers of the class, and their publisher. */
  readonly load: Load;
  metrics(): Promise<Scrape>;
}

function flood({ publisher }: Stage, name: SlowClass, messages: number): void {
  const event = { type: "fill", data: new Uint8Array(FILL_BYTES) };
  const frame = encodePub(writeEnvelope({ room_id: fillOf(name), event }));
  for (let sent = 0; sent < messages; sent++) publisher.send(frame);
}

/** Connects the slow readers, and publishes until each has a backlog. */
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
      // A Shield without CPU time has not received them yet, and more would be added.
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
  return Object.fromEntries(ACTIONS.map((action) => [action, total(action)])) as ReturnType<
    typeof actions
  >;
}

async function run(stage: Stage, phase: Phase, plan: SlowReaderPlan): Promise<PhaseResult> {
  const { metrics, load } = stage;
  const connected = (await metrics()).sum("shield_active_connections");
  const before = actions(await metrics());
  using stalled = phase.slow === 0 ? undefined : await stallAll(stage, phase);
  let unsent_bytes = (await metrics()).sum("shield_unsent_bytes");
  const { rate, seconds, size_bytes } = plan;
  const pace = { kind: "rate", rate, burst: 1 } as const;
  const running = load.run({ pace, sizes_bytes: [size_bytes], seconds, warmup_seconds: 0 });
  await new Promise((resolve) => setTimeout(resolve, seconds * 500));
  if (stalled !== undefined) flood(stage, phase.class, FLOOD);
  const { expected, received, latency: { p50_ms, p99_ms } } = await running;
  const after = await metrics();
  unsent_bytes = Math.max(unsent_bytes, after.sum("shield_unsent_bytes"));
  const result = { expected, received, p50_ms, p99_ms };
  const now = actions(after);
  const counts = Object.fromEntries(
    ACTIONS.map((action) => [action, now[action] - before[action]]),
  ) as typeof now;
  stalled?.[Symbol.dispose]();
  const active = async () => (await metrics()).sum("shield_active_connections");
  await until(async () => await active() === connected, "the slow readers have left", 20);
  return { ...phase, ...result, ...counts, unsent_bytes };
}

/** All phases: every class without a slow reader, with one, and with many. */
const phasesOf = (many: number): Phase[] =>
  CLASSES.flatMap((name) => [0, 1, many].map((slow) => ({ class: name, slow })));

async function measure(plan: SlowReaderPlan): Promise<PhaseResult[]> {
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(await startConfigured(configOf(plan.server_lines)));
  const metrics = async () => new Scrape(await (await fetch(`${bus.ops_url}/metrics`)).text());
  const publisher = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  owned.defer(() => publisher.close());
  const results: PhaseResult[] = [];
  // One class at a time, since the readers of other classes would only use memory.
  for (const name of CLASSES) {
    const groups = oneRoom(name, 1, plan.readers, true);
    const crowd = { groups, processes: plan.processes, echo: false };
    await using load = await openLoad(busTarget(bus, [bus.token]), crowd);
    const stage = { bus, publisher, metrics, load };
    // This phase warms up compilers and buffers, and does not count.
    await run(stage, { class: name, slow: 0 }, plan);
    for (let round = 0; round < plan.rounds; round++) {
      const phases = phasesOf(plan.many).filter((one) => one.class === name);
      for (const phase of round % 2 === 0 ? phases : phases.toReversed()) {
        results.push(await run(stage, phase, plan));
      }
    }
  }
  return results;
}

/** Largest ratio of the others' latency with slow readers to that without. */
const RATIO_MAX = 2;

/** The figures of one phase: sums and medians of the rounds. */
export interface Row extends PhaseResult {
  /** Ratio to the phase of the same class without slow readers. */
  readonly p50_ratio: number;
  readonly p99_ratio: number;
  readonly added_p99_ms: number;
  /** The same ratio for the least disturbed rounds. */
  readonly least_p99_ratio: number;
}

function rowOf(results: readonly PhaseResult[], phase: Phase): Row {
  const of = (slow: number) =>
    results.filter((one) => one.class === phase.class && one.slow === slow);
  const own = of(phase.slow);
  const none = of(0);
  const least = (some: PhaseResult[]) => Math.min(...some.map((one) => one.p99_ms));
  const p50_ms = medianOf(own, "p50_ms");
  const p99_ms = medianOf(own, "p99_ms");
  return {
    ...phase,
    expected: sumOf(own, "expected"),
    received: sumOf(own, "received"),
    p50_ms,
    p99_ms,
    p50_ratio: p50_ms / medianOf(none, "p50_ms"),
    p99_ratio: p99_ms / medianOf(none, "p99_ms"),
    added_p99_ms: p99_ms - medianOf(none, "p99_ms"),
    least_p99_ratio: least(own) / least(none),
    disconnected: sumOf(own, "disconnected"),
    dropped: sumOf(own, "dropped"),
    conflated: sumOf(own, "conflated"),
    unsent_bytes: Math.max(...own.map((one) => one.unsent_bytes)),
  };
}

/** The rows of the table: one for each class and number of slow readers. */
export function rowsOf(results: readonly PhaseResult[], many: number): Row[] {
  return phasesOf(many).map((phase) => rowOf(results, phase));
}

/** Why the promise does not hold for a row; undefined when it does. */
export function brokenBy(row: Row, rounds: number, noise_ms: number): string | undefined {
  const where = `${row.class} with ${row.slow} slow`;
  if (row.received !== row.expected) return `${where}: ${row.expected - row.received} are missing`;
  const medians_broken = row.p99_ratio > RATIO_MAX && row.added_p99_ms > noise_ms;
  // Slow readers cost in every round, other work on the machine only in some.
  if (medians_broken && row.least_p99_ratio > RATIO_MAX) {
    return `${where}: p99 of the others is ${row.p99_ratio.toFixed(2)} times that with none`;
  }
  if (row.slow === 0) return undefined;
  const done = {
    disconnect: row.disconnected === row.slow * rounds,
    "drop-oldest": row.disconnected === 0 && row.dropped > 0,
    latest: row.disconnected === 0 && row.conflated > 0,
  };
  return done[row.class] ? undefined : `${where}: the slow ones did not get what the class says`;
}

function render(rows: readonly Row[]): string {
  return renderTable(rows, [
    ["class", (row) => row.class],
    ["slow", (row) => row.slow],
    ["received", (row) => row.received],
    ["missing", (row) => row.expected - row.received],
    ["p50 ms", (row) => row.p50_ms, 1],
    ["p99 ms", (row) => row.p99_ms, 1],
    ["p50", (row) => `${row.p50_ratio.toFixed(2)}x`],
    ["p99", (row) => `${row.p99_ratio.toFixed(2)}x`],
    ["least p99", (row) => `${row.least_p99_ratio.toFixed(2)}x`],
    ["cut off", (row) => row.disconnected],
    ["dropped", (row) => row.dropped],
    ["conflated", (row) => row.conflated],
    ["waiting KB", (row) => row.unsent_bytes / 1_000],
  ]);
}

/** The scenario of `deno task bench slow_reader`. */
export const SLOW_READER = scenario(
  "slow_reader",
  `publish -> receive of readers that read, beside none, one and many that never do, in rooms
of each slow_reader class. Fails when their p99 is more than twice that with none, by the medians and by
the least disturbed of the rounds, or a message is missing.`,
  {
    readers: [999, "that read"],
    processes: [3, "of clients"],
    many: [50, "slow readers in the phases with many"],
    rounds: [5, ""],
    seconds: [4, "of each phase"],
    rate: [40, "messages a second, each to all readers"],
    bytes: [256, "size of a body"],
    websocket: ["", "[server] websocket of the Shield; its default"],
    noise: [10, "a difference of p99 of so many ms counts for nothing"],
  },
  async ({ bytes: size_bytes, websocket, noise, ...more }) => {
    const plan: SlowReaderPlan = { ...more, size_bytes, server_lines: socketLine(websocket) };
    console.error(`slow_reader: ${plan.readers} readers, ${plan.rounds} rounds of 9 phases ...`);
    const results = await measuredBy<PhaseResult[]>(import.meta.url, plan);
    const rows = rowsOf(results, plan.many);
    const broken = rows.map((row) => brokenBy(row, plan.rounds, noise));
    return {
      report: { options: { ...plan, noise_ms: noise }, rows, rounds: results },
      table: render(rows),
      failure: broken.find((why) => why !== undefined),
    };
  },
);

if (import.meta.main) await answer(measure);
