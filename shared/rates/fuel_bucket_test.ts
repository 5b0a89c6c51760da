/** What a tenant may burn, over any sequence of calls. Pure: time is a number here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createFuelBuckets, hasFuel, spendFuel } from "./fuel_bucket.ts";
import { createBucket } from "./token_bucket.ts";

Deno.test("over any time a tenant uses no more than burst, rate and one call", () => {
  const step = fc.record({
    wait_ms: fc.nat({ max: 500 }),
    fuel: fc.integer({ min: 1, max: 3_000 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const bucket = createBucket(1_000, 0);
    let now_ms = 0;
    let burnt = 0;
    for (const { wait_ms, fuel } of steps) {
      now_ms += wait_ms;
      if (!hasFuel(bucket, now_ms)) continue;
      spendFuel(bucket, fuel, now_ms);
      burnt += fuel;
      assert.ok(burnt <= 2_000 + now_ms + 3_000, `${burnt} in ${now_ms} ms`);
    }
  }));
});

Deno.test("a debt is repaid at the rate, and a clock that goes back adds nothing", () => {
  const bucket = createBucket(1_000, 0);
  spendFuel(bucket, 3_000, 0);
  assert.equal(hasFuel(bucket, 1_000), false);
  assert.equal(hasFuel(bucket, 0), false);
  assert.equal(hasFuel(bucket, 1_001), true);
});

Deno.test("tenants are remembered up to a number, full buckets go first", () => {
  const buckets = createFuelBuckets(() => 1_000, 3);
  buckets.spend("debtor", 100_000, 0);
  buckets.spend("small", 1, 0);
  buckets.spend("other", 5_000, 0);
  buckets.spend("new", 1, 1_000);
  assert.equal(buckets.size, 3);
  assert.deepEqual(["debtor", "other", "new"].map((name) => buckets.has(name, 1_000)), [
    false,
    false,
    true,
  ]);
  buckets.spend("newer", 1, 1_000);
  assert.equal(buckets.size, 3);
  assert.equal(buckets.has("nobody", 0), true);
});

Deno.test("a new rate also applies to tenants in debt", () => {
  let per_second = 1;
  const buckets = createFuelBuckets(() => per_second);
  buckets.spend("debtor", 1_000, 0);
  assert.equal(buckets.has("debtor", 1_000), false);
  per_second = 1_000;
  assert.equal(buckets.has("debtor", 2_000), true);
});
