/** The rollouts of many tenants at one Shield. */
import assert from "node:assert/strict";
import { decodeReport, encodeRollout } from "../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../shared/records/buckets.ts";
import { rolloutOf } from "../../shared/rollout/testing/rollouts.ts";
import { until } from "../../shared/testing/until.ts";
import type { Canary, CanaryState } from "../policy/chain/canary.ts";
import { Comparisons } from "../policy/chain/comparisons.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { openRollouts } from "./rollouts.ts";

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
