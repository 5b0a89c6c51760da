/** A rollout in the admin API while Shields die and Brains are unreachable. On an embedded Spine. */
import assert from "node:assert/strict";
import { encodeRollout, type Rollout, type RolloutReport } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import { rolloutOf } from "../../shared/rollout/testing/rollouts.ts";
import { testSpine } from "../testing/spine.ts";
import { rolloutView } from "./rollout_api.ts";

const ID = "0123456789abcdef0123456789abcdef";
const NOW_MS = 1_000_000;
const ROLLOUT = rolloutOf({ stage: 1 });
const NONE = { enforced: 0, refused: 0, passed: 0, faults: 0, fuel_old: [], fuel_new: [] };
const tally = (compared: number) => ({ name: "p", compared, ...NONE, samples: [] });

/** The view of a rollout of which these Shields have said so. */
async function viewed(rollout: Rollout, reports: Record<string, Partial<RolloutReport>>) {
  await using own = testSpine();
  const bucket = await own.spine.keyValue(ROLLOUTS_BUCKET);
  for (const [node_id, more] of Object.entries(reports)) {
    const report = { id: ID, stage: 1, beat: 1, at_ms: NOW_MS, tallies: [tally(10)], ...more };
    await bucket.put(["acme", node_id], encodeRollout(report));
  }
  return await rolloutView({ bucket, now_ms: NOW_MS }, "acme", rollout);
}

Deno.test("a Shield that has said nothing for long is not what a rollout waits for", async () => {
  const dead = { stage: 0, at_ms: NOW_MS - 11_000 };
  const view = await viewed(ROLLOUT, { s0: {}, s1: dead });
  assert.deepEqual(view.nodes.map(({ node_id, silent }) => [node_id, silent]).sort(), [
    ["s0", false],
    ["s1", true],
  ]);
  assert.equal(view.waits, "a Brain makes the next step");
  const late = await viewed(ROLLOUT, { s0: {}, s1: { ...dead, at_ms: NOW_MS - 9_000 } });
  assert.equal(late.waits, "s1 is not ready yet");
  const alone = await viewed(ROLLOUT, { s1: dead });
  assert.equal(alone.waits, "no Shield has reported yet");
  // What a Shield has counted before it died counts.
  assert.equal((await viewed(ROLLOUT, { s1: { at_ms: 0 } })).tallies[0]?.compared, 10);
});

Deno.test("what was counted is shown while the last step is made, and after the end", async () => {
  const applying = { ...ROLLOUT, state: "applying" as const, counted: [tally(7)] };
  const view = await viewed(applying, { s0: { tallies: [] } });
  assert.deepEqual([view.tallies[0]?.compared, view.waits], [7, ""]);
  const ended = { at_ms: NOW_MS, why: "", samples: [], tallies: [tally(9)] };
  const over = await viewed({ ...ROLLOUT, state: "applied", ended }, { s0: {} });
  assert.deepEqual([over.tallies[0]?.compared, over.nodes], [9, []]);
});
