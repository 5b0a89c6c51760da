/** Under any fault: each subscriber receives every message once and in order, or is notified. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Faults, NO_FAULTS } from "../testing/sim_log.ts";
import type { Position } from "../../fanout/entry.ts";
import { SimRoom, type SimSubscriber } from "../testing/sim_room.ts";

type Step =
  | { readonly kind: "put"; readonly count: number; readonly others: number }
  | { readonly kind: "wait"; readonly ms: number }
  | {
    readonly kind: "enter";
    readonly from: number;
    readonly turns: number;
    readonly is_slow: boolean;
  }
  | { readonly kind: "read"; readonly who: number; readonly count: number }
  | { readonly kind: "remove"; readonly keep: number }
  | { readonly kind: "recreate" | "verify" };

interface Run {
  readonly seed: number;
  readonly faults: Faults;
  readonly steps: readonly Step[];
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  readonly recovery_messages: number;
  readonly log_cache_bytes: number;
  readonly cache_last: boolean;
  readonly page_messages: number;
}

const probability = fc.constantFrom(0, 0.1, 0.5);
const faults: fc.Arbitrary<Faults> = fc.record({
  lost: probability,
  repeated: probability,
  delay_ms: fc.constantFrom(0, 5, 50),
  failing: fc.constantFrom(0, 0.2),
  behind: probability,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      count: fc.integer({ min: 1, max: 8 }),
      others: fc.integer({ min: 0, max: 2 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.oneof({ weight: 6, arbitrary: fc.nat(200) }, {
        weight: 1,
        arbitrary: fc.nat(150_000),
      }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("enter" as const),
      from: fc.nat(1_000),
      turns: fc.nat(6),
      is_slow: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("read" as const),
      who: fc.nat(6),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), keep: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("recreate", "verify") }) },
);
const run: fc.Arbitrary<Run> = fc.record({
  seed: fc.integer(),
  faults,
  steps: fc.array(step, { maxLength: 60, size: "max" }),
  history_size: fc.constantFrom(5, 1_000),
  history_ttl_seconds: fc.constantFrom(1, 1_000),
  recovery_messages: fc.constantFrom(8, 1_000),
  log_cache_bytes: fc.constantFrom(2_000, 1_000_000),
  cache_last: fc.boolean(),
  page_messages: fc.constantFrom(2, 5, 1_000),
});

/** No position, a former one, or any other, also from the future or another epoch. */
function positionOf(sim: SimRoom, from: number): Position | undefined {
  const epochs = [...sim.log.truth.keys()].map((stream) => sim.epoch(stream));
  const epoch = ["", sim.epoch(), epochs[from % epochs.length] ?? "", "other"][from % 4] ?? "";
  if (from % 5 === 0) return undefined;
  const offsets = sim.log.truth.get(sim.log.stream) ?? [];
  if (from % 5 === 1) return { after: from % 60, epoch };
  return { after: offsets[offsets.length - 1 - (from % 12)] ?? 0, epoch };
}

async function play(sim: SimRoom, { steps }: Run): Promise<SimSubscriber[]> {
  const entering: Promise<SimSubscriber>[] = [];
  for (const one of steps) {
    if (one.kind === "put") {
      for (let count = 0; count < one.count; count++) sim.log.put(one.others);
    } else if (one.kind === "wait") await sim.clock.advance(one.ms);
    else if (one.kind === "enter") {
      entering.push(sim.enter(positionOf(sim, one.from), one.turns, one.is_slow));
    } else if (one.kind === "read") sim.subscribers[one.who]?.read(one.count);
    else if (one.kind === "remove") sim.log.remove(one.keep);
    else if (one.kind === "recreate") sim.log.recreate();
    else void sim.room.verify();
  }
  // Without faults: every admitted subscriber reaches the end.
  sim.log.faults = NO_FAULTS;
  await sim.clock.advance(10_000);
  let is_verified = false;
  sim.room.verify().then(() => is_verified = true);
  await sim.clock.advance(30_000);
  if (!is_verified) throw new Error("verify never came to an end");
  for (const subscriber of sim.subscribers) subscriber.read(Infinity);
  return await Promise.all(entering);
}

/** The cases that the runs covered, by their metrics. */
const met = new Set<string>();

async function note({ registry }: SimRoom): Promise<void> {
  for (const { name, values } of await registry.getMetricsAsJSON()) {
    for (const { value, labels } of values) {
      if (value > 0) met.add([name, ...Object.values(labels)].join(" "));
    }
  }
}

/** A property that never covers faults proves nothing. */
const TROUBLE = [
  ...["recovered", "epoch-changed", "history-trimmed", "too-many", "offset-ahead"].map((outcome) =>
    `shield_log_recoveries_total ${outcome}`
  ),
  ...["filled", "lost", "epoch-changed"].map((outcome) => `shield_log_gap_fills_total ${outcome}`),
  ...["repeated", "old-stream"].map((reason) => `shield_log_dropped_total ${reason}`),
  ...["start", "fill", "lag", "stream", "verify", "recovery"].map((purpose) =>
    `shield_log_reads_total ${purpose}`
  ),
];

async function holds(one: Run, plant?: (sim: SimRoom) => void): Promise<void> {
  const { seed, recovery_messages, log_cache_bytes } = one;
  const { history_size, history_ttl_seconds, cache_last } = one;
  const room_class = { history_size, history_ttl_seconds, cache_last };
  using sim = new SimRoom({ seed, room_class, recovery_messages, log_cache_bytes });
  sim.log.faults = one.faults;
  sim.log.page_messages = one.page_messages;
  plant?.(sim);
  sim.room.start();
  const subscribers = await play(sim, one);
  if (met.size < 200 && plant === undefined) await note(sim);
  for (const subscriber of subscribers) {
    if (subscriber.answer === undefined && subscriber.failure === undefined) {
      throw new Error("a subscriber was never answered");
    }
    const fault = sim.fault(subscriber);
    if (fault !== undefined) {
      const { position, answer, received } = subscriber;
      throw new Error(`${fault}: ${JSON.stringify({ position, answer, received })}`);
    }
  }
}

/** A case that most random runs miss: reads behind a trimmed tail. */
const LAGGING: Run = {
  seed: 1187298786,
  faults: { lost: 0.5, repeated: 0.1, delay_ms: 0, failing: 0, behind: 0 },
  steps: [
    { kind: "put", count: 4, others: 1 },
    { kind: "verify" },
    { kind: "enter", from: 224, turns: 5, is_slow: false },
    { kind: "remove", keep: 5 },
    { kind: "put", count: 6, others: 0 },
    { kind: "wait", ms: 142_883 },
    { kind: "enter", from: 808, turns: 5, is_slow: false },
  ],
  history_size: 1_000,
  history_ttl_seconds: 1,
  recovery_messages: 1_000,
  log_cache_bytes: 2_000,
  cache_last: false,
  page_messages: 5,
};

/** A position from the future that the log reaches between the answer about it and its judgement. */
const OVERTAKEN: Run = {
  seed: 1495264882,
  faults: { lost: 0, repeated: 0, delay_ms: 50, failing: 0, behind: 0 },
  steps: [
    ...[4, 1, 7, 2].map((count) => ({ kind: "put" as const, count, others: 0 })),
    { kind: "enter", from: 96, turns: 0, is_slow: false },
    { kind: "wait", ms: 31 },
    { kind: "wait", ms: 68 },
    ...[[1, 0], [5, 1], [2, 1], [1, 0]].map(([count = 0, others = 0]) => ({
      kind: "put" as const,
      count,
      others,
    })),
    { kind: "verify" },
    { kind: "put", count: 3, others: 1 },
    { kind: "wait", ms: 6 },
  ],
  history_size: 5,
  history_ttl_seconds: 1,
  recovery_messages: 8,
  log_cache_bytes: 2_000,
  cache_last: true,
  page_messages: 2,
};

Deno.test("every subscriber receives each message once and in order, or is notified of the loss", async () => {
  const property = fc.asyncProperty(run, (one) => holds(one));
  await fc.assert(property, { numRuns: 1_500, examples: [[LAGGING], [OVERTAKEN]] });
  assert.deepEqual(TROUBLE.filter((name) => !met.has(name)), []);
});
