/** The plan of a durable run: the same from the same seed, one of a group at a time, everybody in turn. */
import assert from "node:assert/strict";
import type { Fault } from "../faults/fault.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { NATS, planFaults, SHIELDS } from "./script.ts";
import { LONG, SHORT } from "./variant.ts";

const plan = (duration_ms: number, seed: number) =>
  planFaults(duration_ms, LONG, createRandom(seed));
const of = (faults: readonly Fault[], group: readonly string[]) =>
  faults.filter(({ target }) => group.includes(target));

Deno.test("one seed gives one plan of a durable run", () => {
  assert.deepEqual(plan(180_000, 7), plan(180_000, 7));
  assert.notDeepEqual(plan(180_000, 7), plan(180_000, 8));
});

Deno.test("never two NATS servers nor two Shields at once, and everybody within three minutes", () => {
  for (let seed = 0; seed < 100; seed++) {
    const faults = plan(180_000, seed);
    for (const group of [NATS, SHIELDS]) {
      let free_ms = 0;
      for (const { at_ms, away_ms } of of(faults, group)) {
        assert.ok(at_ms > free_ms, `seed ${seed}`);
        free_ms = at_ms + away_ms;
        assert.ok(free_ms <= 180_000);
      }
    }
    const hurt = new Set(faults.map(({ target }) => target));
    assert.deepEqual([...hurt].sort(), [...NATS, ...SHIELDS], `seed ${seed}`);
  }
});

Deno.test("given time, every server of a durable run has every kind of fault", () => {
  const faults = planFaults(100_000, SHORT, createRandom(1));
  for (const [group, kinds] of [[NATS, 2], [SHIELDS, 3]] as const) {
    for (const name of group) {
      const own = faults.filter(({ target }) => target === name).map(({ kind }) => kind);
      assert.equal(new Set(own).size, kinds, name);
    }
  }
});
