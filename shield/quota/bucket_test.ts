/** The shared bucket: its grants, and the same grants by Lua on a real server. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Redis } from "iovalkey";
import { startValkey } from "../../tests/harness/valkey_server.ts";
import { fullBucket, type Grant, type Reservation, reserve } from "./bucket.ts";
import { bucketKey, readGrants, SCRIPT, scriptArguments } from "./valkey.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

const NONE = { messages: 0, bytes: 0 };
const RATE = { messages: 10, bytes: 1_000 };

function asked(change: Partial<Reservation>): Reservation {
  return { tenant_id: "acme", rate: RATE, debt: NONE, wish: NONE, ...change };
}

Deno.test("a full bucket grants one second's worth, then only the refill", () => {
  const bucket = fullBucket(RATE, 0);
  const wish = { messages: 15, bytes: 500 };
  assert.deepEqual(reserve(bucket, asked({ wish }), 0), {
    granted: { messages: 10, bytes: 500 },
    retry_after_ms: 100,
  });
  assert.deepEqual(reserve(bucket, asked({ wish: { messages: 15, bytes: 0 } }), 250), {
    granted: { messages: 2, bytes: 0 },
    retry_after_ms: 50,
  });
  assert.equal(
    reserve(bucket, asked({ wish: { messages: 99, bytes: 0 } }), 9_999).granted.messages,
    10,
  );
});

Deno.test("a debt is taken also from an empty bucket, and nothing is granted until it is paid", () => {
  const bucket = fullBucket(RATE, 0);
  const wish = { messages: 1, bytes: 0 };
  const debt = { messages: 30, bytes: 0 };
  assert.deepEqual(reserve(bucket, asked({ debt, wish }), 0), {
    granted: NONE,
    retry_after_ms: 2_100,
  });
  assert.equal(reserve(bucket, asked({ wish }), 2_099).granted.messages, 0);
  assert.equal(reserve(bucket, asked({ wish }), 2_100).granted.messages, 1);
});

Deno.test("a clock that goes backwards fills nothing and locks nothing", () => {
  const bucket = fullBucket(RATE, 10_000);
  const wish = { messages: 10, bytes: 0 };
  assert.equal(reserve(bucket, asked({ wish }), 10_000).granted.messages, 10);
  assert.equal(reserve(bucket, asked({ wish }), 5_000).granted.messages, 0);
  assert.equal(reserve(bucket, asked({ wish }), 5_500).granted.messages, 5);
});

Deno.test("an answer of another form is refused", () => {
  for (const answer of [undefined, "OK", [1, 2], [1, 2, "3"], [1, -2, 3], [1, 2, 0.5]]) {
    assert.throws(() => readGrants(answer, 1), TypeError);
  }
});

const amounts = fc.record({ messages: fc.nat(40), bytes: fc.nat(4_000) });
const steps = fc.array(
  fc.record({ pause_ms: fc.nat(700), debt: amounts, wish: amounts, tenant: fc.nat(1) }),
  { minLength: 1, maxLength: 15 },
);

/** The script with its clock given as the last argument, in ms. */
const CLOCKED = SCRIPT.replace("redis.call('TIME')", "{0, tonumber(ARGV[#ARGV]) * 1000}");

Deno.test("the script on a real server grants the same as the bucket, to the unit", async () => {
  assert.notEqual(CLOCKED, SCRIPT);
  await using server = await startValkey();
  const redis = new Redis(server.url);
  await using _end = atEnd(() => redis.disconnect());
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      await redis.flushall();
      let now_ms = 1_700_000_000_000;
      const buckets = [fullBucket(RATE, now_ms), fullBucket(RATE, now_ms)];
      const expected: Grant[] = [];
      const given: Grant[] = [];
      for (const { pause_ms, debt, wish, tenant } of sequence) {
        now_ms += pause_ms;
        const one = asked({ tenant_id: `t${tenant}`, debt, wish });
        const bucket = buckets[tenant];
        assert(bucket !== undefined);
        expected.push(reserve(bucket, one, now_ms));
        const args = [...scriptArguments([one]), now_ms];
        const answer = await redis.eval(CLOCKED, 1, bucketKey(one.tenant_id), ...args);
        given.push(...readGrants(answer, 1));
      }
      assert.deepEqual(given, expected);
    }),
    { numRuns: 100 },
  );
  const two = [asked({ tenant_id: "a", wish: RATE }), asked({ tenant_id: "b", wish: NONE })];
  const keys = two.map(({ tenant_id }) => bucketKey(tenant_id));
  const answer = await redis.eval(SCRIPT, 2, ...keys, ...scriptArguments(two));
  assert.deepEqual(readGrants(answer, 2), [
    { granted: RATE, retry_after_ms: 0 },
    { granted: NONE, retry_after_ms: 0 },
  ]);
  const left_ms = await redis.pttl(bucketKey("a"));
  assert(left_ms > 1_000 && left_ms <= 2_000, "a bucket is deleted once it is full");
});
