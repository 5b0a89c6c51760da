/** Diffs against a third-party decoder (Ably's), and against limits. */
import { decode } from "@ably/vcdiff-decoder";
import fc from "fast-check";
import assert from "node:assert/strict";
import { createVcdiff } from "./encode.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** The result of the other decoder for a diff; it needs a base. */
function expectSame(base: Uint8Array, data: Uint8Array): number {
  const diff = createVcdiff(base, data);
  assert.deepEqual(new Uint8Array(decode(diff, base)), data);
  return diff.length;
}

/** Data made of parts of other data in another order, some repeated, some changed. */
const pieces = fc.record({
  base: fc.uint8Array({ minLength: 1, maxLength: 3_000, max: 7 }),
  cuts: fc.array(fc.record({ at: fc.nat(), length: fc.nat(400), changed: fc.nat(255) }), {
    maxLength: 20,
  }),
}).map(({ base, cuts }) => {
  const data = cuts.flatMap(({ at, length, changed }) => {
    const from = at % base.length;
    return [...base.subarray(from, from + length), changed];
  });
  return { base, data: new Uint8Array(data) };
});

Deno.test("a third-party decoder reconstructs the data", () => {
  fc.assert(fc.property(pieces, ({ base, data }) => void expectSame(base, data)), { numRuns: 500 });
  const any = fc.uint8Array({ minLength: 1, maxLength: 600 });
  fc.assert(fc.property(any, any, (base, data) => void expectSame(base, data)));
  const runs = fc.array(fc.tuple(fc.nat(3), fc.nat(40_000)), { maxLength: 6 });
  fc.assert(
    fc.property(any, runs, (base, parts) => {
      const data = parts.flatMap(([byte, length]) => new Array<number>(length).fill(byte));
      assert.ok(expectSame(base, new Uint8Array(data)) < 900);
    }),
    { numRuns: 30 },
  );
});

Deno.test("a small change gives a small diff, and unrelated data a diff slightly larger than itself", () => {
  const lines = Array.from({ length: 400 }, (_, n) => `line ${n} says ${n * 7919}\n`);
  const base = text(lines.join(""));
  const changed = lines.with(20, "another line\n").with(300, "line 300 is new\n").toSpliced(7, 1);
  assert.ok(expectSame(base, text(changed.join(""))) < 90);
  assert.ok(expectSame(base, base) < 40);
  const noise = crypto.getRandomValues(new Uint8Array(20_000));
  assert.ok(expectSame(base, noise) < 20_000 + 60);
});

Deno.test("without a base, and without data", () => {
  const diff = createVcdiff(new Uint8Array(), text("abcdabcdabcd"));
  // No source; eight more bytes; the target has twelve bytes, and the data section the first four.
  assert.deepEqual([...diff.subarray(0, 5)], [0xd6, 0xc3, 0xc4, 0, 0]);
  assert.equal(diff[5], 0);
  assert.equal(diff[7], 12);
  assert.equal(new TextDecoder().decode(diff.subarray(12, 16)), "abcd");
  expectSame(text("base"), new Uint8Array());
});

Deno.test("data that is hard to match takes a bounded number of steps per byte", () => {
  const seeds = fc.record({ most: fc.nat(9), run: fc.nat(40), seed: fc.nat() });
  fc.assert(
    fc.property(seeds, ({ most, run, seed }) => {
      let state = seed;
      const next = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 16;
      // Few values, and runs that end at any position.
      const make = () => new Uint8Array(20_000).map((_, at) => at % (run + 1) ? most : next() % 8);
      const few = () => new Uint8Array(20_000).map(() => next() % (most + 1));
      for (const make_one of [make, few]) {
        const work = { steps: 0 };
        const [base, data] = [make_one(), make_one()];
        const diff = createVcdiff(base, data, work);
        assert.deepEqual(new Uint8Array(decode(diff, base)), data);
        const steps = work.steps / (base.length + data.length);
        assert.ok(steps < 9, `${steps} steps a byte`);
      }
    }),
    { numRuns: 12 },
  );
});
