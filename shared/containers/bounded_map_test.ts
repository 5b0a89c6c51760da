/** A map that drops its oldest entry must not drop another one, or exceed its bound. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { BoundedMap } from "./bounded_map.ts";

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
