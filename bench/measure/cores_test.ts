/** Who runs where, by the cores that there are. */
import assert from "node:assert/strict";
import { placementOf } from "./cores.ts";

Deno.test("with enough cores the load has the upper half, the target the lower", () => {
  const { load, target_cores } = placementOf(7, true);
  assert.deepEqual(load, ["taskset", "-c", "3-6"]);
  assert.equal(target_cores, "0-2");
});

Deno.test("with few cores, or nothing to pin with, the load is nice", () => {
  for (const placed of [placementOf(2, true), placementOf(8, false)]) {
    assert.equal(placed.load[0], "nice");
    assert.equal(placed.target_cores, undefined);
    assert.match(placed.how, /not pinned/);
  }
});
