/**
 * `POST /v1/messages` on a running bus: many messages and many rooms in one request, in order, each with
 * its own answer, through the same checks; and what is refused as a whole.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";
import { ping } from "../shield/schema/testing/schemas.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
batch_messages = 300
batch_bytes = 400_000
max_frame_bytes = 100_000
messages_per_second = 1_000
[auth]
require_signature = [{ role = "user", room = "signed" }]
[[rooms]]
room = "kept-*"
durable = true
history_size = 1_000
`;

interface Stage {
  readonly bus: TestBus;
  readonly peer: HttpPeer;
}

interface Ack {
  readonly id: number | string;
  readonly code: number;
  readonly reason?: string;
  readonly offset?: number;
}

const named = (acks: readonly Ack[]) =>
  acks.map(({ code, reason = "" }) => `${code} ${reason}`.trim());

async function ordered({ bus, peer }: Stage): Promise<void> {
  const rooms = ["one", "two", "kept-1"];
  const client = await openText(bus.url, bus.token);
  for (const [id, room] of rooms.entries()) {
    client.send({ op: "sub", room, id: id + 1 });
    assert.equal((await client.json()).code, 0);
  }
  const messages = Array.from({ length: 300 }, (_, n) => ({ room: rooms[n % 3], data: n, id: n }));
  const { status, body } = await peer.call("POST", "messages", { messages });
  assert.deepEqual([status, body.refused, body.results.length], [200, 0, 300]);
  assert.deepEqual(body.results.map(({ id }: Ack) => id), messages.map(({ id }) => id));
  const offsets = body.results.filter((_: Ack, n: number) => n % 3 === 2)
    .map(({ offset }: Ack) => offset);
  assert.deepEqual(offsets, offsets.toSorted((a: number, b: number) => a - b));
  assert.equal(new Set(offsets).size, 100);
  const heard = new Map<string, number[]>(rooms.map((room) => [room, []]));
  for (let index = 0; index < 300; index++) {
    const { room, data } = await client.json();
    heard.get(room)?.push(data);
  }
  for (const [at, room] of rooms.entries()) {
    assert.deepEqual(heard.get(room), Array.from({ length: 100 }, (_, n) => 3 * n + at), room);
  }
  client[Symbol.dispose]();
}

async function toRooms({ bus, peer }: Stage): Promise<void> {
  const client = await openText(bus.url, bus.token);
  for (const [id, room] of ["a", "b"].entries()) {
    client.send({ op: "sub", room, id: id + 1 });
    await client.json();
  }
  const text =
    '{"rooms":["a","b","no.room"],"type":"news","data":{"n": 9007199254740993},"message_id":"m1"}';
  for (let time = 0; time < 2; time++) {
    const { status, body } = await peer.call("POST", "messages", text);
    assert.deepEqual([status, body.refused], [200, 1]);
    assert.deepEqual(named(body.results), ["0", "0", "400 invalid-room"]);
  }
  for (const room of ["a", "b"]) {
    const frame = String(await client.raw());
    assert.match(
      frame,
      new RegExp(`"room":"${room}","type":"news","data":\\{"n": 9007199254740993\\}`),
    );
  }
  // The repetition has been dropped: the next that comes is another message.
  await peer.call("POST", "messages", { rooms: ["a"], type: "last" });
  assert.equal((await client.json()).type, "last");
  client[Symbol.dispose]();
}

/** Each kind of refusal beside messages that pass. */
async function partial({ bus, peer }: Stage): Promise<void> {
  const messages = [
    { room: "a", type: "ok", id: 1 },
    { room: "a.b", id: 2 },
    { room: "a", type: "SYSTEM_X", id: 3 },
    { room: "a", kind: "x", id: 4 },
    { type: "none", id: 5 },
    "text",
    { room: "a", data: "x".repeat(100_000), id: 7 },
    { room: "a", tenant_id: "other", id: 8 },
    { room: "signed", id: 9 },
    { room: "a", op: "cmd", id: 10 },
    { room: "a", type: "ok", id: "18446744073709551615" },
  ];
  const { status, body } = await peer.call("POST", "messages", { messages });
  assert.equal(status, 200);
  assert.deepEqual(named(body.results), [
    "0",
    "400 invalid-room",
    "403 reserved-type",
    "400 unknown-field",
    "400 invalid-room",
    "400 malformed-body",
    "413 too-large",
    "403 tenant-mismatch",
    "403 signature-required",
    "400 repeated-field",
    "0",
  ]);
  assert.equal(body.refused, 9);
  const ids = [1, 2, 3, 4, 5, 0, 0, 8, 9, 10, "18446744073709551615"];
  assert.deepEqual(body.results.map(({ id }: Ack) => id), ids);
  const grants = [{ room: "mine-*", actions: ["publish"] }];
  const narrow = new HttpPeer(bus.http_url, await bus.tokenFor({ claims: { grants } }));
  const both = await narrow.call("POST", "messages", { rooms: ["mine-1", "a"] });
  assert.deepEqual(named(both.body.results), ["0", "403 not-granted"]);
  const mod = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "mod", role: "service" }));
  await mod.done("POST", "rooms/barred/bans", { user_id: "dev" });
  const barred = await peer.call("POST", "messages", { rooms: ["barred", "a"] });
  assert.deepEqual(named(barred.body.results), ["403 room-banned", "0"]);
}

async function governed({ bus }: Stage): Promise<void> {
  const tenant = "governed";
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ tenant }));
  const file = new URL("../policies/build/bad_words.wasm", import.meta.url);
  const policies = await policyAdmin(bus);
  const { body: { sha256 } } = await policies.upload(await Deno.readFile(file));
  const deployed = await policies.post("deploy", { sha256, tenant, name: "words" });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const schemas = await schemaAdmin(bus);
  await schemas.push("pings", ping());
  const mapping = { subject: `in.t.${tenant}.r.pings`, schema_id: "pings", message: "t.Ping" };
  assert.equal((await schemas.map(tenant, mapping)).status, 200);
  const messages = [
    { room: "a", data: "all is well" },
    { room: "a", data: "some malware" },
    { room: "pings", data: { nothing: "like it" } },
    { room: "a", data: "all is well again" },
  ];
  const { body } = await peer.call("POST", "messages", { messages });
  const right = ["0", "403 policy-rejected", "400 schema-violation", "0"];
  assert.deepEqual(named(body.results), right);
}

async function wholes({ bus, peer }: Stage): Promise<void> {
  const many = (count: number) => ({
    messages: Array.from({ length: count }, () => ({ room: "a" })),
  });
  const cases: [body: unknown, refusal: string][] = [
    ["{", "400 malformed-body"],
    ["[]", "400 malformed-body"],
    [{}, "400 malformed-body"],
    [{ messages: [] }, "400 malformed-body"],
    [{ messages: {} }, "400 malformed-body"],
    [{ rooms: [] }, "400 malformed-body"],
    [{ rooms: ["a", 1] }, "400 malformed-body"],
    [{ rooms: ["a", "a"] }, "400 malformed-body"],
    [{ rooms: ["a"], messages: [{ room: "a" }] }, "400 unknown-field"],
    [{ messages: [{ room: "a" }], type: "x" }, "400 unknown-field"],
    [{ rooms: ["a"], room: "b" }, "400 unknown-field"],
    [{ rooms: ["a"], kind: "b" }, "400 unknown-field"],
    ['{"rooms":["a"],"rooms":["b"]}', "400 repeated-field"],
    [many(301), "413 too-large"],
    [{ rooms: ["a"], data: "x".repeat(400_000) }, "413 too-large"],
  ];
  for (const [body, refusal] of cases) {
    assert.equal(
      await peer.refused("POST", "messages", body),
      refusal,
      JSON.stringify(body).slice(0, 80),
    );
  }
  const typed = await peer.call("POST", "messages", "{}", { "content-type": "text/plain" });
  assert.deepEqual([typed.status, typed.body.reason], [415, "unsupported-media-type"]);
  assert.equal(await peer.refused("GET", "messages"), "405 method-not-allowed");
  assert.equal(await peer.refused("POST", "messages?x=1", many(1)), "400 unknown-field");
  const nobody = new HttpPeer(bus.http_url, "x.y.z");
  assert.equal(await nobody.refused("POST", "messages", many(1)), "401 token-malformed");
  const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(page, /shield_ingress_ops\{[^}]*op="http_batch"[^}]*\} [1-9]/);
  assert.match(page, /shield_rejects_total\{[^}]*reason="too-large"[^}]*\} [3-9]/);
}

/** Every message is one operation, so the burst of two thousand is used up by seven batches. */
async function rates({ bus }: Stage): Promise<void> {
  const token = await bus.tokenFor({ user: "fast" });
  const peer = new HttpPeer(bus.http_url, token);
  const messages = Array.from({ length: 300 }, () => ({ room: "fast", type: "x" }));
  const answers: Ack[] = [];
  const deadline_ms = Date.now() + 60_000;
  while (!answers.some(({ code }) => code === 429)) {
    assert.ok(Date.now() < deadline_ms, "it is never too fast");
    const all = Array.from({ length: 10 }, () => peer.call("POST", "messages", { messages }));
    for (const { status, body } of await Promise.all(all)) {
      assert.equal(status, 200);
      answers.push(...body.results);
    }
  }
  const refused = answers.filter(({ code }) => code !== 0);
  assert.deepEqual(new Set(named(refused)), new Set(["429 rate-limited"]));
  assert.ok(refused.every((ack) => (ack as { retry_after_ms?: number }).retry_after_ms! > 0));
}

Deno.test("messages in batches", async (t) => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES);
  const stage = { bus, peer: new HttpPeer(bus.http_url, bus.token) };
  await t.step("a room hears a batch in its order, a durable one too", () => ordered(stage));
  await t.step("one message for many rooms, and its repetition", () => toRooms(stage));
  await t.step("a message that is refused stops none behind it", () => partial(stage));
  await t.step("policies and schemas look at each", () => governed(stage));
  await t.step("what makes no sense as a whole does nothing", () => wholes(stage));
  await t.step("rates count each", () => rates(stage));
});
