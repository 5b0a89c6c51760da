/** What a map that tenants share drops when it is full. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FairMap } from "./fair_map.ts";

Deno.test("a map that tenants share drops of those with most, and never all of one with few", () => {
  const step = fc.record({ tenant: fc.constantFrom("a", "b", "c"), of: fc.nat(40) });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const map = new FairMap<string>(6, (value) => value[0]!);
    const count = (name: string) =>
      map.entries().filter(([, value]) => value[0] === name).toArray();
    for (const { tenant, of } of steps) {
      const counts = ["a", "b", "c"].map((name) => count(name).length);
      const key = `${tenant}${of}`;
      const is_new = map.get(key) === undefined;
      const dropped = map.set(key, key)?.[0];
      assert.equal(map.get(key), key);
      assert(map.size <= 6);
      if (dropped === undefined) continue;
      assert(is_new);
      counts["abc".indexOf(tenant)]!++;
      const held = counts["abc".indexOf(dropped)]!;
      assert(held * counts.filter((one) => one > 0).length >= 7, `${counts} ${dropped}`);
    }
    map.clear();
    assert.deepEqual([map.size, map.drop("a"), map.get("a1")], [0, undefined, undefined]);
  }));
});

Deno.test("with one entry each, the tenant that used its own longest ago loses it, not the new one", () => {
  const map = new FairMap<string>(3, (value) => value);
  for (const tenant of ["a", "b", "c"]) map.set(tenant, tenant);
  map.use("a");
  assert.equal(map.set("d", "d"), "b");
  assert.equal(map.drop("e"), "c", "for a tenant that has none yet");
  assert.deepEqual([map.size, map.get("a"), map.get("d")], [2, "a", "d"]);
});
