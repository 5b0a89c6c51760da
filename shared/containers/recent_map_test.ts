/** A map with a limit must not grow, return replaced values, or drop recently used ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { RecentMap } from "./recent_map.ts";

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
