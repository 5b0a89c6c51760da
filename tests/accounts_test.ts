/**
 * Every capability over NATS, with exactly the accounts that we ship: neither nats-server nor a Shield or Brain reports
 * a missing permission. A missing one may show nowhere else: the feature that needs it works late or never.
 */
import assert from "node:assert/strict";
import { CAPABILITIES } from "./accounts/capabilities.ts";
import { withAccounts } from "./accounts/world.ts";

const LACKED = /permissions? violation|ended a subscription|not allowed|denied/i;

Deno.test("the accounts that we ship are enough for everything", async (t) => {
  await withAccounts(async (world) => {
    assert.deepEqual(world.nats.violations, [], "at the start");
    for (const [name, use] of Object.entries(CAPABILITIES)) {
      await t.step(name, async () => {
        const before = world.nats.violations.length;
        await use(world);
        assert.deepEqual(world.nats.violations.slice(before), []);
      });
    }
    for (const process of [...world.shields, ...world.brains]) {
      assert.deepEqual(process.log().split("\n").filter((line) => LACKED.test(line)), []);
    }
    assert.deepEqual(world.nats.violations, []);
  });
});
