/** The plan of faults: the same from the same seed, everybody in turn, within its time. */
import assert from "node:assert/strict";
import { createRandom } from "../presence_simulation/random.ts";
import { planFaults } from "./script.ts";
import type { Targets } from "./script.ts";
import { LONG, SHORT } from "./variant.ts";

const TARGETS: Targets = {
  processes: ["b0", "b1", "b2", "s0", "s1"],
  shields: ["s0", "s1"],
  nats: ["n0", "n1", "n2"],
  balancers: ["l0"],
};
const plan = (duration_ms: number, seed: number) =>
  planFaults(duration_ms, TARGETS, LONG, createRandom(seed));

Deno.test("one seed gives one plan", () => {
  assert.deepEqual(plan(120_000, 7), plan(120_000, 7));
  assert.notDeepEqual(plan(120_000, 7), plan(120_000, 8));
});

Deno.test("every process has its turn, every fault ends in time, one Shield is stopped for long", () => {
  for (let seed = 0; seed < 100; seed++) {
    const faults = plan(120_000, seed);
    const hurt = new Set(faults.map(({ target }) => target));
    for (const name of TARGETS.processes) assert.ok(hurt.has(name), `${name}, seed ${seed}`);
    assert.ok(faults.every(({ at_ms, away_ms }) => at_ms >= 0 && at_ms + away_ms <= 120_000));
    const long = faults.filter(({ away_ms }) => away_ms === LONG.long_stop_ms);
    assert.deepEqual(long.map(({ kind }) => kind), ["stop"]);
  }
});

Deno.test("each server of a NATS cluster has its turn, and one that is stopped is so for about ten seconds", () => {
  for (let seed = 0; seed < 100; seed++) {
    const faults = plan(180_000, seed);
    for (const name of TARGETS.nats) {
      assert.ok(faults.some(({ target }) => target === name), `${name}, seed ${seed}`);
    }
    const [low, high] = LONG.freeze_ms;
    for (const { target, kind, away_ms } of faults) {
      if (!TARGETS.nats.includes(target) || kind !== "stop") continue;
      assert.ok(away_ms >= low && away_ms <= high, `${target} for ${away_ms} ms`);
    }
  }
});

Deno.test("given time, every process has every kind of fault", () => {
  const faults = planFaults(100_000, TARGETS, SHORT, createRandom(1));
  for (const name of TARGETS.processes) {
    const kinds = new Set(faults.filter(({ target }) => target === name).map(({ kind }) => kind));
    assert.equal(kinds.size, 4, name);
  }
  for (const name of TARGETS.nats) {
    const kinds = new Set(faults.filter(({ target }) => target === name).map(({ kind }) => kind));
    assert.equal(kinds.size, 3, name);
  }
});

Deno.test("a NATS server that stands alone is killed and stopped between two processes", () => {
  const alone = { ...TARGETS, nats: ["nats"] };
  const faults = planFaults(100_000, alone, SHORT, createRandom(1));
  const kinds = new Set(faults.filter(({ target }) => target === "nats").map(({ kind }) => kind));
  assert.deepEqual(kinds, new Set(["kill", "stop"]));
});
