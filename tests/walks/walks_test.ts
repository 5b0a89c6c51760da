/**
 * Short walks, in this process and on NATS: with a fixed seed, and one from the commit. `deno task chaos` is the long
 * form.
 */
import assert from "node:assert/strict";
import { commit } from "../../bench/measure/scenario.ts";
import { emptyTally, runWalks } from "./run.ts";
import { openerOf } from "./world.ts";

const WISH = { focus: "all", steps: 10, rooms: 6, seconds: 0, say: console.log } as const;
const SEED = 1;

async function seedOfCommit(): Promise<number> {
  const seed = Number.parseInt((await commit()).slice(0, 6), 16);
  return Number.isNaN(seed) ? SEED + 1 : seed;
}

for (const [name, servers] of [["in one process", "0"], ["on NATS", "1"]] as const) {
  Deno.test(`a bus does what its model says on walks through faults, ${name}`, async () => {
    for (const seed of [SEED, await seedOfCommit()]) {
      const wrong = await runWalks({ ...WISH, seed, open: openerOf(servers), tally: emptyTally() });
      assert.deepEqual(wrong, [], wrong.join("\n\n"));
    }
  });
}
