/** Brains that advance rollouts: two at once, one that dies, gaps of reports, damaged records. On an embedded Spine. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Registry } from "../../shared/metrics/metrics.ts";
import { decodeRollout, encodeRollout } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import { rolloutOf } from "../../shared/rollout/testing/rollouts.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { until } from "../../shared/testing/until.ts";
import { startRollouts } from "./capability.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const ID = "0123456789abcdef0123456789abcdef";
const STARTED = rolloutOf({ conditions: ["refused>0"] });

/** Brains and a Shield on one Spine, with clocks that a test moves. */
class Bus implements AsyncDisposable {
  now_ms = 0;
  monotonic_ms = 100_000;
  /** Number of next deletions that the store refuses. */
  refused_deletes = 0;
  readonly #kept = keptLog({ component: "brain", now: () => this.now_ms });
  readonly lines = this.#kept.lines;
  readonly #log = this.#kept.log;
  readonly #spine: Spine = openEmbedded({ log: this.#log, now: () => this.now_ms });
  bucket!: KeyValue;
  #beat = 0;

  static async open(): Promise<Bus> {
    const bus = new Bus();
    bus.bucket = await bus.#spine.keyValue(ROLLOUTS_BUCKET);
    return bus;
  }

  async brain(registry = new Registry()): Promise<Disposable> {
    const service = await startRollouts({
      spine: { keyValue: async (name) => this.#failing(await this.#spine.keyValue(name)) },
      log: this.#log,
      registry,
      now: () => this.now_ms,
      monotonic_ms: () => this.monotonic_ms,
    });
    return { [Symbol.dispose]: () => service.close() };
  }

  #failing(bucket: KeyValue): KeyValue {
    return overriding(bucket, {
      delete: async (...given) => {
        if (this.refused_deletes-- > 0) throw new ArqonError("spine-unavailable");
        await bucket.delete(...given);
      },
    });
  }

  async begin(more: Partial<Rollout> = {}): Promise<void> {
    await this.bucket.put(["acme"], encodeRollout({ ...STARTED, ...more }));
  }

  async report(stage: number, compared: number, refused = 0, node = "s1"): Promise<void> {
    const none = { enforced: 0, passed: 0, faults: 0, fuel_old: [], fuel_new: [], samples: [] };
    const report: RolloutReport = {
      id: ID,
      stage,
      beat: ++this.#beat,
      at_ms: 0,
      tallies: [{ name: "p", compared, refused, ...none }],
    };
    await this.bucket.put(["acme", node], encodeRollout(report));
  }

  async stored(): Promise<Rollout> {
    const entry = await this.bucket.get(["acme"]);
    const decoded = decodeRollout(entry!.value);
    assert.ok("value" in decoded);
    return decoded.value;
  }

  /** Resolves once a Brain has received everything stored: it reports the damaged record in its order. */
  async receivedAll(): Promise<void> {
    const complaints = () => this.lines.filter((line) => line.includes("cannot be read")).length;
    const before = complaints();
    await this.bucket.put(["broken"], new TextEncoder().encode("{"));
    await until("it is received", () => complaints() > before);
  }

  /** Lets this time pass, once the Brains know the stored records. */
  async held(ms: number): Promise<void> {
    await this.receivedAll();
    this.monotonic_ms += ms;
    this.now_ms += ms;
  }

  async reached(stage: number): Promise<void> {
    await until(`stage ${stage}`, async () => (await this.stored()).stage === stage);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spine.drain();
  }
}

Deno.test("two Brains advance one rollout, and when one dies the other continues", async () => {
  await using bus = await Bus.open();
  const one = await bus.brain();
  using _other = await bus.brain();
  await bus.begin();
  await bus.held(1_000);
  await bus.report(0, 10);
  await bus.reached(1);
  one[Symbol.dispose]();
  await bus.held(1_000);
  await bus.report(1, 10);
  await bus.reached(2);
  await bus.held(1_000);
  await bus.report(2, 10);
  await until("the last step", async () => (await bus.stored()).state === "applying");
});

Deno.test("a breach rolls it back at once, and reports of dead Shields are removed", async () => {
  await using bus = await Bus.open();
  using _brain = await bus.brain();
  await bus.begin();
  await bus.report(0, 3, 0, "dead");
  await bus.report(0, 10, 1);
  await until("it is returned", async () => (await bus.stored()).state === "returned");
  const { ended } = await bus.stored();
  assert.deepEqual([ended?.condition, ended?.policy], ["refused>0", "p"]);
  assert.match(ended?.why ?? "", /1 of 13 messages/);
  await until(
    "the reports are removed",
    async () => (await bus.bucket.keys(["acme"])).length === 1,
  );
  assert.ok(bus.lines.some((line) => line.includes("a rollout was taken back")));
});

Deno.test("removals that failed are retried later", async () => {
  await using bus = await Bus.open();
  bus.refused_deletes = 2;
  using _brain = await bus.brain();
  await bus.begin();
  await bus.report(0, 10, 1, "dead");
  await until("it is returned", async () => (await bus.stored()).state === "returned");
  await until("the report is removed", async () => (await bus.bucket.keys(["acme"])).length === 1);
  assert.ok(bus.refused_deletes < 0, "it was refused before");
});

Deno.test("after a time without reports its step restarts", async () => {
  await using bus = await Bus.open();
  using _brain = await bus.brain();
  await bus.begin({ hold_ms: 5_000 });
  await bus.report(0, 10);
  await bus.receivedAll();
  // No reports for long: NATS was unreachable.
  await bus.held(60_000);
  await bus.report(0, 11);
  await bus.held(3_000);
  await bus.report(0, 12);
  await bus.held(1_999);
  await bus.report(0, 13);
  await bus.receivedAll();
  assert.equal((await bus.stored()).stage, 0);
  await bus.held(1);
  await bus.report(0, 14);
  await bus.reached(1);
});

for (const hours of [2, -2]) {
  Deno.test(`a step is held for its time, though the clock is set by ${hours} h`, async () => {
    await using bus = await Bus.open();
    bus.now_ms = 100 * 3_600_000;
    using _brain = await bus.brain();
    await bus.begin({ hold_ms: 5_000, stage_ms: bus.now_ms });
    await bus.report(0, 10);
    await bus.receivedAll();
    bus.now_ms += hours * 3_600_000;
    await bus.report(0, 11);
    await bus.held(4_999);
    await bus.report(0, 12);
    await bus.receivedAll();
    assert.equal((await bus.stored()).stage, 0);
    await bus.held(1);
    await bus.report(0, 13);
    await bus.reached(1);
  });
}

Deno.test("a Brain that starts relies on reports only once they arrive, and damaged ones affect nobody", async () => {
  await using bus = await Bus.open();
  await bus.begin();
  await bus.report(0, 10);
  await bus.bucket.put(["broken"], new TextEncoder().encode("{"));
  await bus.bucket.put(["acme", "odd"], new TextEncoder().encode("[]"));
  using _brain = await bus.brain();
  await until("it has read", () => bus.lines.some((line) => line.includes("cannot be read")));
  await bus.held(1_000);
  assert.equal((await bus.stored()).stage, 0);
  await bus.report(0, 10);
  await bus.reached(1);
});

Deno.test("metrics count the rollouts of each state, and what this Brain has decided", async () => {
  await using bus = await Bus.open();
  const registry = new Registry();
  using _brain = await bus.brain(registry);
  const samples = async () =>
    (await registry.metrics()).split("\n").filter((line) => /^brain_rollout.* [1-9]/.test(line));
  assert.deepEqual(await samples(), []);
  await bus.begin({ hold_ms: 0 });
  await bus.report(0, 10);
  await bus.reached(1);
  await until("the step is counted", async () => (await samples()).length === 2);
  assert.deepEqual(await samples(), [
    'brain_rollouts{state="running"} 1',
    'brain_rollout_decisions_total{outcome="step"} 1',
  ]);
  await bus.report(1, 10, 1);
  await until("the end is counted", async () => (await samples()).length === 3);
  assert.deepEqual(await samples(), [
    'brain_rollouts{state="returned"} 1',
    'brain_rollout_decisions_total{outcome="step"} 1',
    'brain_rollout_decisions_total{outcome="returned"} 1',
  ]);
});
