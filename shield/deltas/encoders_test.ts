/** Both kinds of diffs against third-party decoders (`fossil-delta`, Ably's), and against limits. */
import { decode } from "@ably/vcdiff-decoder";
import fc from "fast-check";
import { applyDelta, createDelta } from "fossil-delta";
import assert from "node:assert/strict";
import { createFossil } from "../../shared/fossil/encode.ts";
import { createVcdiff } from "../vcdiff/encode.ts";

const text = (value: string) => new TextEncoder().encode(value);
const others = createDelta as (base: Uint8Array, data: Uint8Array) => Uint8Array;

/** An encoder with the other decoder. */
interface Kind {
  readonly create: typeof createFossil;
  readonly apply: (base: Uint8Array, diff: Uint8Array) => Uint8Array;
  /** The shortest base that the other decoder accepts. */
  readonly base_min: number;
  /** The largest size of a diff above the size of its data. */
  readonly more_bytes: number;
  /** Diffs of a small change, and of none, are smaller. */
  readonly small: readonly [changed: number, same: number];
  readonly steps_per_byte: number;
}

const FOSSIL: Kind = {
  create: createFossil,
  apply: applyDelta as Kind["apply"],
  base_min: 0,
  more_bytes: 16,
  small: [100, 20],
  steps_per_byte: 40,
};
const VCDIFF: Kind = {
  create: createVcdiff,
  apply: (base, diff) => new Uint8Array(decode(diff, base)),
  base_min: 1,
  more_bytes: 59,
  small: [90, 40],
  steps_per_byte: 9,
};

/** The bytes of a diff, checked with the other decoder. */
function expectSame(kind: Kind, base: Uint8Array, data: Uint8Array): number {
  const diff = kind.create(base, data);
  assert.deepEqual(kind.apply(base, diff), data);
  assert.ok(diff.length <= data.length + kind.more_bytes, `${diff.length} for ${data.length}`);
  return diff.length;
}

/** Parts of other data in another order, some repeated, some changed. */
const piecesOf = (minLength: number) =>
  fc.record({
    base: fc.uint8Array({ minLength, maxLength: 3_000, max: 7 }),
    cuts: fc.array(fc.record({ at: fc.nat(), length: fc.nat(400), changed: fc.nat(255) }), {
      maxLength: 20,
    }),
  }).map(({ base, cuts }) => {
    const data = cuts.flatMap(({ at, length, changed }) => {
      const from = at % (base.length + 1);
      return [...base.subarray(from, from + length), changed];
    });
    return [base, new Uint8Array(data)] as const;
  });

/** Runs of one byte each. */
const runsOf = (most: number) =>
  fc.array(fc.tuple(fc.nat(3), fc.nat(most)), { maxLength: 6 })
    .map((parts) => new Uint8Array(parts.flatMap(([byte, length]) => Array(length).fill(byte))));

Deno.test("third-party decoders reconstruct the data", () => {
  for (const kind of [FOSSIL, VCDIFF]) {
    const same = ([base, data]: readonly [Uint8Array, Uint8Array]) =>
      void expectSame(kind, base, data);
    fc.assert(fc.property(piecesOf(kind.base_min), same), { numRuns: 500 });
    const any = (minLength: number) => fc.uint8Array({ minLength, maxLength: 600 });
    fc.assert(fc.property(fc.tuple(any(kind.base_min), any(kind.base_min)), same));
  }
  const runs = runsOf(4_000);
  fc.assert(fc.property(runs, runs, (base, data) => void expectSame(FOSSIL, base, data)));
  const any = fc.uint8Array({ minLength: 1, maxLength: 600 });
  fc.assert(
    fc.property(any, runsOf(40_000), (base, data) => {
      assert.ok(expectSame(VCDIFF, base, data) < 900);
    }),
    { numRuns: 30 },
  );
});

Deno.test("a small change gives a small diff, and unrelated data a diff slightly larger than itself", () => {
  const lines = Array.from({ length: 400 }, (_, n) => `line ${n} says ${n * 7919}\n`);
  const base = text(lines.join(""));
  const changed = lines.with(20, "another line\n").with(300, "line 300 is new\n").toSpliced(7, 1);
  for (const kind of [FOSSIL, VCDIFF]) {
    assert.ok(expectSame(kind, base, text(changed.join(""))) < kind.small[0]);
    assert.ok(expectSame(kind, base, base) < kind.small[1]);
    expectSame(kind, base, crypto.getRandomValues(new Uint8Array(20_000)));
  }
  const records = (now: number) =>
    text(JSON.stringify(Array.from({ length: 300 }, (_, id) => ({
      id,
      name: `bus ${id}`,
      lat: (id * 7919 + now) % 1000,
      at: 1_700_000_000 + now,
    }))));
  const before = records(1);
  const after = records(2);
  assert.ok(expectSame(FOSSIL, before, after) <= others(before, after).length);
});

Deno.test("a VCDIFF without a base, and without data", () => {
  const diff = createVcdiff(new Uint8Array(), text("abcdabcdabcd"));
  // No source; eight more bytes; the target has twelve bytes, and the data section the first four.
  assert.deepEqual([...diff.subarray(0, 5)], [0xd6, 0xc3, 0xc4, 0, 0]);
  assert.equal(diff[5], 0);
  assert.equal(diff[7], 12);
  assert.equal(new TextDecoder().decode(diff.subarray(12, 16)), "abcd");
  expectSame(VCDIFF, text("base"), new Uint8Array());
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
  for (const every of [2, 9, 15, 17, 20, 33, 64, 300]) {
    yield [`a byte every ${every}`, zeros, make((at) => at % every === 0 ? 1 : 0)];
    const each = (values: number) => make((at) => at % every ? 7 : next() % values);
    for (const values of [8, 256]) yield [`${values} each ${every}`, each(values), each(values)];
  }
  for (const values of [1, 2, 3, 4, 8, 10, 256]) {
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
        for (const { create, apply, steps_per_byte } of [FOSSIL, VCDIFF]) {
          const work = { steps: 0 };
          assert.deepEqual(apply(base, create(base, data, work)), data);
          const steps = work.steps / (base.length + data.length);
          assert.ok(steps < steps_per_byte, `${name}: ${steps} steps a byte`);
        }
      }
    }),
    { numRuns: 4 },
  );
});

Deno.test("once the budget is spent, the rest still continues after the last match", () => {
  const base = new Uint8Array(SIZE).map((_, at) => at < SIZE / 2 ? at % 2 : at * at >>> 3);
  assert.ok(expectSame(FOSSIL, base, base.with(SIZE - 100, 1)) < 40);
});
