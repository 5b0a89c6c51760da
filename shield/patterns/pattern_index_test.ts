/** The index of patterns, compared with testing each, and the cost of a lookup. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { matchesRoomPattern } from "@arqon/proto";
import { PatternIndex } from "./pattern_index.ts";

const letters = fc.string({ unit: fc.constantFrom("a", "b", "-"), maxLength: 6 });
const room = letters.map((text) => `${text}a`);
const one = letters.map((text) => ({ pattern: `${text}*` }));

type Step = ["add" | "delete", number] | ["ask", string];
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom<"add" | "delete">("add", "delete"), fc.nat({ max: 19 })),
  fc.tuple(fc.constant("ask" as const), room),
);

Deno.test("the index gives the same result as testing each pattern, longest first", () => {
  const all = fc.array(one, { minLength: 20, maxLength: 20 });
  fc.assert(fc.property(all, fc.array(step, { maxLength: 60 }), (known, steps) => {
    const index = new PatternIndex<{ pattern: string }>();
    const held = new Set<{ pattern: string }>();
    for (const [what, about] of steps) {
      if (what === "ask") {
        const found = index.matching(about).flatMap((set) => [...set]);
        const naive = [...held].filter(({ pattern }) => matchesRoomPattern(pattern, about));
        assert.deepEqual(new Set(found), new Set(naive));
        assert.equal(found.length, naive.length);
        const lengths = found.map(({ pattern }) => pattern.length);
        assert.deepEqual(lengths, lengths.toSorted((a, b) => b - a));
      } else if (what === "add") {
        index.add(known[about]!);
        held.add(known[about]!);
      } else {
        index.delete(known[about]!);
        held.delete(known[about]!);
      }
      assert.equal(index.size, held.size);
      assert.deepEqual(new Set(index.all()), held);
    }
  }));
});

Deno.test("the cost of a room does not depend on the number of patterns that do not match", () => {
  const looks = (count: number) => {
    let got = 0;
    const index = new PatternIndex<{ pattern: string }>();
    for (let at = 0; at < count; at++) index.add({ pattern: `other-${at}-*` });
    const real = Map.prototype.get;
    Map.prototype.get = function (key) {
      got++;
      return real.call(this, key);
    };
    try {
      index.matching("orders-1");
      const first = got;
      for (let at = 0; at < 100; at++) index.matching("orders-1");
      return { first, later: got - first };
    } finally {
      Map.prototype.get = real;
    }
  };
  const many = looks(100_000);
  assert.equal(many.later, looks(10).later);
  assert.ok(many.first <= 64 + 2, `${many.first} looks`);
});
