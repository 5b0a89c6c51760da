/** The rollouts of many tenants at one Shield. */
import assert from "node:assert/strict";
import { decodeReport, encodeRollout } from "../../shared/rollout/rollout.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import { rolloutOf } from "../../shared/rollout/testing/rollouts.ts";
import { until } from "../../shared/testing/until.ts";
import type { Canary, CanaryState } from "../policy/chain/canary.ts";
import { Comparisons } from "../policy/chain/comparisons.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { openRollouts } from "./rollouts.ts";
import { rolloutView } from "./rollout_api.ts";

const TENANTS = 1_000;
const STARTED = rolloutOf({ policies: [] });

Deno.test("rollouts of many tenants: each is looked at when it changes, and all of them in turns with others", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(ROLLOUTS_BUCKET);
  const canaries = new Map<string, CanaryState>();
  const none = new Comparisons();
  let asked = 0;
  let in_turn = 0;
  let most = 0;
  const tallies = (tenant_id: string) => {
    asked++;
    if (in_turn++ === 0) {
      setImmediate(() => {
        most = Math.max(most, in_turn);
        in_turn = 0;
      });
    }
    return none.tallies(tenant_id);
  };
  const registry = {
    setCanary(tenant_id: string, canary: Canary | undefined) {
      if (canary === undefined) canaries.delete(tenant_id);
      else canaries.set(tenant_id, { id: canary.id, stage: canary.stage });
    },
    canaryOf: (tenant_id: string) => canaries.get(tenant_id),
    comparisons: Object.assign(Object.create(none), { tallies }),
  };
  const applies = { apply: assert.fail, read: assert.fail };
  const rollouts = await openRollouts({
    spine: engine.spine,
    registry,
    applies,
    log: keptLog().log,
    node_id: "s1",
    now: () => SPINE_NOW_MS,
  });
  for (let at = 0; at < TENANTS; at++) await bucket.put([`t${at}`], encodeRollout(STARTED));
  const reportOf = async (at: number) => {
    const entry = await bucket.get([`t${at}`, "s1"]);
    const decoded = entry && decodeReport(entry.value);
    return decoded !== undefined && "value" in decoded ? decoded.value.id : undefined;
  };
  await until("the last one is reported", async () => await reportOf(TENANTS - 1) === STARTED.id);
  assert.equal(await reportOf(0), STARTED.id);
  // Each once as it came, and some ticks.
  assert(asked < TENANTS * 50, `${asked} looks`);
  [most, asked] = [0, 0];
  await until("a tick", () => asked >= TENANTS);
  assert(most < TENANTS, `${most} looks in one turn`);
  rollouts.close();
});

// A rollout in the admin API while Shields die and Brains are unreachable. On an embedded Spine.

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
