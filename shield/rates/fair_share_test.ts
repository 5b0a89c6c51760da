/** The shared rate under simulated tenants, a millisecond a step; fast-check chooses what they do. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createPortion, createSharedRate, waitForShare, withdrawShare } from "./rates.ts";

/** Operations of one tenant, spread evenly over the milliseconds of a second. */
interface Tenant {
  readonly per_second: number;
  /** Units of each operation. */
  readonly amount: number;
  /** The first ms of its operations. */
  readonly start_ms: number;
}

interface Outcome {
  /** Units. */
  taken: number;
  asked: number;
  refusals: number;
  /** Longest time without a grant while it requested and was refused. */
  starved_ms: number;
}

/** Runs them for a time; returns their grants between `from_ms` and the end. */
function simulate(rate: number, tenants: readonly Tenant[], end_ms: number, from_ms = 0) {
  const shared = createSharedRate(rate, 0);
  const states = tenants.map((tenant) => ({
    ...tenant,
    portion: createPortion(0),
    due: 0,
    taken_ms: tenant.start_ms,
    outcome: { taken: 0, asked: 0, refusals: 0, starved_ms: 0 } as Outcome,
  }));
  let total = 0;
  let lowest = shared.bucket.burst;
  for (let now_ms = 0; now_ms < end_ms; now_ms++) {
    for (const state of states) {
      if (now_ms < state.start_ms) continue;
      state.due += state.per_second / 1_000;
      for (; state.due >= 1; state.due--) {
        const { amount, portion, outcome } = state;
        const counts = now_ms >= from_ms ? 1 : 0;
        outcome.asked += amount * counts;
        if (waitForShare(shared, portion, amount, now_ms) > 0) {
          outcome.refusals += counts;
          outcome.starved_ms = Math.max(outcome.starved_ms, (now_ms - state.taken_ms) * counts);
          continue;
        }
        withdrawShare(shared, portion, amount);
        outcome.taken += amount * counts;
        total += amount;
        state.taken_ms = now_ms;
      }
      lowest = Math.min(lowest, shared.bucket.thousandths / 1_000);
    }
  }
  return { outcomes: states.map(({ outcome }) => outcome), total, lowest, shared };
}

const tenant = (per_second: number, start_ms = 0, amount = 1): Tenant => ({
  per_second,
  start_ms,
  amount,
});
const anyTenant = fc.record({
  per_second: fc.integer({ min: 1, max: 4_000 }),
  start_ms: fc.nat(1_500),
  amount: fc.integer({ min: 1, max: 20 }),
});

Deno.test("for any tenants, the total stays within the rate, its burst and one operation", () => {
  const tenants = fc.array(anyTenant, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), tenants, (rate, some) => {
      const { total } = simulate(rate, some, 3_000);
      assert.ok(total <= rate * 2 + rate * 3 + 20, `${total} of ${rate} a second`);
    }),
    { numRuns: 60 },
  );
});

Deno.test("a tenant within half its share is never refused, for any other tenants", () => {
  const others = fc.array(anyTenant, { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(fc.integer({ min: 500, max: 2_000 }), others, (rate, some) => {
      const floods = some.map((one) => ({ ...one, amount: 1 }));
      const modest = tenant(rate / (some.length + 1) / 2);
      const { outcomes } = simulate(rate, [...floods, modest], 4_000);
      assert.equal(outcomes.at(-1)?.refusals, 0);
    }),
    { numRuns: 60 },
  );
});

Deno.test("no tenant starves: a frequent one gets most of an equal share", () => {
  const others = fc.array(anyTenant, { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(fc.integer({ min: 500, max: 2_000 }), others, (rate, some) => {
      const share = rate / (some.length + 1);
      const { outcomes } = simulate(rate, [...some, tenant(share * 3)], 8_000, 4_000);
      const own = outcomes.at(-1);
      assert.ok(own !== undefined && own.taken >= share * 4 * 0.8, `${own?.taken} of ${share * 4}`);
      assert.ok(own.starved_ms < 1_000, `nothing for ${own.starved_ms} ms`);
    }),
    { numRuns: 60 },
  );
});

Deno.test("nothing is wasted: unused shares go to others", () => {
  const tenants = fc.array(anyTenant, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 2_000 }), tenants, (rate, some) => {
      const { outcomes } = simulate(rate, some, 8_000, 4_000);
      const taken = outcomes.reduce((sum, one) => sum + one.taken, 0);
      const asked = outcomes.reduce((sum, one) => sum + one.asked, 0);
      const possible = Math.min(asked, rate * 4);
      assert.ok(taken >= possible * 0.9, `${taken} of ${possible}`);
    }),
    { numRuns: 60 },
  );
});

Deno.test("tenants above their share get equal amounts, for any demand", () => {
  const { outcomes } = simulate(
    1_000,
    [tenant(50), tenant(600), tenant(3_000), tenant(30_000)],
    12_000,
    6_000,
  );
  const [small, ...large] = outcomes.map(({ taken }) => taken / 6);
  assert.equal(outcomes[0]?.refusals, 0);
  assert.ok(small !== undefined && small >= 49, `${small}`);
  for (const rate of large) assert.ok(Math.abs(rate - 950 / 3) < 32, `${large}`);
});

Deno.test("a late tenant gets a share at once, and a single one gets everything", () => {
  const { outcomes, total } = simulate(1_000, [tenant(20_000), tenant(300, 3_000)], 6_000);
  assert.equal(outcomes[1]?.refusals, 0);
  assert.ok(total >= 6_000 && total <= 8_001, `${total}`);
  const alone = simulate(1_000, [tenant(20_000)], 6_000, 3_000);
  assert.ok((alone.outcomes[0]?.taken ?? 0) >= 2_950);
});

Deno.test("many simultaneous tenants each get something", () => {
  const crowd = Array.from({ length: 300 }, (_, index) => tenant(100, 1_000 + index % 10));
  const { outcomes, lowest } = simulate(1_000, [tenant(20_000), ...crowd], 6_000, 1_000);
  assert.ok(lowest > -1, `${lowest}`);
  for (const { taken } of outcomes) assert.ok(taken > 0);
});

Deno.test("an operation larger than the rate passes during a flood, and leaves a debt", () => {
  const large = tenant(1, 2_000, 5_000);
  const { outcomes, total } = simulate(1_000, [tenant(20_000), large], 30_000, 2_000);
  assert.ok((outcomes[1]?.taken ?? 0) >= 5_000, "not refused for ever");
  assert.ok(total <= 32_000 + 5_000);
});

Deno.test("a refusal advises a wait that is sufficient without other tenants", () => {
  const asks = fc.array(fc.record({ wait_ms: fc.nat(40), of: fc.nat(3) }), { maxLength: 400 });
  fc.assert(fc.property(fc.integer({ min: 5, max: 200 }), asks, (rate, some) => {
    const shared = createSharedRate(rate, 0);
    const portions = [0, 1, 2, 3].map(() => createPortion(0));
    let now_ms = 0;
    for (const { wait_ms, of } of some) {
      now_ms += wait_ms;
      const portion = portions[of] ?? createPortion(now_ms);
      const retry_after_ms = waitForShare(shared, portion, 1, now_ms);
      if (retry_after_ms === 0) withdrawShare(shared, portion, 1);
      else {
        assert.ok(Number.isInteger(retry_after_ms) && retry_after_ms <= 5_000);
        const later = { ...shared, bucket: { ...shared.bucket } };
        assert.equal(waitForShare(later, { ...portion }, 1, now_ms + retry_after_ms), 0);
      }
    }
  }));
});

Deno.test("a clock that goes backwards grants nothing and locks nothing", () => {
  const shared = createSharedRate(10, 1_000_000);
  const portion = createPortion(1_000_000);
  for (let taken = 0; taken < 10; taken++) {
    if (waitForShare(shared, portion, 1, 1_000_000) === 0) withdrawShare(shared, portion, 1);
  }
  const wait_ms = waitForShare(shared, portion, 1, 0);
  assert.ok(wait_ms > 0);
  assert.equal(waitForShare(shared, portion, 1, wait_ms), 0);
});
