/** The ring compared with a Map, also when its numbers wrap around. Pure. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { SequenceTable } from "./sequence_table.ts";

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
