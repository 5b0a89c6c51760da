/**
 * A slow policy holds a connection's messages: so many of them and so many bytes wait, what is more
 * is refused, and other connections go on meanwhile.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const HELD = 16;
const CONFIG = `
[limits]
pending_operations = ${HELD}
pending_bytes = 65_536
[policy]
workers = 1
stall_ms = 60_000
timeout_ms = 60_000
fuel_per_second = 1_000_000_000_000
[platform.overseer]
fuel_limit = 1_000_000
`;
/** Tens of milliseconds, and most of what fuel allows. */
const SLOW = `(local $left i32) (local.set $left (i32.const 80000000))
  (loop (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (i32.const 0)`;

async function slowDown(bus: TestBus, tenant: string): Promise<void> {
  const admin = await policyAdmin(bus);
  const { status, body } = await admin.upload(guest({ hook: SLOW }));
  assert.equal(status, 200, JSON.stringify(body));
  const deployed = await admin.post("deploy", { sha256: body["sha256"], tenant, name: "slow" });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
}

interface Answers {
  readonly taken: number[];
  readonly refused: number[];
}

/** Reads answers until there are so many, or the first refusal. */
async function read(client: RawClient, answers: Answers, until: () => boolean): Promise<Answers> {
  while (!until()) {
    const { id, code, reason, retry_after_ms } = await client.json();
    (code === 0 ? answers.taken : answers.refused).push(id);
    if (code !== 0) {
      assert.deepEqual([code, reason, retry_after_ms], [429, "too-many-pending", 100]);
    }
  }
  return answers;
}

async function operations(bus: TestBus): Promise<void> {
  using slow = await openText(bus.url, await bus.tokenFor({ tenant: "slow" }));
  using other = await openText(bus.url, await bus.tokenFor({ tenant: "other" }));
  const count = 100;
  for (let id = 1; id <= count; id++) slow.send({ op: "pub", room: "r", data: id, id });
  const answers: Answers = { taken: [], refused: [] };
  await read(slow, answers, () => answers.refused.length > 0);
  for (let id = 1; id <= 20; id++) {
    other.send({ op: "pub", room: "r", data: id, id });
    assert.equal((await other.json()).code, 0);
  }
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_pending_operations [1-9]/m, "the other was done before");
  await read(slow, answers, () => answers.taken.length + answers.refused.length === count);
  assert.ok(answers.taken.length >= HELD, `${answers.taken.length} taken`);
  assert.deepEqual(answers.taken, answers.taken.toSorted((a, b) => a - b), "in their order");
}

async function bytes(bus: TestBus): Promise<void> {
  using slow = await openText(bus.url, await bus.tokenFor({ tenant: "slow" }));
  const data = "x".repeat(30_000);
  for (let id = 1; id <= 10; id++) slow.send({ op: "pub", room: "r", data, id });
  const answers: Answers = { taken: [], refused: [] };
  await read(slow, answers, () => answers.taken.length + answers.refused.length === 10);
  assert.deepEqual(answers.taken.slice(0, 2), [1, 2]);
  assert.ok(answers.refused.length > 0);
}

Deno.test("what waits while policies run is bounded, and others go on", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await slowDown(bus, "slow");
  await t.step("operations of one connection", () => operations(bus));
  await t.step("bytes of one connection", () => bytes(bus));
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_pending_operations 0$/m, "nothing is left");
});
