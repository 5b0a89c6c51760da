/** Fossil diffs against a third-party decoder, the package `fossil-delta`, and against limits. */
import fc from "fast-check";
import { applyDelta, createDelta } from "fossil-delta";
import assert from "node:assert/strict";
import { createFossil } from "./encode.ts";

const text = (value: string) => new TextEncoder().encode(value);
const apply = applyDelta as (base: Uint8Array, diff: Uint8Array) => Uint8Array;
const others = createDelta as (base: Uint8Array, data: Uint8Array) => Uint8Array;

/** The bytes of a diff, checked with the other decoder. */
function expectSame(base: Uint8Array, data: Uint8Array): number {
  const diff = createFossil(base, data);
  assert.deepEqual(apply(base, diff), data);
  assert.ok(diff.length <= data.length + 16, `${diff.length} bytes for ${data.length}`);
  return diff.length;
}

/** Parts of other data in another order, some repeated, some changed. */
const pieces = fc.record({
  base: fc.uint8Array({ maxLength: 3_000, max: 7 }),
  cuts: fc.array(fc.record({ at: fc.nat(), length: fc.nat(400), changed: fc.nat(255) }), {
    maxLength: 20,
  }),
}).map(({ base, cuts }) => {
  const data = cuts.flatMap(({ at, length, changed }) => {
    const from = at % (base.length + 1);
    return [...base.subarray(from, from + length), changed];
  });
  return { base, data: new Uint8Array(data) };
});

Deno.test("a third-party decoder reconstructs the data", () => {
  fc.assert(fc.property(pieces, ({ base, data }) => void expectSame(base, data)), { numRuns: 500 });
  const any = fc.uint8Array({ maxLength: 600 });
  fc.assert(fc.property(any, any, (base, data) => void expectSame(base, data)));
  const runs = fc.array(fc.tuple(fc.nat(3), fc.nat(4_000)), { maxLength: 6 })
    .map((parts) => new Uint8Array(parts.flatMap(([byte, length]) => Array(length).fill(byte))));
  fc.assert(fc.property(runs, runs, (base, data) => void expectSame(base, data)));
});

Deno.test("a small change gives a small diff, and unrelated data a diff slightly larger than itself", () => {
  const lines = Array.from({ length: 400 }, (_, n) => `line ${n} says ${n * 7919}\n`);
  const base = text(lines.join(""));
  const changed = lines.with(20, "another line\n").with(300, "line 300 is new\n").toSpliced(7, 1);
  assert.ok(expectSame(base, text(changed.join(""))) < 100);
  assert.ok(expectSame(base, base) < 20);
  expectSame(base, crypto.getRandomValues(new Uint8Array(20_000)));
  const records = (now: number) =>
    text(JSON.stringify(Array.from({ length: 300 }, (_, id) => ({
      ...{ id, name: `bus ${id}`, lat: (id * 7919 + now) % 1000, at: 1_700_000_000 + now },
    }))));
  const [before, after] = [records(1), records(2)];
  assert.ok(expectSame(before, after) <= others(before, after).length);
});

/** Data whose diff may take long; a seed makes each pair. */
const SIZE = 20_000;
function* hard(seed: number): Generator<readonly [string, Uint8Array, Uint8Array]> {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  const make = (byteAt: (at: number) => number) => new Uint8Array(SIZE).map((_, at) => byteAt(at));
  const zeros = make(() => 0);
  yield ["one byte", zeros, zeros];
  yield ["another byte", zeros, make((at) => at === SIZE / 2 ? 1 : 0)];
  for (const every of [9, 15, 17, 20, 33, 64, 300]) {
    yield [`a byte every ${every}`, zeros, make((at) => at % every === 0 ? 1 : 0)];
    yield [
      `each ${every}`,
      make((at) => at % every ? 7 : next()),
      make((at) => at % every ? 7 : next()),
    ];
  }
  for (const values of [2, 3, 4, 8, 256]) {
    yield [`${values} values`, make(() => next() % values), make(() => next() % values)];
  }
  const words = ["a".repeat(16), `${"a".repeat(15)}b`, `${"a".repeat(8)}b${"a".repeat(7)}`];
  const wordy = () => text(Array.from({ length: SIZE / 16 }, () => words[next() % 3]).join(""));
  yield ["blocks of few kinds", wordy(), wordy()];
}

Deno.test("data that is hard to match takes a bounded number of steps per byte", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      for (const [name, base, data] of hard(seed)) {
        const work = { steps: 0 };
        const diff = createFossil(base, data, work);
        assert.deepEqual(apply(base, diff), data);
        const steps = work.steps / (base.length + data.length);
        assert.ok(steps < 40, `${name}: ${steps} steps a byte`);
      }
    }),
    { numRuns: 4 },
  );
});

Deno.test("once the budget is spent, the rest still continues after the last match", () => {
  const base = new Uint8Array(SIZE).map((_, at) => at < SIZE / 2 ? at % 2 : at * at >>> 3);
  assert.ok(expectSame(base, base.with(SIZE - 100, 1)) < 40);
});
