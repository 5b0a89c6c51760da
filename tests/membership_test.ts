/**
 * The journal of a room's members on a real bus: joins, leaves and reasons, read like any durable room, and its
 * authorization.
 */
import assert from "node:assert/strict";
import { seen, until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { send } from "./peers/own_connections.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { runArq } from "../arq/testing/run_arq.ts";

const CONFIG = `
[server]
drain_ms = 0
[[rooms]]
room = "stage-*"
membership = "journal"
`;

interface Line {
  readonly type: string;
  // deno-lint-ignore no-explicit-any -- the shape depends on the type
  readonly data: any;
}

async function journalOf(bus: TestBus, room: string): Promise<Line[]> {
  const reader = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "reader" }));
  const { status, body } = await reader.call("GET", `rooms/${room}~members/messages?limit=1000`);
  assert.equal(status, 200, JSON.stringify(body));
  return body.messages;
}

const words = ({ type, data }: Line) =>
  [data.sequence, type, data.user_id, data.cause, data.members].filter((one) => one !== undefined)
    .join(" ");

async function enter(bus: TestBus, user: string, room: string) {
  const client = await openText(bus.url, await bus.tokenFor({ user }));
  await ask(client, { op: "sub", room, presence: true });
  return client;
}

Deno.test("members that join and leave are in the journal, each once, with the cause", async () => {
  await using bus = await startLocalBus(CONFIG);
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const room = "stage-1";
  const has = (count: number) => async () => (await journalOf(bus, room)).length >= count;
  using ann = await enter(bus, "ann", room);
  await until("ann", has(2));
  using bob = await enter(bus, "bob", room);
  await until("bob", has(3));
  using cat = await enter(bus, "cat", room);
  await until("cat", has(4));
  using dan = await enter(bus, "dan", room);
  await until("dan", has(5));
  bob.send({ op: "unsub", room, id: 2 });
  await until("bob leaves", has(6));
  await service.done("POST", `rooms/${room}/kick`, { user_id: "cat" });
  await until("cat leaves", has(7));
  await service.done("POST", `rooms/${room}/bans`, { user_id: "dan" });
  await until("dan leaves", has(8));
  ann.socket.close(1000);
  await until("ann leaves", has(10));
  assert.deepEqual((await journalOf(bus, room)).map(words), [
    "1 joined ann 1",
    "2 occupied 1",
    "3 joined bob 2",
    "4 joined cat 3",
    "5 joined dan 4",
    "6 left bob unsubscribed 3",
    "7 left cat kicked 2",
    "8 left dan banned 1",
    "9 left ann closed 0",
    "10 vacated 0",
  ]);
  assert.ok(cat && dan);
});

Deno.test("the journal has the cause of an end that its room's grace time delays", async () => {
  await using bus = await startLocalBus(`${CONFIG}[presence]
grace = [{ room = "stage-long", grace_ms = 600_000 }, { room = "stage-*", grace_ms = 100 }]
`);
  const root = await bus.tokenFor({ role: "admin", user: "root" });
  const left = async (room: string) => {
    const isLeft = ({ type }: Line) => type === "left";
    const lines = await seen("it left", () => journalOf(bus, room), (all) => all.some(isLeft));
    return lines.filter(isLeft).map(({ data }) => `${data.user_id} ${data.cause}`);
  };
  using ann = await enter(bus, "ann", "stage-1");
  // As a browser does that leaves the page: without a code.
  ann.socket.close();
  assert.deepEqual(await left("stage-1"), ["ann closed"]);
  using bob = await enter(bus, "bob", "stage-2");
  const revoked = { tenant: "default", user: "bob" };
  const { status } = await send(`${bus.admin_url}/v1/revocations`, root, "POST", revoked);
  assert.equal(status, 200);
  assert.equal((await bob.closed()).code, 4401);
  assert.deepEqual(await left("stage-2"), ["bob token-ended"]);
  using cat = await enter(bus, "cat", "stage-long");
  cat.socket.close();
  await cat.closed();
  using again = await enter(bus, "cat", "stage-long");
  assert.deepEqual(await left("stage-long"), ["cat closed"], "it has taken its place");
  again.socket.close();
  await again.closed();
  const began_ms = performance.now();
  await bus.stop();
  assert.ok(performance.now() - began_ms < 10_000, "it waits for no grace time");
});

Deno.test("a member whose new token grants less has left by its token's end", async () => {
  await using bus = await startLocalBus(CONFIG);
  const room = "stage-1";
  const less = [{ room, actions: ["subscribe"] }];
  for (const [user, grants] of [["ann", []], ["bob", less]] as const) {
    using client = await enter(bus, user, room);
    const token = await bus.tokenFor({ user, claims: { grants } });
    await ask(client, { op: "refresh", token });
    const causes = await seen("it left", async () => {
      const left = (await journalOf(bus, room)).filter(({ type }) => type === "left");
      return left.map(({ data }) => `${data.user_id} ${data.cause}`);
    }, (all) => all.some((one) => one.startsWith(user)));
    assert.equal(causes.at(-1), `${user} token-ended`);
  }
});

Deno.test("a journal of members is read with the grants of its room, and clients cannot write it", async () => {
  await using bus = await startLocalBus(CONFIG);
  const as = async (room: string, ...actions: string[]) =>
    new HttpPeer(bus.http_url, await bus.tokenFor({ claims: { grants: [{ room, actions }] } }));
  const path = "rooms/stage-1~members/messages";
  const may = await as("stage-1", "subscribe", "presence");
  assert.equal((await may.call("GET", path)).status, 200);
  for (
    const refused of [
      await as("stage-1", "subscribe"),
      await as("stage-1", "presence"),
      await as("stage-1~members", "subscribe", "presence"),
    ]
  ) {
    assert.equal((await refused.call("GET", path)).body.reason, "not-granted");
  }
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const sent = await service.call("POST", path, { type: "joined", data: {} });
  assert.deepEqual([sent.status, sent.body.reason], [403, "not-granted"]);
  const set = await service.call("PUT", "streams/stage-1~members");
  assert.equal(set.status, 403);
});

Deno.test("a user who is banned from a room, or kicked, does not receive its joins and leaves", async () => {
  await using bus = await startLocalBus(CONFIG);
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const token = await bus.tokenFor({ user: "eve" });
  const eve = new HttpPeer(bus.http_url, token);
  const own = "stage-1~members";
  using socket = await openText(bus.url, token);
  const sub = async () => {
    socket.send({ op: "sub", room: own, id: 1 });
    return await socket.json();
  };
  for (const [order, kind] of [["kick", "DISCONNECT"], ["bans", "BAN"]]) {
    assert.equal((await sub()).code, 0);
    await service.done("POST", `rooms/stage-1/${order}`, { user_id: "eve" });
    assert.deepEqual((await socket.json()).signal, { kind, target: own });
  }
  assert.equal((await sub()).reason, "room-banned");
  assert.equal((await eve.call("GET", `rooms/${own}/messages`)).body.reason, "room-banned");
});

Deno.test("arq shows the members at that time", async () => {
  await using bus = await startLocalBus(CONFIG);
  const to = ["--url", bus.url, "--token", bus.token];
  const at = (time: string, ...more: string[]) =>
    runArq(["room", "members", "stage-1", "--at", time, ...more, ...to]);
  using ann = await enter(bus, "ann", "stage-1");
  await until("ann", async () => (await journalOf(bus, "stage-1")).length === 2);
  using bob = await enter(bus, "bob", "stage-1");
  await until("bob", async () => (await journalOf(bus, "stage-1")).length === 3);
  ann.send({ op: "unsub", room: "stage-1", id: 2 });
  await until("ann leaves", async () => (await journalOf(bus, "stage-1")).length === 4);
  const entries = await journalOf(bus, "stage-1");
  const after = (index: number) => new Date(entries[index]?.data.at_ms).toISOString();
  const both = await at(after(2));
  assert.deepEqual([both.code, both.stdout.split("\n").length], [0, 3], both.stderr);
  assert.match(both.stderr, /stage-1 at 20.*Z: 2 connections of 2 users/);
  const now = await at(after(3), "--json");
  assert.equal(JSON.parse(now.stdout).user_id, "bob", now.stderr);
  assert.equal((await at(after(3), "--count")).stdout, "1 connection of 1 user\n");
  const before = await at("2020-01-01");
  assert.equal(before.code, 1);
  assert.match(before.stderr, /does not reach back so far: it begins at 20/);
  const wrong = await at("25:00");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /14:05|Expected a day or a time/);
  const none = await runArq(["room", "members", "lobby", "--at", "2020-01-01", ...to]);
  assert.notEqual(none.code, 0);
  assert.match(none.stderr, /lobby/);
  assert.ok(bob);
});
