/**
 * A short run of each focus, on NATS: what it adds to a walk holds while processes are killed, restarted and
 * disconnected.
 */
import assert from "node:assert/strict";
import type { Focus } from "./plan.ts";
import { emptyTally, runWalks } from "./run.ts";
import { openerOf } from "./world.ts";

const WISH = { steps: 9, rooms: 4, seconds: 0, seed: 4, say: console.log } as const;

const FOCI: readonly (readonly [Focus, "1" | "3"])[] = [
  ["durable", "3"],
  ["plain", "3"],
  ["hook", "1"],
  ["members", "3"],
  ["rooms", "1"],
  ["why", "1"],
  ["usage", "1"],
  ["growing", "1"],
  ["proof", "3"],
];

for (const [focus, servers] of FOCI) {
  Deno.test(`a walk through faults with the focus ${focus}, on ${servers} of NATS`, async () => {
    const wrong = await runWalks({ ...WISH, focus, open: openerOf(servers), tally: emptyTally() });
    assert.deepEqual(wrong, [], wrong.join("\n\n"));
  });
}
