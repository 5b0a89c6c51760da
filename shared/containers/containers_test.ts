/**
 * A map that drops its oldest entry must not drop another one, or exceed its bound. Pieces of a slab are separate,
 * zeroed and of the requested length. A set of few members behaves like a `Set` for any sequence of operations. A map
 * with a limit must not grow, return replaced values, or drop recently used ones. The ring compared with a Map, also
 * when its numbers wrap around. Pure. The largest of many: the same as sorting all of them, in bounded turns.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BoundedMap } from "./bounded_map.ts";
import { ByteArena, owned } from "./byte_arena.ts";
import { FewSet } from "./few_set.ts";
import { RecentMap } from "./recent_map.ts";
import { SequenceTable } from "./sequence_table.ts";
import { topOf } from "./top.ts";

type Entry = [key: number, value: string];

/** A reference by an array, oldest first. */
class Naive {
  readonly #size_max: number;
  entries: Entry[] = [];

  constructor(size_max: number) {
    this.#size_max = size_max;
  }

  get(key: number): string | undefined {
    return this.entries.find(([other]) => other === key)?.[1];
  }

  use(key: number): string | undefined {
    const value = this.get(key);
    if (value !== undefined) this.renew(key, value);
    return value;
  }

  set(key: number, value: string): string | undefined {
    const known = this.entries.find(([other]) => other === key);
    if (known !== undefined) known[1] = value;
    else this.entries.push([key, value]);
    return this.entries.length > this.#size_max ? this.dropOldest() : undefined;
  }

  renew(key: number, value: string): string | undefined {
    this.delete(key);
    return this.set(key, value);
  }

  delete(key: number): boolean {
    const before = this.entries.length;
    this.entries = this.entries.filter(([other]) => other !== key);
    return this.entries.length < before;
  }

  clear(): void {
    this.entries = [];
  }

  dropOldest(): string | undefined {
    return this.entries.shift()?.[1];
  }
}

interface Change {
  readonly key: number;
  readonly kind: "set" | "renew" | "use" | "get" | "delete" | "dropOldest" | "clear";
}

function apply(map: BoundedMap<number, string> | Naive, { key, kind }: Change, value: string) {
  switch (kind) {
    case "set":
    case "renew":
      return map[kind](key, value);
    case "use":
    case "get":
    case "delete":
      return map[kind](key);
    case "dropOldest":
    case "clear":
      return map[kind]();
    default:
      throw kind satisfies never;
  }
}

function compare(size_max: number, changes: readonly Change[]): void {
  const map = new BoundedMap<number, string>(size_max);
  const truth = new Naive(size_max);
  for (const [at, change] of changes.entries()) {
    assert.equal(apply(map, change, `v${at}`), apply(truth, change, `v${at}`), `at ${at}`);
    assert.deepEqual([...map], truth.entries, `at ${at}`);
    assert.deepEqual([...map.keys()], truth.entries.map(([key]) => key));
    assert.deepEqual([...map.values()], truth.entries.map(([, value]) => value));
    assert.equal(map.size, truth.entries.length);
  }
}

const changesOf = (keys: number, kinds: readonly Change["kind"][], maxLength: number) =>
  fc.array(fc.record({ key: fc.nat(keys), kind: fc.constantFrom(...kinds) }), { maxLength });

Deno.test("with any operations it keeps and drops the same as a plain list", () => {
  const kinds = ["set", "set", "renew", "use", "get", "delete", "dropOldest", "clear"] as const;
  fc.assert(fc.property(
    fc.constantFrom(0, 1, 2, 3, 8, Infinity),
    changesOf(12, kinds, 200),
    compare,
  ));
});

Deno.test("many operations between two drops do not change the order of drops", () => {
  // Mostly moves and deletions below the bound: an iterator that is not used is thrown away then.
  const kinds = ["renew", "renew", "use", "use", "delete", "set", "dropOldest"] as const;
  fc.assert(fc.property(fc.constantFrom(8, 16), changesOf(20, kinds, 400), compare));
});

Deno.test("entries may be deleted while it is read", () => {
  const map = new BoundedMap<string, number>(3);
  for (const [at, key] of ["a", "b", "c", "d"].entries()) map.set(key, at);
  for (const [key, value] of map) if (value !== 2) assert.ok(map.delete(key));
  assert.deepEqual([...map], [["c", 2]]);
  assert.equal(map.set("e", 4), undefined);
  assert.equal(map.set("f", 5), undefined);
  assert.equal(map.set("g", 6), 2);
});

function take(arena: ByteArena, size: number): Uint8Array {
  const start = arena.reserve(size);
  return arena.bytes.subarray(start, start + size);
}

Deno.test("pieces are zeroed, never overlap and are never used again", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 100 }), (sizes) => {
      const arena = new ByteArena();
      const pieces = sizes.map((size, at) => {
        const piece = take(arena, size);
        assert.equal(piece.length, size);
        assert.ok(piece.every((byte) => byte === 0));
        return piece.fill(at + 1);
      });
      for (const [at, piece] of pieces.entries()) {
        assert.ok(piece.every((byte) => byte === at + 1));
      }
    }),
  );
});

Deno.test("a stored piece does not retain its slab", () => {
  const arena = new ByteArena();
  const small = take(arena, 100).fill(7);
  assert.ok(small.buffer.byteLength > 10_000);
  const kept = owned(small);
  assert.equal(kept.buffer.byteLength, 100);
  assert.deepEqual(kept, small);
  assert.equal(owned(small), kept, "one copy for all who keep it");
  const large = take(arena, 3_000);
  assert.equal(owned(large), large);
});

Deno.test("it has the same members as a Set, in the same order", () => {
  const members = Array.from({ length: 4 }, (_, number) => ({ number }));
  const step = fc.record({ adds: fc.boolean(), member: fc.constantFrom(...members) });
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const few = new FewSet<{ number: number }>();
    const set = new Set<{ number: number }>();
    for (const { adds, member } of steps) {
      if (adds) {
        few.add(member);
        set.add(member);
      } else assert.equal(few.delete(member), set.delete(member));
      assert.equal(few.size, set.size);
      assert.deepEqual([...few.members], [...set]);
    }
  }));
});

Deno.test("answers are the last that were set, or none", () => {
  const change = fc.record({
    key: fc.integer({ min: 0, max: 12 }),
    kind: fc.constantFrom("set", "set", "get", "delete", "clear"),
  });
  fc.assert(fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
    const map = new RecentMap<number, { at: number }>(4);
    const truth = new Map<number, { at: number }>();
    for (const [at, { key, kind }] of changes.entries()) {
      if (kind === "set") {
        const value = { at };
        map.set(key, value);
        truth.set(key, value);
      } else if (kind === "delete") {
        map.delete(key);
        truth.delete(key);
      } else if (kind === "clear") {
        map.clear();
        truth.clear();
      }
      const found = map.get(key);
      assert.ok(found === undefined || found === truth.get(key));
    }
  }));
});

Deno.test("the last set or found keys are kept, and at most twice as many", () => {
  const map = new RecentMap<number, string>(10);
  for (let key = 0; key < 1_000; key++) {
    map.set(key, "value");
    map.get(0);
    for (let back = 0; back < Math.min(9, key); back++) {
      assert.equal(map.get(key - back), "value", `${key - back} at ${key}`);
    }
  }
  const known = Array.from({ length: 1_000 }, (_, key) => key).filter((key) => map.get(key));
  assert.ok(known.length <= 20, `${known.length} keys`);
  assert.ok(known.includes(0));
});

const LAST = 0xffff_ffff;
const operation = fc.oneof(
  { weight: 3, arbitrary: fc.constant("add" as const) },
  { weight: 2, arbitrary: fc.record({ take: fc.nat({ max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ ask: fc.integer({ min: 0, max: LAST }) }) },
);

Deno.test("each item is found by its number, and iterated in insertion order", () => {
  const first = fc.oneof(fc.constant(1), fc.integer({ min: LAST - 60, max: LAST }));
  fc.assert(fc.property(first, fc.array(operation, { maxLength: 300 }), (first, operations) => {
    const table = new SequenceTable<{ id: number }>(first);
    const model = new Map<number, { id: number }>();
    for (const [id, step] of operations.entries()) {
      if (step === "add") {
        const item = { id };
        const number = table.add(item);
        assert.ok(number > 0 && number <= LAST && !model.has(number), `${number}`);
        model.set(number, item);
      } else if ("take" in step) {
        const number = [...model.keys()][step.take] ?? 0;
        assert.equal(table.take(number), model.get(number));
        model.delete(number);
        assert.equal(table.take(number), undefined, "taken once");
      } else assert.equal(table.get(step.ask), model.get(step.ask));
      assert.equal(table.size, model.size);
      assert.equal(table.values().next().value, model.values().next().value);
      assert.deepEqual([...table.values()], [...model.values()]);
    }
    assert.deepEqual(table.takeAll(), [...model.values()]);
    assert.deepEqual([table.size, table.values().next().value], [0, undefined]);
  }));
});

Deno.test("a number is not reused, so a late answer finds nothing", () => {
  const table = new SequenceTable<object>();
  const early = table.add({});
  table.take(early);
  const late = {};
  assert.notEqual(table.add(late), early);
  assert.equal(table.get(early), undefined);
});

Deno.test("items may be taken and added during an iteration", () => {
  const table = new SequenceTable<{ number: number }>();
  for (let count = 0; count < 100; count++) {
    const item = { number: 0 };
    item.number = table.add(item);
  }
  let visited = 0;
  for (const { number } of table.values()) {
    table.take(number);
    table.add({ number: 0 });
    visited++;
  }
  assert.deepEqual([visited, table.size], [100, 100]);
});

Deno.test("the result equals the beginning of the sorted list", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ name: fc.string({ maxLength: 3 }), score: fc.nat(5) }), {
        maxLength: 3_000,
      }),
      fc.integer({ min: 1, max: 20 }),
      async (list, limit) => {
        // Names are unique, as ids are.
        const all = [...new Map(list.map((item) => [item.name, item])).values()];
        const { items, total } = await topOf(all, {
          limit,
          accept: ({ score }) => score > 0,
          score: ({ score }) => score,
          name: ({ name }) => name,
          pause: () => Promise.resolve(),
        });
        const right = all.filter(({ score }) => score > 0)
          .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1));
        assert.deepEqual(items, right.slice(0, limit));
        assert.equal(total, right.length);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("many items are visited in many turns", async () => {
  const all = Array.from({ length: 100_000 }, (_, index) => index);
  let pauses = 0;
  const { items } = await topOf(all, {
    limit: 3,
    score: (item) => item,
    name: String,
    pause: () => {
      pauses++;
      return Promise.resolve();
    },
  });
  assert.deepEqual(items, [99_999, 99_998, 99_997]);
  assert.equal(pauses, 48);
});
