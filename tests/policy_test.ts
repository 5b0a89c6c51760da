/**
 * Policies live on a running bus: deployed through the admin API, enforced without a disconnect,
 * observed, rolled back; refusals as a client sees them.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import type { PolicyAdmin } from "./peers/policy_admin.ts";
import { openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { logged } from "./harness/server_state.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

async function deploy(admin: PolicyAdmin, file: string, binding: object): Promise<void> {
  const uploaded = await admin.upload(await Deno.readFile(`${ROOT}/policies/build/${file}`));
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  const deployed = await admin.post("deploy", { sha256: uploaded.body["sha256"], ...binding });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const here = deployed.body["here"] as { state: string };
  assert.equal(here.state, "active", JSON.stringify(deployed.body));
}

async function badWords(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const client = await openText(bus.url, bus.token);
  const watcher = await openText(bus.url, bus.token);
  watcher.send({ op: "sub", room: "lobby", id: 1 });
  await watcher.json();
  const send = async (text: string) => {
    client.send({ op: "pub", room: "lobby", type: "chat", data: { text }, id: 9 });
    return await client.json();
  };
  assert.equal((await send("about malware")).code, 0, "nothing is deployed yet");
  await watcher.json();
  await deploy(admin, "bad_words.wasm", { tenant: "default", name: "words" });
  const refused = await send("some MALWARE here");
  assert.equal(refused.code, 403);
  assert.equal(refused.reason, "policy-rejected");
  assert.match(refused.message, /^Message blocked by policy(: .+)?$/);
  assert.equal((await send("all is well")).code, 0);
  assert.deepEqual((await watcher.json()).data, { text: "all is well" });
  const other = await openText(bus.url, await bus.tokenFor({ tenant: "acme" }));
  other.send({ op: "pub", room: "lobby", data: "malware", id: 1 });
  assert.equal((await other.json()).code, 0, "another tenant has no policy");
  const posted = await fetch(`${bus.http_url}/v1/rooms/lobby/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${bus.token}`, "content-type": "application/json" },
    body: '{"data":"malware"}',
  });
  assert.equal(posted.status, 403);
  assert.equal((await posted.json()).reason, "policy-rejected");
  const back = await admin.post("rollback", { tenant: "default" });
  assert.equal(back.status, 200, JSON.stringify(back.body));
  assert.equal((await send("malware again")).code, 0, "rolled back");
  for (const one of [client, watcher, other]) one[Symbol.dispose]();
}

async function observed(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "observed";
  await deploy(admin, "bad_words.wasm", { tenant, name: "words", mode: "observe" });
  const client = await openText(bus.url, await bus.tokenFor({ tenant }));
  client.send({ op: "pub", room: "r", data: "malware", id: 1 });
  assert.equal((await client.json()).code, 0, "observe never blocks");
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /shield_wasm_fuel_consumed_total\{[^}]*\} [1-9]/);
  assert.match(metrics, /policy_execution_duration_count(\{[^}]*\})? [1-9]/);
  client[Symbol.dispose]();
}

async function blockedAtConnect(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "gated";
  await deploy(admin, "block_header.wasm", { tenant, name: "gate", hooks: ["on_connect"] });
  const token = await bus.tokenFor({ tenant });
  const blocked = new RawClient(bus.url, { token, headers: { "X-Block-Me": "1" } });
  await assert.rejects(blocked.frame());
  const headers = ["X-Block-Me: 1"];
  const refusal = await refusedUpgrade(bus.http_url, { token, headers });
  assert.deepEqual(refusal, ["403", "policy-rejected"]);
  const free = new RawClient(bus.url, { token });
  assert.equal((await free.frame()).kind, "welcome");
  free[Symbol.dispose]();
}

/** The line of the contract, and the stream that `arq policy logs -f` reads. */
async function logging(bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const tenant = "logging";
  const call = "(call $log (i32.const 1) (i32.const 16) (i32.const 9)) (i32.const 0)";
  const uploaded = await admin.upload(
    guest({ hook: call, more: '(data (i32.const 16) "all is ok")' }),
  );
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  const { sha256 } = uploaded.body;
  const deployed = await admin.post("deploy", { sha256, tenant, name: "auth_policy" });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const headers = { authorization: `Bearer ${await bus.tokenFor({ role: "admin" })}` };
  const stream = await fetch(`${bus.admin_url}/v1/policies/logs?tenant=${tenant}`, { headers });
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
  await reader?.read();
  const client = await openText(bus.url, await bus.tokenFor({ tenant }));
  client.send({ op: "pub", room: "r", data: 1, id: 1 });
  assert.equal((await client.json()).code, 0);
  const line = JSON.parse((await reader?.read())?.value ?? "");
  assert.deepEqual([line.policy, line.level, line.message], ["auth_policy", "info", "all is ok"]);
  await reader?.cancel();
  await logged(
    bus,
    /level=info component=overseer module=auth_policy tenant_id=logging msg="all is ok"/,
  );
  client[Symbol.dispose]();
}

Deno.test("policies on a running bus", async (t) => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  await t.step(
    "bad words: deployed, enforced, rolled back, nobody disconnected",
    () => badWords(bus),
  );
  await t.step("observe counts and never blocks", () => observed(bus));
  await t.step("X-Block-Me at connect is HTTP 403", () => blockedAtConnect(bus));
  await t.step("a fixture policy that calls host_log is heard", () => logging(bus));
});
