/**
 * Rollouts with simulated faults: several Brains with stale state, Shields that are disconnected, die and restart, a
 * store that does not answer, and orders at any time.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decide, type Order, ordered, type Seen } from "./decision.ts";
import { decodeReport, decodeRollout, encodeRollout, isUnderWay, sharesFrom } from "./rollout.ts";
import type { Rollout, RolloutReport } from "./rollout.ts";
import type { PolicyTally } from "./tally.ts";
import { rolloutOf as anyRollout } from "./testing/rollouts.ts";

const ID = "0123456789abcdef0123456789abcdef";

const rolloutOf = (more: Partial<Rollout> = {}): Rollout =>
  anyRollout({
    basis: { settings: 1, policies: 2 },
    base_version: 3,
    policies: [{ name: "no-spam" }],
    changed: ["no-spam"],
    shares: sharesFrom(0.01),
    conditions: ["refused>0.1%"],
    ...more,
  });

function tallyOf(compared: number, refused = 0): PolicyTally {
  const none = { enforced: 0, passed: 0, faults: 0, fuel_old: [], fuel_new: [], samples: [] };
  return { name: "no-spam", compared, refused, ...none };
}

const reportOf = (more: Partial<RolloutReport> = {}): RolloutReport => ({
  id: ID,
  stage: 0,
  beat: 1,
  at_ms: 0,
  tallies: [tallyOf(10)],
  ...more,
});

function seenOf(...reports: RolloutReport[]): Seen {
  const named = reports.map((report, at) => [`s${at}`, report] as const);
  return {
    reports: new Map(named),
    fresh: new Set(named.map(([node]) => node)),
    held_ms: undefined,
  };
}

const waitsOf = (rollout: Rollout, seen: Seen, now_ms: number) => {
  const decision = decide(rollout, seen, now_ms);
  return "waits" in decision ? decision.waits : decision.next;
};

Deno.test("a rollout goes from observing by shares to the last step", () => {
  assert.deepEqual(sharesFrom(0.01), [0, 0.01, 0.1, 0.5, 1]);
  assert.deepEqual(sharesFrom(0.3), [0, 0.3, 0.5, 1]);
  assert.deepEqual(sharesFrom(1), [0, 1]);
  let rollout = rolloutOf();
  for (let stage = 0; stage < 5; stage++) {
    assert.equal(rollout.stage, stage);
    const decision = decide(rollout, seenOf(reportOf({ stage })), (stage + 1) * 1_000);
    assert.ok("next" in decision);
    rollout = decision.next;
  }
  assert.equal(rollout.state, "applying");
  assert.deepEqual(rollout.counted, [tallyOf(10)], "what was counted at the last share is kept");
  assert.deepEqual(decide(rollout, seenOf(), 9_000), { waits: "applying" });
});

Deno.test("it reports what it waits for", () => {
  const rollout = rolloutOf();
  assert.equal(waitsOf(rollout, seenOf(), 5_000), "no Shield has reported yet");
  assert.equal(waitsOf(rollout, seenOf(reportOf()), 400), "holds for 1 s more");
  const few = seenOf(reportOf({ tallies: [tallyOf(4)] }), reportOf({ tallies: [tallyOf(5)] }));
  assert.match(
    String(waitsOf(rollout, few, 5_000)),
    /^9 of 10 messages for no-spam: it needs more traffic/,
  );
  const problem = { kind: "retry", detail: "module gone" } as const;
  const retry = seenOf(reportOf(), reportOf({ problem }));
  assert.equal(waitsOf(rollout, retry, 5_000), "s1: module gone");
  const late = seenOf(reportOf({ stage: 1 }), reportOf());
  assert.equal(waitsOf(rolloutOf({ stage: 1 }), late, 5_000), "s1 is not ready yet");
  // A gap in the reports restarts the time.
  const gap = { ...seenOf(reportOf()), held_ms: 500 };
  assert.equal(waitsOf(rollout, gap, 5_000), "holds for 1 s more");
  assert.equal(waitsOf(rolloutOf({ state: "paused" }), seenOf(reportOf()), 5_000), "paused");
});

Deno.test("a breach, a module refused by one Shield, and a manual change roll it back, also when paused", () => {
  for (const state of ["running", "paused"] as const) {
    const rollout = rolloutOf({ state });
    const breach = waitsOf(rollout, seenOf(reportOf(), reportOf({ tallies: [tallyOf(9, 2)] })), 1);
    assert.ok(typeof breach === "object");
    assert.equal(breach.state, "returned");
    assert.equal(breach.ended?.condition, "refused>0.1%");
    assert.match(breach.ended?.why ?? "", /was violated by no-spam: 2 of 19 messages/);
    for (const kind of ["refused", "superseded"] as const) {
      const seen = seenOf(reportOf(), reportOf({ problem: { kind, detail: "no such export" } }));
      const ended = waitsOf(rollout, seen, 1);
      assert.ok(typeof ended === "object");
      assert.deepEqual([ended.state, ended.ended?.why], ["returned", "s1: no such export"]);
      assert.equal(ended.ended?.tallies[0]?.compared, 20, "what was counted is told all the same");
    }
  }
  // Reports of another rollout do not count for this one.
  const other = seenOf(reportOf({ id: "f".repeat(32), tallies: [tallyOf(9, 9)] }));
  assert.equal(waitsOf(rolloutOf(), other, 5_000), "no Shield has reported yet");
});

Deno.test("a rollout refused by a Shield keeps samples", () => {
  const sample = { would: "refuse" as const, user: "ann", room: "r", reason: "no", at_ms: 1 };
  const counted = reportOf({ tallies: [{ ...tallyOf(1_000_000, 1), samples: [sample] }] });
  const refused = reportOf({ tallies: [], problem: { kind: "refused", detail: "too large" } });
  const ended = waitsOf(rolloutOf(), seenOf(counted, refused), 1);
  assert.ok(typeof ended === "object");
  assert.deepEqual(ended.ended?.samples, [sample]);
});

Deno.test("of two stages with a breach the earlier one is reported, also with ten of them", () => {
  const shares = [0, ...Array.from({ length: 11 }, (_, at) => (at + 1) / 11)];
  const at = (stage: number, compared: number) =>
    reportOf({ stage, tallies: [tallyOf(compared, compared)] });
  const ended = waitsOf(rolloutOf({ shares, stage: 10 }), seenOf(at(10, 70), at(2, 30)), 1);
  assert.ok(typeof ended === "object");
  assert.match(ended.ended?.why ?? "", /30 of 30 messages/);
});

Deno.test("a repeated order counts once, and a late one is ignored", () => {
  const running = rolloutOf();
  const paused = ordered(running, "pause", "ann", 5)!;
  assert.equal(ordered(paused, "pause", "ann", 6), paused);
  const resumed = ordered(paused, "resume", "ann", 7)!;
  assert.deepEqual([resumed.state, resumed.stage_ms], ["running", 7]);
  assert.equal(ordered(running, "resume", "ann", 8), running);
  const aborted = ordered(paused, "abort", "ann", 9)!;
  assert.equal(aborted.ended?.why, "aborted by ann");
  assert.equal(ordered(aborted, "abort", "ann", 9), aborted);
  for (const state of ["applying", "applied"] as const) {
    for (const order of ["pause", "resume", "abort"] as const) {
      assert.equal(ordered(rolloutOf({ state }), order, "ann", 9), undefined);
    }
  }
  assert.equal(ordered(aborted, "resume", "ann", 9), undefined);
});

Deno.test("documents and reports are stored and read; anything else is a problem", () => {
  const rollout = rolloutOf();
  assert.deepEqual(decodeRollout(encodeRollout(rollout)), { value: rollout });
  const report = reportOf({ problem: { kind: "retry", detail: "x" } });
  assert.deepEqual(decodeReport(encodeRollout(report)), { value: report });
  assert.deepEqual(decodeRollout(new Uint8Array([1])), { problem: "not JSON" });
  assert.ok("problem" in decodeRollout(encodeRollout({ ...rollout, shares: [2, 1] })));
});

/** A step of a simulated rollout. */
type Step =
  | { readonly kind: "messages"; readonly shield: number; readonly count: number }
  | { readonly kind: "hear"; readonly shield: number }
  | { readonly kind: "report"; readonly shield: number }
  | { readonly kind: "restart"; readonly shield: number }
  | { readonly kind: "learn"; readonly brain: number }
  | { readonly kind: "decide"; readonly brain: number; readonly is_answered: boolean }
  | { readonly kind: "order"; readonly order: Order }
  | { readonly kind: "time"; readonly ms: number };

const shield = fc.nat({ max: 2 });
const brain = fc.nat({ max: 1 });
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("messages"), shield, count: fc.nat(20) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("hear"), shield }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("report"), shield }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart"), shield }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("learn"), brain }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("decide"), brain, is_answered: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("order"),
      order: fc.constantFrom<Order>("pause", "resume", "abort"),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("time"), ms: fc.nat(1_500) }) },
) as fc.Arbitrary<Step>;

/** A store, three Shields and two Brains with their last known state. */
class Simulation {
  revision = 1;
  stored = rolloutOf();
  now_ms = 0;
  readonly written: Rollout[] = [this.stored];
  readonly reports = new Map<string, RolloutReport>();
  readonly shields = [0, 1, 2].map(() => ({ stage: 0, compared: 0, refused: 0 }));
  readonly brains = [0, 1].map(() => ({
    revision: this.revision,
    rollout: this.stored,
    reports: new Map<string, RolloutReport>(),
  }));
  readonly bad_from: number;

  /** `bad_from`: the stage from which on the new version refuses valid messages. */
  constructor(bad_from: number) {
    this.bad_from = bad_from;
  }

  write(next: Rollout, revision: number): void {
    if (revision !== this.revision) return;
    this.stored = next;
    this.revision++;
    this.written.push(next);
  }

  run(step: Step): void {
    switch (step.kind) {
      case "messages": {
        const one = this.shields[step.shield]!;
        one.compared += step.count;
        if (one.stage >= this.bad_from) one.refused += step.count;
        return;
      }
      case "hear": {
        const { stage } = this.stored;
        if (this.shields[step.shield]!.stage === stage) return;
        this.shields[step.shield] = { stage, compared: 0, refused: 0 };
        return;
      }
      case "restart":
        this.shields[step.shield] = { stage: this.stored.stage, compared: 0, refused: 0 };
        return;
      case "report": {
        const { stage, compared, refused } = this.shields[step.shield]!;
        const tallies = [tallyOf(compared, refused)];
        this.reports.set(`s${step.shield}`, reportOf({ stage, tallies }));
        return;
      }
      case "learn":
        this.brains[step.brain] = {
          revision: this.revision,
          rollout: this.stored,
          reports: new Map(this.reports),
        };
        return;
      case "decide": {
        const { rollout, reports, revision } = this.brains[step.brain]!;
        const seen = { reports, fresh: new Set(reports.keys()), held_ms: undefined };
        const decision = decide(rollout, seen, this.now_ms);
        if ("next" in decision && step.is_answered) this.write(decision.next, revision);
        return;
      }
      case "order": {
        const next = ordered(this.stored, step.order, "ann", this.now_ms);
        if (next !== undefined && next !== this.stored) this.write(next, this.revision);
        return;
      }
      case "time":
        this.now_ms += step.ms;
    }
  }
}

Deno.test("with any faults: stages in order, each with its full time, and a bad rule never reaches the end", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 300 }), fc.nat(6), (all, bad_from) => {
      const simulation = new Simulation(bad_from);
      for (const step of all) simulation.run(step);
      simulation.written.slice(1).forEach((after, at) => {
        const before = simulation.written[at]!;
        assert.ok(isUnderWay(before), "nothing is written after the end");
        assert.ok(after.stage === before.stage || after.stage === before.stage + 1);
        const went_on = after.stage > before.stage || after.state === "applying";
        if (!went_on) return;
        assert.equal(before.state, "running");
        assert.ok(before.stage < bad_from, `stage ${before.stage} was bad from ${bad_from}`);
        if (after.stage > before.stage) {
          assert.ok(after.stage_ms - before.stage_ms >= before.hold_ms, "it was held");
        } else assert.equal(before.stage, before.shares.length - 1);
      });
    }),
    { numRuns: 2_000, seed: 28 },
  );
});

Deno.test("after any faults a rollout ends once all reports arrive, and a bad one is rolled back", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), fc.nat(6), (all, bad_from) => {
      const simulation = new Simulation(bad_from);
      for (const step of all) simulation.run(step);
      for (let round = 0; round < 20 && isUnderWay(simulation.stored); round++) {
        simulation.run({ kind: "order", order: "resume" });
        for (const shield of [0, 1, 2]) {
          simulation.run({ kind: "hear", shield });
          simulation.run({ kind: "messages", shield, count: 10 });
          simulation.run({ kind: "report", shield });
        }
        simulation.run({ kind: "time", ms: 1_000 });
        simulation.run({ kind: "learn", brain: 0 });
        simulation.run({ kind: "decide", brain: 0, is_answered: true });
      }
      const { state } = simulation.stored;
      if (bad_from <= 4) assert.equal(state, "returned");
      else assert.ok(state === "applying" || state === "returned", state);
    }),
    { numRuns: 1_000, seed: 29 },
  );
});
