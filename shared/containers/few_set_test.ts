/** A set of few members behaves like a `Set` for any sequence of operations. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { FewSet } from "./few_set.ts";

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
