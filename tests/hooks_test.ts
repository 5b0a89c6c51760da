/**
 * A tenant's own hooks over the admin API of an embedded bus. The focus `members` of `walks/` covers members;
 * `brain/hooks/` and the focus `hook` cover kills; `alerts_faults_test.ts` covers a receiver that is down.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { hookTables, numbersOf, Receiver, SECRET } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";

Deno.test("members that join and leave are notified, each once, with the cause", async () => {
  await using receiver = new Receiver();
  const config =
    `[server]\nhost = "127.0.0.1"\nport = 0\ndrain_ms = 0\n[ops]\nhost = "127.0.0.1"\n`;
  await using bus = await startLocalBus(config + hookTables(receiver.url));
  const client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  await ask(client, { op: "sub", room: "o-1", presence: true });
  const types = () => receiver.taken.map(({ body }) => body.type);
  await until("ann", () => types().length === 2);
  // Without a code, as libraries close their sockets.
  client.socket.close();
  await until("ann leaves", () => types().length === 4);
  assert.deepEqual(types(), ["member.joined", "room.occupied", "member.left", "room.vacated"]);
  const [joined, , left] = receiver.taken.map(({ body }) => body.data);
  assert.deepEqual([joined.room, joined.change.user_id], ["o-1", "ann"]);
  assert.deepEqual([left.change.user_id, left.change.cause], ["ann", "closed"]);
});

Deno.test("a tenant's own hook is set, called, paused, has dead letters called for again, and is removed", async () => {
  await using receiver = new Receiver();
  const config =
    `[admin]\noperator_tenants = ["*"]\n[webhooks]\ntenant_private_hosts = ["127.0.0.1"]\ntenant_hooks = 1\n` +
    `[[rooms]]\nroom = "o-*"\ndurable = true\n`;
  await using bus = await startLocalBus(config);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  const path = "tenants/default/hooks";
  const put = async (id: string, body: object) => await admin.call("PUT", `${path}/${id}`, body);
  const quick = { url: receiver.url, room: "o-*", retries: 0 };
  const made = await put("own", { ...quick });
  assert.match(made.body.hook.secret, /^whsec_/);
  const given = await put("own", { ...quick, secret: SECRET });
  assert.equal(given.status, 200, JSON.stringify(given.body));
  assert.equal(given.body.hook.secret, undefined);
  const show = async () => (await admin.call("GET", `${path}/own`)).body;
  assert.doesNotMatch(JSON.stringify(await show()), /whsec_/);
  await until("a Brain has it", async () => (await show()).hook.since !== null);
  for (const bad of [{ url: "ftp://x" }, { ...quick, secret: "x" }, { ...quick, events: ["x"] }]) {
    assert.equal((await put("own", bad)).body.reason, "invalid-settings");
  }
  assert.equal((await put("another", quick)).body.reason, "settings-conflict");
  const publish = async (n: number) =>
    assert.equal(
      (await client.call("POST", "rooms/o-1/messages", { type: "t", data: { n } })).status,
      200,
    );
  await publish(0);
  await until("it arrives", () => receiver.taken.length === 1);
  const order = async (word: string) => {
    const { status, body } = await admin.call("POST", `${path}/own/${word}`);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  assert.equal((await order("test")).status, 204);
  assert.equal(receiver.taken.at(-1)?.body.type, "hook.test");
  assert.equal((await order("pause")).hook.state, "paused");
  receiver.answer = ({ body }) =>
    body.data.message?.data.n === 1 ? new Response(null, { status: 500 }) : undefined;
  await publish(1);
  await publish(2);
  assert.equal((await order("resume")).hook.state, "on");
  const numbers = () => numbersOf(receiver)["o-1"];
  await until("the last", () => numbers()?.at(-1) === 2);
  const { dead, rooms } = await show();
  assert.deepEqual(dead.map(({ room, problem }: Record<string, string>) => [room, problem]), [
    ["o-1", "answered 500"],
  ]);
  assert.equal(rooms[0].room, "o-1");
  receiver.answer = () => undefined;
  await order("replay");
  await until(
    "none is left",
    async () => (await show()).hook.state === "on" && (await show()).dead.length === 0,
  );
  assert.deepEqual(numbers()?.toSorted(), [0, 1, 2]);
  assert.equal((await admin.call("DELETE", `${path}/own`)).body.removed, 1);
  assert.equal((await admin.call("GET", `${path}/own`)).body.reason, "not-found");
  const calls = receiver.calls.length;
  await publish(3);
  // A hook that is set again begins at the end, and gets the next message.
  await put("own", { ...quick, secret: SECRET });
  await until("a Brain has it", async () => (await show()).hook.since !== null);
  await publish(4);
  await until("it arrives", () => numbers()?.at(-1) === 4);
  assert.equal(receiver.calls.length, calls + 1);
  assert.deepEqual(receiver.problems, []);
});

Deno.test("what the operator's hooks may call, a tenant's may not", async () => {
  await using receiver = new Receiver();
  const config = `[admin]\noperator_tenants = ["*"]\n`;
  await using bus = await startLocalBus(config + hookTables(receiver.url));
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  const path = "tenants/default/hooks";
  const body = { url: receiver.url.replace("http:", "https:"), room: "o-*", retries: 0 };
  assert.equal((await admin.call("PUT", `${path}/own`, body)).status, 200);
  const tested = await admin.call("POST", `${path}/own/test`);
  assert.match(tested.body.problem, /127\.0\.0\.1 is not a public address/);
  const show = async () => (await admin.call("GET", `${path}/own`)).body;
  await until("a Brain has it", async () => (await show()).hook.since !== null);
  await client.call("POST", "rooms/o-1/messages", { type: "t", data: { n: 1 } });
  await until("it is given up", async () => (await show()).hook.dead === 1);
  assert.match((await show()).dead[0].problem, /not a public address/);
  await until("the operator's is called", () => receiver.taken.length === 1);
  // The configuration's hooks cannot be changed, but they can be paused and tested.
  assert.equal((await admin.call("PUT", `${path}/h`, body)).body.reason, "settings-conflict");
  assert.equal((await admin.call("DELETE", `${path}/h`)).body.reason, "settings-conflict");
  assert.equal((await admin.call("POST", `${path}/h/test`)).body.status, 204);
});

Deno.test("a client of the bus continues where a call was, in the room and in its journal of members", async () => {
  await using receiver = new Receiver();
  await using bus = await startLocalBus(hookTables(receiver.url));
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  await ask(client, { op: "sub", room: "o-1", presence: true });
  for (const n of [1, 2]) client.send({ op: "pub", room: "o-1", type: "t", data: { n } });
  await until("all", () => receiver.taken.length === 4);
  const callOf = (type: string) => receiver.taken.find(({ body }) => body.type === type)!.body.data;
  const from = async (room: string, { offset, epoch }: { offset: number; epoch: string }) => {
    using reader = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
    reader.send({ op: "sub", room, id: 1, after_offset: offset, epoch });
    const { result } = await reader.json();
    const { type, data } = await reader.json();
    return [result.recovered, type, data.n ?? data.members];
  };
  assert.deepEqual(await from("o-1", callOf("room.message")), [true, "t", 2]);
  assert.deepEqual(await from("o-1~members", callOf("member.joined")), [true, "occupied", 1]);
});
