/**
 * Token buckets with a clock as argument. How long a sender has to wait that makes a module fail, and when that is
 * forgiven. Pure: time is a number here.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createBucket,
  createPair,
  isPairFull,
  take,
  waitForPair,
  withdrawPair,
} from "./token_bucket.ts";
import {
  createSender,
  FIRST_PAUSE_MS,
  FORGIVE_MS,
  isForgiven,
  LONGEST_PAUSE_MS,
  senderFailed,
  senderRuns,
  senderSucceeded,
  senderWait,
  SLOWED_FROM,
} from "./slowed_sender.ts";

Deno.test("a bucket grants its burst at once, then its rate", () => {
  const bucket = createBucket(10, 0);
  for (let taken = 0; taken < 20; taken += 1) assert.equal(take(bucket, 1, 0), 0);
  assert.equal(take(bucket, 1, 0), 100);
  assert.equal(take(bucket, 1, 99), 1);
  assert.equal(take(bucket, 1, 100), 0);
  assert.equal(take(bucket, 1, 100), 100);
  assert.equal(take(bucket, 20, 10_000), 0, "a long pause fills the burst, not more");
  assert.equal(take(bucket, 1, 10_000), 100);
});

Deno.test("a refused amount takes nothing", () => {
  const bucket = createBucket(1, 0, 5);
  assert.equal(take(bucket, 3, 0), 0);
  assert.equal(take(bucket, 3, 0), 1_000);
  assert.equal(take(bucket, 2, 0), 0);
});

Deno.test("more than the burst passes a full bucket and leaves a debt", () => {
  const bucket = createBucket(100, 0, 200);
  assert.equal(take(bucket, 500, 0), 0);
  assert.equal(take(bucket, 1, 0), 3_010);
  assert.equal(take(bucket, 1, 3_010), 0);
  assert.equal(take(bucket, 500, 3_010), 2_000, "not until it is full again");
});

Deno.test("a clock that goes backwards neither fills the bucket nor locks it", () => {
  const bucket = createBucket(10, 1_000_000, 10);
  assert.equal(take(bucket, 10, 1_000_000), 0);
  assert.equal(take(bucket, 1, 0), 100);
  assert.equal(take(bucket, 1, 100), 0);
});

Deno.test("for any pattern, the rate holds and the advised wait is exact", () => {
  const step = fc.record({ wait_ms: fc.nat(500), amount: fc.integer({ min: 1, max: 30 }) });
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1_000 }),
    fc.array(step, { maxLength: 60 }),
    (per_second, steps) => {
      const bucket = createBucket(per_second, 0, Math.max(30, per_second * 2));
      let now_ms = 0;
      let taken = 0;
      for (const { wait_ms, amount } of steps) {
        now_ms += wait_ms;
        const retry_after_ms = take(bucket, amount, now_ms);
        if (retry_after_ms === 0) taken += amount;
        else {
          assert.ok(Number.isInteger(retry_after_ms) && retry_after_ms > 0);
          const later = { ...bucket };
          assert.equal(take(later, amount, now_ms + retry_after_ms), 0);
        }
        assert.ok(taken <= bucket.burst + per_second * now_ms / 1_000 + 1e-6);
      }
    },
  ));
});

Deno.test("a pair waits for the slower of its buckets, and asking takes nothing", () => {
  const pair = createPair(2, 100, 0);
  assert.equal(waitForPair(pair, 150, 0), 0);
  withdrawPair(pair, 150);
  assert.equal(waitForPair(pair, 100, 0), 500, "the bytes");
  assert.deepEqual([pair.messages.thousandths, pair.bytes.thousandths], [3_000, 50_000]);
  for (let sent = 0; sent < 3; sent += 1) withdrawPair(pair, 0);
  assert.equal(waitForPair(pair, 0, 0), 500, "the messages");
  assert.equal(isPairFull(pair, 1_999), false);
  assert.equal(isPairFull(pair, 2_000), true);
});

Deno.test("the first faults cost nothing, each further one doubles the pause, up to the longest", () => {
  const sender = createSender(0);
  const waits: number[] = [];
  for (let fault = 1; fault <= SLOWED_FROM + 8; fault++) {
    senderFailed(sender, 0);
    waits.push(senderWait(sender, 0));
  }
  assert.deepEqual(waits.slice(0, SLOWED_FROM), [0, 0, FIRST_PAUSE_MS]);
  assert.deepEqual(waits.slice(SLOWED_FROM, SLOWED_FROM + 3), [2_000, 4_000, 8_000]);
  assert.equal(waits.at(-1), LONGEST_PAUSE_MS);
});

Deno.test("a success of an operation from before the pause does not end it", () => {
  const sender = createSender(0);
  for (let fault = 0; fault < SLOWED_FROM; fault++) senderFailed(sender, 0);
  senderSucceeded(sender);
  assert.equal(senderWait(sender, 0), FIRST_PAUSE_MS);
});

Deno.test("a sender that obeys every pause and always fails causes a few faults, then one per longest pause", () => {
  const sender = createSender(0);
  const at: number[] = [];
  for (let now_ms = 0; now_ms < 3_600_000; now_ms += 100) {
    if (senderWait(sender, now_ms) > 0) continue;
    senderRuns(sender, now_ms);
    senderFailed(sender, now_ms);
    at.push(now_ms);
  }
  assert.ok(at.length < 130, `${at.length} faults in an hour`);
});

Deno.test("every fault is forgiven in its time", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 100_000 })), (pauses) => {
    const sender = createSender(0);
    let now_ms = 0;
    for (const pause_ms of pauses) senderFailed(sender, now_ms += pause_ms);
    assert.equal(isForgiven(sender, now_ms), pauses.length === 0);
    assert.ok(isForgiven(sender, now_ms + 12 * FORGIVE_MS));
  }));
});
