/**
 * Policies on a running bus: a refusal at the upgrade, their logs, and a command that they mask.
 * `arq/commands/policy/policy_test.ts` covers deploying, observing and rolling back; the gates `policy` and `schema` of
 * `tests/model` cover refused messages. Also a bus whose schemas are switched off.
 */
import assert from "node:assert/strict";
import { BAD_PING } from "../shield/schema/testing/schemas.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { enforce } from "./peers/policy_admin.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";
import { logged } from "./harness/server_state.ts";

async function blockedAtConnect(bus: TestBus): Promise<void> {
  const tenant = "gated";
  await enforce(bus, "block_header", { tenant, name: "gate", hooks: ["on_connect"] });
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
  const tenant = "logging";
  const call = "(call $log (i32.const 1) (i32.const 16) (i32.const 9)) (i32.const 0)";
  const module = guest({ hook: call, more: '(data (i32.const 16) "all is ok")' });
  await enforce(bus, module, { tenant, name: "auth_policy" });
  const headers = { authorization: `Bearer ${await bus.tokenFor({ role: "admin" })}` };
  const stream = await fetch(`${bus.admin_url}/v1/policies/logs?tenant=${tenant}`, { headers });
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
  await reader?.read();
  const client = await openText(bus.url, await bus.tokenFor({ tenant }));
  await ask(client, { op: "pub", room: "r", data: 1 });
  const line = JSON.parse((await reader?.read())?.value ?? "");
  assert.deepEqual([line.policy, line.level, line.message], ["auth_policy", "info", "all is ok"]);
  await reader?.cancel();
  await logged(
    bus,
    /level=info component=overseer module=auth_policy tenant_id=logging msg="all is ok"/,
  );
  client[Symbol.dispose]();
}

/**
 * A command gets a new payload as an event does; the model's gate `replace` covers an event's subscribers, log and next
 * policy.
 */
async function commanded(bus: TestBus): Promise<void> {
  const tenant = "commanded";
  await enforce(bus, "mask_digits", { tenant, name: "mask" });
  using sender = await openText(bus.url, await bus.tokenFor({ tenant }));
  const data = { key: "a", value: "a 1 b" };
  sender.send({ op: "cmd", room: "r", name: "room.set", data, id: 1 });
  const set = await sender.json();
  assert.equal(set.code, 0, JSON.stringify(set));
  sender.send({ op: "cmd", room: "r", name: "room.get", data: { key: "a" }, id: 2 });
  assert.ok(JSON.stringify(await sender.json()).includes("a * b"));
}

Deno.test("policies on a running bus", async (t) => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  await t.step("X-Block-Me at connect is HTTP 403", () => blockedAtConnect(bus));
  await t.step("a fixture policy that calls host_log is logged", () => logging(bus));
  await t.step("a command is masked like an event", () => commanded(bus));
});

Deno.test("with the registry switched off nothing is checked and its admin paths are not there", async () => {
  await using bus = await startLocalBus(`
[server]
drain_ms = 0
[platform.registry]
enabled = false
[[platform.registry.mappings]]
subject = "in.t.*.r.pings-*"
schema_id = "ping"
message = "t.Ping"
`);
  using client = await openText(bus.url, bus.token);
  const data = BAD_PING.toBase64();
  const content_type = "application/protobuf";
  await ask(client, { op: "pub", room: "pings-1", data: { base64: data }, content_type });
  assert.equal((await (await schemaAdmin(bus)).get("schemas")).status, 404);
  await logged(bus, /part=registry msg="disabled by the configuration: skipped"/);
});
