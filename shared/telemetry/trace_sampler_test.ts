/** Sampling by the parent, by the ratio, and within the limit. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { randomnessOf, randomnessOfBytes, TraceSampler } from "./trace_sampler.ts";

const id_bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const sampler = (ratio: number, per_second = 1_000_000, on_error = true) =>
  new TraceSampler({ ratio, per_second, on_error }, 0);
const context = (sampled: boolean) => ({
  trace_id: "0af7651916cd43dd8448eb211c80319c",
  span_id: "b7ad6b7169203331",
  sampled,
});

Deno.test("a trace id has the same randomness as text and as bytes: its last 56 bits", () => {
  fc.assert(fc.property(id_bytes, (bytes) => {
    const expected = Number(BigInt(`0x${bytes.subarray(9).toHex()}`) >> 3n);
    assert.equal(randomnessOf(bytes.toHex()), expected);
    assert.equal(randomnessOfBytes(bytes), expected);
  }));
});

Deno.test("none at 0, all at 1, and a larger ratio includes the sample of a smaller one", () => {
  fc.assert(fc.property(id_bytes, fraction, fraction, (bytes, one, other) => {
    const trace_id = bytes.toHex();
    assert.equal(sampler(0).takesRoot(trace_id, 0), false);
    assert.equal(sampler(1).takesRoot(trace_id, 0), true);
    const less = Math.min(one, other);
    const more = Math.max(one, other);
    if (sampler(less).takesRoot(trace_id, 0)) assert.ok(sampler(more).takesRoot(trace_id, 0));
    assert.equal(sampler(one).takesRoot(trace_id, 0), sampler(one).takesNew(bytes));
  }));
  assert.equal(sampler(0).takesNew(new Uint8Array(16).fill(255)), false);
  assert.equal(sampler(1).takesNew(new Uint8Array(16)), true);
});

Deno.test("a ratio samples its share", () => {
  const half = sampler(0.25);
  const bytes = new Uint8Array(16);
  let taken = 0;
  // Evenly spread over the bits that decide.
  for (let step = 0; step < 256; step++) {
    bytes[9] = step;
    if (half.takesNew(bytes)) taken++;
  }
  assert.equal(taken, 64);
});

Deno.test("the parent decides, whatever the ratio", () => {
  assert.equal(sampler(0).takesChild(context(true), 0), true);
  assert.equal(sampler(1).takesChild(context(false), 0), false);
});

Deno.test("refusals are recorded if the configuration enables that", () => {
  assert.equal(sampler(0).takesRefusal(0), true);
  assert.equal(sampler(1, 10, false).takesRefusal(0), false);
});

Deno.test("clients get at most the rate plus one second's worth, in any pattern", () => {
  const steps = fc.array(fc.tuple(fc.nat(400), fc.nat(3)), { maxLength: 300 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 50 }), steps, (per_second, calls) => {
    const one = sampler(1, per_second);
    let now_ms = 0;
    let taken = 0;
    for (const [wait_ms, kind] of calls) {
      now_ms += wait_ms;
      if (kind === 0) taken += Number(one.takesRefusal(now_ms));
      else if (kind === 1) taken += Number(one.takesRoot(context(true).trace_id, now_ms));
      else taken += Number(one.takesChild(context(true), now_ms));
    }
    assert.ok(taken <= per_second + now_ms * per_second / 1_000, `${taken} in ${now_ms} ms`);
  }));
});

Deno.test("the limit does not apply to traces that begin here, and a clock set back adds nothing", () => {
  const one = sampler(1, 1);
  assert.equal(one.takesChild(context(true), 1_000), true);
  assert.equal(one.takesChild(context(true), 1_000), false);
  assert.equal(one.takesNew(new Uint8Array(16)), true);
  assert.equal(one.takesChild(context(true), 0), false);
  assert.equal(one.takesChild(context(true), 1_000), true);
});

Deno.test("options that change count for the next trace", () => {
  const options = { ratio: 0, per_second: 1_000, on_error: false };
  const changing = new TraceSampler(options, 0);
  const bytes = new Uint8Array(16);
  assert.deepEqual([changing.takesNew(bytes), changing.takesRefusal(0)], [false, false]);
  Object.assign(options, { ratio: 1, on_error: true });
  assert.deepEqual([changing.takesNew(bytes), changing.takesRefusal(0)], [true, true]);
  options.per_second = 1;
  assert.equal(changing.takesRefusal(5), true);
  assert.equal(changing.takesRefusal(5), false);
});
