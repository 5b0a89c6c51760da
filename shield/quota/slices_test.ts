/** Slices of one Shield, and of several on one bucket: nothing waits, and the sum keeps the quota. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Bucket, fullBucket, reserve } from "./bucket.ts";
import { Slices } from "./slices.ts";

const SLICE_MS = 100;
const TIMEOUT_MS = 250;
const RATE = { messages: 200, bytes: 20_000 };
const OPTIONS = { rateOf: () => RATE, slice_ms: SLICE_MS, timeout_ms: TIMEOUT_MS, tenants_max: 10 };
const ignore = () => {};

/** Makes all due reservations at the bucket. */
function fill(slices: Slices, bucket: Bucket, now_ms: number): void {
  for (const asked of slices.due(now_ms)) slices.granted(asked, reserve(bucket, asked, now_ms));
}

function passes(slices: Slices, times: number, now_ms: number, size_bytes = 1): number {
  let passed = 0;
  for (let index = 0; index < times; index++) {
    if (slices.take("acme", size_bytes, now_ms, ignore) === undefined) passed++;
  }
  return passed;
}

Deno.test("the first message passes at once, and requests a slice", () => {
  const slices = new Slices(OPTIONS);
  let requests = 0;
  assert.equal(slices.take("acme", 10, 0, () => requests++), undefined);
  assert.equal(requests, 1);
  assert.deepEqual(slices.due(0).map(({ tenant_id, debt }) => [tenant_id, debt]), [
    ["acme", { messages: 1, bytes: 10 }],
  ]);
});

Deno.test("without an answer at most the rate of that time passes", () => {
  const slices = new Slices(OPTIONS);
  assert.equal(passes(slices, 500, 0), RATE.messages * (SLICE_MS + TIMEOUT_MS) / 1_000);
  const refused = slices.take("acme", 1, 0, ignore);
  assert.deepEqual(refused, { unit: "messages", retry_after_ms: SLICE_MS });
});

Deno.test("once the bucket is known to be empty, nothing is spent in advance", () => {
  const slices = new Slices(OPTIONS);
  const bucket = { ...fullBucket(RATE, 0), messages: 5 };
  passes(slices, 3, 0);
  fill(slices, bucket, 0);
  assert.equal(passes(slices, 500, 0), 2, "what was there");
  const refused = slices.take("acme", 1, 0, ignore);
  assert.equal(refused?.unit, "messages");
  assert(refused !== undefined && refused.retry_after_ms >= SLICE_MS);
});

Deno.test("bytes are counted as well as messages, and named if they are exhausted", () => {
  const slices = new Slices(OPTIONS);
  const bucket = { ...fullBucket(RATE, 0), bytes: 0 };
  passes(slices, 1, 0, 5_000);
  fill(slices, bucket, 0);
  assert.equal(slices.take("acme", 1, 0, ignore)?.unit, "bytes");
  fill(slices, bucket, 250);
  assert.equal(slices.take("acme", 1, 250, ignore)?.unit, "bytes", "the debt is paid first");
  fill(slices, bucket, 400);
  assert.equal(slices.take("acme", 1, 400, ignore), undefined);
});

Deno.test("tenants are independent, and one beyond the limit passes and is counted", () => {
  const slices = new Slices({ ...OPTIONS, tenants_max: 1 });
  passes(slices, 500, 0);
  assert.notEqual(slices.take("acme", 1, 0, ignore), undefined);
  assert.equal(slices.take("other", 1, 0, ignore), undefined);
  assert.equal(slices.untracked, 1);
});

Deno.test("an idle tenant's slice is dropped once its debt is paid", () => {
  const slices = new Slices(OPTIONS);
  const bucket = fullBucket(RATE, 0);
  passes(slices, 1, 0);
  assert.equal(slices.due(60_000).length, 1, "it owes one");
  assert.equal(slices.size, 1);
  fill(slices, bucket, 60_000);
  fill(slices, bucket, 120_000);
  assert.equal(slices.size, 0);
});

interface Step {
  readonly shield: number;
  readonly pause_ms: number;
  readonly burst: number;
  readonly size_bytes: number;
  readonly is_filled: boolean;
  readonly is_lost: boolean;
}

const SHIELDS = 3;
const SIZE_MAX = 400;
const step: fc.Arbitrary<Step> = fc.record({
  shield: fc.nat(SHIELDS - 1),
  pause_ms: fc.oneof(fc.nat(30), fc.nat(400)),
  burst: fc.nat(120),
  size_bytes: fc.nat(SIZE_MAX),
  is_filled: fc.boolean(),
  is_lost: fc.integer({ min: 0, max: 9 }).map((it) => it === 0),
});

/** The messages that passed, as [ms, messages, bytes]. */
function run(steps: readonly Step[]): [number, number, number][] {
  const shields = Array.from({ length: SHIELDS }, () => new Slices(OPTIONS));
  const bucket = fullBucket(RATE, 0);
  const passed: [number, number, number][] = [];
  let now_ms = 0;
  for (const { shield, pause_ms, burst, size_bytes, is_filled, is_lost } of steps) {
    now_ms += pause_ms;
    const slices = shields[shield];
    assert(slices !== undefined);
    const count = passes(slices, burst, now_ms, size_bytes);
    if (count > 0) passed.push([now_ms, count, count * size_bytes]);
    if (!is_filled) continue;
    for (const asked of slices.due(now_ms)) {
      const grant = reserve(bucket, asked, now_ms);
      // A lost answer was still taken from the bucket.
      if (!is_lost) slices.granted(asked, grant);
    }
  }
  return passed;
}

Deno.test("in no window more passes than quota, burst, and the slices and overdrafts of Shields", () => {
  const slices_s = (2 * SLICE_MS + SLICE_MS + TIMEOUT_MS) / 1_000;
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
      const passed = run(steps);
      for (let from = 0; from < passed.length; from++) {
        let messages = 0;
        let bytes = 0;
        for (let to = from; to < passed.length; to++) {
          const window_s = ((passed[to]?.[0] ?? 0) - (passed[from]?.[0] ?? 0)) / 1_000;
          messages += passed[to]?.[1] ?? 0;
          bytes += passed[to]?.[2] ?? 0;
          const allowed_s = 1 + window_s + SHIELDS * slices_s;
          assert(messages <= RATE.messages * allowed_s + SHIELDS, `${messages} messages`);
          assert(bytes <= RATE.bytes * allowed_s + SHIELDS * SIZE_MAX, `${bytes} bytes`);
        }
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("a tenant within its quota is never refused while answers come in time", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(SHIELDS - 1), { minLength: 50, maxLength: 400 }), (order) => {
      const shields = Array.from({ length: SHIELDS }, () => new Slices(OPTIONS));
      const bucket = fullBucket(RATE, 0);
      for (const [index, shield] of order.entries()) {
        // Nine tenths of the quota, on any of the Shields.
        const now_ms = index * 1_000 / (RATE.messages * 0.9);
        const slices = shields[shield];
        assert(slices !== undefined);
        assert.equal(slices.take("acme", 10, now_ms, ignore), undefined, `message ${index}`);
        if (index % 18 === 0) { for (const each of shields) fill(each, bucket, now_ms); }
      }
    }),
  );
});
