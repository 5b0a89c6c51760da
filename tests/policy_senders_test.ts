/**
 * A policy that fails on one user's messages is not disabled for the others: the sender is throttled, then closed. A
 * failure for everybody still disables it.
 */
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { enforce, policyAdmin } from "./peers/policy_admin.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { HttpPeer } from "./peers/http_peer.ts";

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
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_policy_failing_senders(\{.*\})? 1$/m);
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
