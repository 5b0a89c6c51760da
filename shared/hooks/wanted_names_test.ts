/** Whatever hooks are set and removed, the wanted names are those of the present hooks. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { WantedNames } from "./wanted_names.ts";

Deno.test("hooks: the wanted names are the union of what each hook wants now", () => {
  const name = fc.constantFrom("a", "b", "c");
  const change = fc.tuple(fc.constantFrom("x", "y", "z"), fc.array(name, { maxLength: 4 }));
  fc.assert(fc.property(fc.array(change), (changes) => {
    const wanted = new WantedNames();
    const hooks = new Map<string, readonly string[]>();
    for (const [hook, names] of changes) {
      const before = new Set([...hooks.values()].flat());
      hooks.set(hook, names);
      assert.equal(wanted.set(hook, names), names.some((one) => !before.has(one)));
      const now = new Set([...hooks.values()].flat());
      assert.deepEqual([...wanted].sort(), [...now].sort());
      for (const one of ["a", "b", "c"]) assert.equal(wanted.has(one), now.has(one));
    }
  }));
});
