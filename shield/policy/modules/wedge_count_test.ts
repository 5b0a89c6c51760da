/** Which wedges count, by their times. */
import assert from "node:assert/strict";
import { createWedgeCount } from "./wedge_count.ts";

Deno.test("as many wedges as there may be are told of once; what is old does not count", () => {
  const count = createWedgeCount({ most: 3, memory_ms: 100 });
  assert.deepEqual([0, 50, 99, 99].map((at_ms) => count.add(at_ms)), [false, false, true, false]);
  assert.equal(count.size(100), 3);
  assert.equal(count.size(149), 3);
  assert.equal(count.size(150), 2);
  assert.equal(count.add(150), true, "there are as many again");
  assert.equal(count.size(1_000), 0);
});

Deno.test("wedges far from each other never sum up", () => {
  const count = createWedgeCount({ most: 2, memory_ms: 100 });
  for (let at_ms = 0; at_ms < 100_000; at_ms += 100) assert.equal(count.add(at_ms), false);
});
