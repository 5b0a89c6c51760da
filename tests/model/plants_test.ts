/** The planted faults fit the current code: the changed lines have not moved, and some rows are near each of them. */
import assert from "node:assert/strict";
import { rowsOf } from "./factors.ts";
import { readPlants, staleParts } from "./plants.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

Deno.test("each planted fault fits the code, and some rows are near it", async () => {
  const plants = await readPlants();
  assert.ok(plants.length >= 20);
  const rows = rowsOf(2);
  const stale: string[] = [];
  for (const plant of plants) {
    stale.push(...await staleParts(plant, ROOT));
    if (!rows.some(plant.near)) stale.push(`${plant.name}: no row is near it`);
  }
  assert.deepEqual(stale, []);
});
