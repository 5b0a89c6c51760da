/**
 * Policies that replace payloads, on a running bus: what subscribers, a room's log and the next policy get,
 * and what is refused.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { type PolicyAdmin, policyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";

const MASK = new URL("../policies/build/mask_digits.wasm", import.meta.url);

async function deploy(admin: PolicyAdmin, bytes: Uint8Array<ArrayBuffer>, binding: object) {
  const uploaded = await admin.upload(bytes);
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  const deployed = await admin.post("deploy", { sha256: uploaded.body["sha256"], ...binding });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
}

const client = async (bus: TestBus, tenant: string) =>
  await openText(bus.url, await bus.tokenFor({ tenant }));

async function masked(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "masked";
  await deploy(admin, await Deno.readFile(MASK), { tenant, name: "mask", order: 1 });
  // Refuses what has a "7" in its fifth byte, which the mask before it takes away.
  const check = guest({
    hook: `(i32.eq (i32.load8_u offset=8 (call $get_payload)) (i32.const 55))`,
  });
  await deploy(admin, check, { tenant, name: "check", order: 2 });
  using watcher = await client(bus, tenant);
  using sender = await client(bus, tenant);
  watcher.send({ op: "sub", room: "kept", id: 1 });
  await watcher.json();
  const message_id = crypto.randomUUID();
  const event = { op: "pub", room: "kept", type: "chat", message_id, id: 2 };
  for (let time = 0; time < 2; time++) {
    sender.send({ ...event, data: "abc7 4111 1111" });
    assert.equal((await sender.json()).code, 0, "also when it is repeated");
  }
  sender.send({ ...event, message_id: crypto.randomUUID(), data: "no digits" });
  assert.equal((await sender.json()).code, 0);
  const heard = [await watcher.json(), await watcher.json()];
  assert.deepEqual(heard.map(({ data }) => data), ["abc* **** ****", "no digits"]);
  const marks = heard.map(({ headers }) => headers["x-arqon-replaced"]);
  assert.deepEqual(marks, ["mask", undefined]);
  const listed = await fetch(`${bus.admin_url}/v1/policies?tenant=${tenant}`, {
    headers: { authorization: `Bearer ${await bus.tokenFor({ role: "admin" })}` },
  });
  const { policies } = await listed.json();
  const stateful = policies.map((one: Record<string, unknown>) => [one["name"], one["stateful"]]);
  assert.deepEqual(stateful, [["mask", false], ["check", true]]);
  const token = await bus.tokenFor({ tenant });
  const answer = await fetch(`${bus.http_url}/v1/rooms/kept/messages`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  assert.ok(text.includes("abc* **** ****") && !text.includes("4111"), text);
}

async function tooLarge(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "larger";
  const hook = "(call $set_payload (i32.const 0) (i32.const 300000)) (i32.const 0)";
  await deploy(admin, guest({ hook, abi: 2, memory: "6" }), { tenant, name: "grow" });
  using sender = await client(bus, tenant);
  sender.send({ op: "pub", room: "r", data: "small", id: 1 });
  const refused = await sender.json();
  assert.deepEqual([refused.code, refused.reason], [413, "policy-fault"]);
}

async function commanded(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "commanded";
  await deploy(admin, await Deno.readFile(MASK), { tenant, name: "mask" });
  using sender = await client(bus, tenant);
  sender.send({
    op: "cmd",
    room: "r",
    name: "room.set",
    data: { key: "a", value: "a 1 b" },
    id: 1,
  });
  const set = await sender.json();
  assert.equal(set.code, 0, JSON.stringify(set));
  sender.send({ op: "cmd", room: "r", name: "room.get", data: { key: "a" }, id: 2 });
  assert.ok(JSON.stringify(await sender.json()).includes("a * b"));
}

Deno.test("policies that replace payloads on a running bus", async (t) => {
  await using bus = await startLocalBus(
    `[[rooms]]\nroom = "kept*"\ndurable = true\n${PATIENT_POLICIES}`,
  );
  await t.step(
    "subscribers, the log and the next policy have only the new payload",
    () => masked(bus),
  );
  await t.step("one that is too large is refused with 413", () => tooLarge(bus));
  await t.step("a command is masked like an event", () => commanded(bus));
});
