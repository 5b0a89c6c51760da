/** The reported message sizes of stock policies, compared with their verdicts on messages of that length. */
import assert from "node:assert/strict";
import { readPolicy, startPolicy } from "../../policies/testing/guest_host.ts";
import { configFrom } from "../../shared/config/load.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import { trialCalls } from "./policy_trial.ts";

const clocks = { now: () => 0, monotonic_ms: () => performance.now() };

async function sizesOf(bytes: Uint8Array) {
  const metered = meterPolicy(bytes, { memory_limit_pages: 64 });
  const { failing, message_sizes } = await trialCalls(metered, configFrom({}), clocks);
  assert.deepEqual(failing, []);
  assert.ok(message_sizes !== undefined);
  return message_sizes;
}

Deno.test("a policy whose cost grows with the message is reported with the length at which it fails", async () => {
  const bytes = await readPolicy("bad_words");
  const { limit_bytes, refused: [worst, ...others] } = await sizesOf(bytes);
  assert.equal(limit_bytes, 262_144);
  assert.match(worst!.content, /ﷺ/);
  assert.ok(others.every((one) => one.bytes >= worst!.bytes));
  const faultAt = (size_bytes: number) =>
    startPolicy(bytes)({ payload: "ﷺ".repeat(Math.floor(size_bytes / 3)) }).fault;
  assert.deepEqual([faultAt(worst!.bytes), faultAt(worst!.bytes * 1.1)], [undefined, "fuel"]);
});

Deno.test("a policy that does not read the message's text accepts every length within the limits", async () => {
  assert.deepEqual((await sizesOf(await readPolicy("content_size"))).refused, []);
});

Deno.test("a message that the policy refuses for its length does not count as a failure", async () => {
  const { refused } = await sizesOf(await readPolicy("rate_limit"));
  assert.deepEqual(refused, []);
});
