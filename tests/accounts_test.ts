/**
 * Every capability that goes over NATS, with exactly the accounts that we ship for it: neither nats-server nor a Shield
 * or Brain says that a right was lacking. A right that is missing may show in nothing else: what needs it goes on
 * without, later or never.
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
