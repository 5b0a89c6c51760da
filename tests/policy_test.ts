/**
 * Policies on a running bus: a refusal at the upgrade, their logs, and a command that they mask. A policy that fails on
 * one user's messages is not disabled for the others: the sender is throttled, then closed.
 * `arq/commands/policy/policy_test.ts` covers deploying, observing and rolling back; the gates `policy` and `schema` of
 * `tests/model` cover refused messages. Also a bus whose schemas are switched off.
 */
import assert from "node:assert/strict";
import { BAD_PING } from "../shield/schema/testing/schemas.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { enforce, policyAdmin } from "./peers/policy_admin.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";
import { logged, sampleAt } from "./harness/server_state.ts";

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

const TENANT = "acme";
const GOOD_USERS = 10;
/** Traps when the text of the payload begins with "b". */
const TRAPS_ON_B = guest({
  hook: `(if (i32.eq (i32.load8_u (i32.add (call $get_payload) (i32.const 5))) (i32.const 98))
    (then unreachable)) (i32.const 0)`,
});
const TRAPS = guest({ hook: "unreachable" });
/** Traps when the upgrade has the header `x-bad`. */
const TRAPS_AT_CONNECT = guest({
  hook: "i32.const 0",
  more: `(data (i32.const 64) "x-bad")
    (func (export "arqon_on_connect") (result i32)
      (if (call $get_header (i32.const 64) (i32.const 5)) (then unreachable)) (i32.const 0))`,
});

const deploy = (bus: TestBus, bytes: Uint8Array<ArrayBuffer>, more: object = {}) =>
  enforce(bus, bytes, { tenant: TENANT, name: "word", ...more });

async function open(bus: TestBus, user: string): Promise<RawClient> {
  return await openText(bus.url, await bus.tokenFor({ tenant: TENANT, user }));
}

async function send(client: RawClient, room: string, data: string, count = 1) {
  for (let id = 1; id <= count; id++) client.send({ op: "pub", room, data, id });
  const answers = [];
  for (let id = 1; id <= count; id++) answers.push(await client.json());
  return answers;
}

Deno.test("one user's messages that make a policy fail slow this user and nobody else", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  await deploy(bus, TRAPS_ON_B);
  const users = Array.from({ length: GOOD_USERS }, (_, at) => `u${at}`);
  const clients = await Promise.all(users.map((user) => open(bus, user)));
  const bad = await open(bus, "bad");
  const answers: { code: number; reason?: string; retry_after_ms?: number }[] = [];
  for (let round = 0; round < 4; round++) {
    // The first ones run in parallel: that many failures cause a pause longer than any slow machine takes.
    answers.push(...await send(bad, "bad", "bad", round === 0 ? 16 : 6));
    for (const [at, client] of clients.entries()) {
      const [answer] = await send(client, `room-${at}`, "good");
      assert.equal(answer.code, 0, `round ${round}, user ${at}: ${JSON.stringify(answer)}`);
    }
  }
  assert.deepEqual(answers[0]?.code, 503);
  const last = answers.at(-1)!;
  assert.deepEqual([last.code, last.reason], [429, "policy-fault"]);
  assert.ok(last.retry_after_ms! > 1_000, JSON.stringify(last));
  const { policies } = await (await policyAdmin(bus)).status();
  assert.deepEqual(policies["open_breakers"], []);
  assert.equal(await sampleAt(bus.ops_url, "shield_policy_failing_senders"), 1);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ tenant: TENANT, user: "bad" }));
  const posted = await peer.call("POST", "rooms/lobby/messages", { data: "good" });
  assert.deepEqual([posted.status, posted.body.reason], [429, "policy-fault"]);
  assert.ok(Number(posted.headers.get("retry-after")) >= 1);
  // Another connection of the same user is the same sender.
  const again = await open(bus, "bad");
  assert.deepEqual((await send(again, "elsewhere", "good"))[0].code, 429);
  for (let id = 1; id <= 64; id++) bad.send({ op: "pub", room: "bad", data: "bad", id });
  assert.equal((await bad.closed()).code, 4429);
  for (const client of [...clients, again]) client[Symbol.dispose]();
});

Deno.test("one user's requests that make a policy fail at connecting exclude no other user", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  await deploy(bus, TRAPS_AT_CONNECT, { hooks: ["on_connect"] });
  const token = await bus.tokenFor({ tenant: TENANT, user: "bad" });
  const codes: string[] = [];
  const ask = () => refusedUpgrade(bus.http_url, { token, headers: ["x-bad: 1"] });
  // On a slow machine a pause may be over before the next request arrives, but each one is twice as long.
  while (codes.at(-1) !== "429" && codes.length < 12) codes.push((await ask())[0]);
  assert.deepEqual(codes.slice(0, 3), ["503", "503", "503"]);
  assert.equal(codes.at(-1), "429");
  (await open(bus, "good"))[Symbol.dispose]();
});

Deno.test("a policy that fails for one user after the other is cut off", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  await deploy(bus, TRAPS);
  const codes = [];
  for (const user of ["ann", "bob", "eve", "joe", "kim"]) {
    using client = await open(bus, user);
    codes.push((await send(client, "r", "good"))[0].code);
  }
  assert.deepEqual(codes, [503, 503, 503, 503, 503]);
  const { policies } = await (await policyAdmin(bus)).status();
  assert.equal((policies["open_breakers"] as unknown[]).length, 1);
});
