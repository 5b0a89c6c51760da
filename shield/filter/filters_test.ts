/** Which filters a process holds: one for each text, within their bounds. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Filter } from "./filter.ts";
import { Filters } from "./filters.ts";

const LIMITS = {
  ...{ filter_chars: 100, filter_steps: 100 },
  ...{ filters_per_room: 2, filters_per_tenant: 3 },
};

Deno.test("one text is one filter of a tenant, and none is left when nobody has it", () => {
  const filters = new Filters(LIMITS);
  const first = filters.of("t", "true")!;
  filters.hold("t", "a", first);
  assert.equal(filters.of("t", "true"), first);
  assert.notEqual(filters.of("other", "true"), first);
  assert.equal(filters.of("t", ""), undefined);
  filters.hold("t", "b", first);
  assert.equal(filters.size, 1);
  filters.release("t", "a", first);
  filters.release("t", "b", first);
  assert.equal(filters.size, 0);
  assert.notEqual(filters.of("t", "true"), first);
});

Deno.test("rooms and tenants have at most their bounds, whoever comes and goes", () => {
  const step = fc.record({
    room: fc.constantFrom("a", "b", "c"),
    text: fc.constantFrom("true", "false", "1 == 1", "2 == 2", "3 == 3"),
    who: fc.nat(5),
    leaves: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const filters = new Filters(LIMITS);
    const held = new Map<string, { room: string; filter: Filter }>();
    for (const { room, text, who, leaves } of steps) {
      const key = `${who} ${room}`;
      const before = held.get(key);
      const wanted = leaves ? undefined : filters.of("t", text);
      try {
        if (wanted !== undefined) filters.requireRoom("t", room, wanted, before?.filter);
      } catch {
        continue;
      }
      filters.hold("t", room, wanted);
      filters.release("t", room, before?.filter);
      if (wanted === undefined) held.delete(key);
      else held.set(key, { room, filter: wanted });
      const all = [...held.values()];
      const different = (some: typeof all) =>
        new Set(some.map(({ filter }) => filter.program.text)).size;
      assert.equal(filters.size, different(all));
      assert(different(all) <= 3);
      for (const one of ["a", "b", "c"]) {
        assert(different(all.filter(({ room }) => room === one)) <= 2);
      }
    }
    for (const { room, filter } of held.values()) filters.release("t", room, filter);
    assert.equal(filters.size, 0);
  }));
});
