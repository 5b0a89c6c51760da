/**
 * Patterns of rooms on the wire, on both engines: what is heard, in which order, and what ends it. On NATS
 * the listener and the publishers are at different Shields. The index is `shield/fanout/pattern_index_test.ts`.
 */
import assert from "node:assert/strict";
import { encodeSub } from "@arqon/proto";
import { until } from "../shared/testing/until.ts";
import { fromText } from "../wasm/testing/bytes.ts";
import { startBusWith } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { joinRooms as join, RoomListener } from "./peers/room_listener.ts";
import type { Place } from "./peers/room_listener.ts";
import { openBinary, openText } from "./peers/raw_client.ts";

const LIMITS = `
[limits]
patterns_per_tenant = 6
pattern_rooms_per_tenant = 8
`;
const ROOMS = `
[[rooms]]
room = "log-*"
durable = true
[[rooms]]
room = "quiet-*"
echo = false
`;

const grants = (...rooms: string[]) => ({
  grants: rooms.map((room) => ({ room, actions: ["subscribe", "publish"] })),
});

async function heard(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  using carl = await join(place, "carl", 0);
  await carl.sub("a-old");
  await ann.sub("a-*");
  await bob.pub("a-old", 1);
  assert.deepEqual(await ann.take(1), ["a-old 1"], "a room that was open");
  await bob.pub("a-new", 2);
  assert.deepEqual(await ann.take(1), ["a-new 2"], "the very first message of a room");
  await bob.pub("b-new", 3);
  for (const at of [1, 2, 3]) for (const room of ["a-x", "a-y"]) await bob.pub(room, at);
  const all = await ann.take(6);
  for (const room of ["a-x", "a-y"]) {
    assert.deepEqual(
      all.filter((one) => one.startsWith(room)),
      [1, 2, 3].map((n) => `${room} ${n}`),
    );
  }
  assert.deepEqual(await carl.take(1), ["a-old 1"]);
  await ann.sub("a-x");
  await ann.sub("a-x*");
  await bob.pub("a-x", 4);
  assert.deepEqual(await ann.take(1), ["a-x 4"]);
  assert.equal((await ann.ask({ op: "unsub", room: "a-x" })).code, 0);
  await bob.pub("a-x", 5);
  assert.deepEqual(await ann.take(1), ["a-x 5"], "one copy each, and the pattern goes on");
  assert.equal((await ann.ask({ op: "unsub", room: "a-y" })).reason, "not-subscribed");
  assert.equal((await ann.ask({ op: "unsub", room: "a-x*" })).code, 0);
  await bob.pub("a-x", 6);
  assert.deepEqual(await ann.take(1), ["a-x 6"]);
  assert.equal((await ann.ask({ op: "unsub", room: "a-*" })).code, 0);
  await bob.pub("a-x", 7);
  await ann.sub("c");
  await bob.pub("c", 8);
  assert.deepEqual(await ann.take(1), ["c 8"], "nothing of a pattern that has ended");
  assert.equal((await ann.ask({ op: "unsub", room: "a-*" })).reason, "not-subscribed");
}

async function refused(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0, grants("r-*", "one"));
  const reason = async (room: string, options = {}) =>
    (await ann.ask({ op: "sub", room, ...options })).reason;
  for (const room of ["*", "r*", "x-*", "one*", "o*"]) {
    assert.equal(await reason(room), "not-granted");
  }
  for (const room of ["**", "r-*-*", "*r", "r.*", "r *"]) {
    assert.equal(await reason(room), "invalid-room", room);
  }
  assert.equal(await reason("r-*", { presence: true }), "presence-disabled");
  assert.equal(await reason("r-*", { after_offset: 1 }), "not-durable");
  await ann.sub("r-*");
  await ann.sub("r-1-*");
  for (let at = 0; at < 4; at++) await ann.sub(`r-${at}${at}-*`);
  assert.equal(await reason("r-9-*"), "too-many-rooms");
  await ann.sub("r-*", { no_echo: true });
  using other = await join(place, "ann", 0, { tenant_id: "globex", tenant: "globex" });
  await other.sub("r-*");
  await other.pub("r-1", "of another tenant");
  assert.deepEqual(await other.take(1), ["r-1 of another tenant"]);
  await ann.pub("r-1", "no echo");
  using bob = await join(place, "bob", 1);
  await bob.pub("r-1", "of bob");
  assert.deepEqual(await ann.take(1), ["r-1 of bob"]);
  const { token } = { token: await place.tokenFor("ann", grants("r-1-*")) };
  assert.equal((await ann.ask({ op: "refresh", token })).code, 0);
  const ended = await ann.take(5);
  assert.equal(ended.length, 5);
  assert.ok(ended.includes("not-granted r-*"), ended.join());
  await bob.pub("r-1", "not granted any more");
  await bob.pub("r-1-a", "granted");
  assert.deepEqual(await ann.take(1), ["r-1-a granted"]);
}

async function echo(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  await ann.sub("*");
  await ann.pub("quiet-1", "own");
  await ann.pub("loud", "own");
  await bob.pub("quiet-1", "bob's");
  const all = await ann.take(2);
  assert.deepEqual(all.toSorted(), ["loud own", "quiet-1 bob's"]);
}

async function putOut(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  using root = await join(place, "root", 1, { role: "service" });
  const command = async (name: string, room: string) => {
    const data = { user_id: "ann", ...(name === "room.ban" ? { scope: "room" } : {}) };
    const answer = await root.ask({ op: "cmd", room, name, data });
    assert.equal(answer.code, 0, JSON.stringify(answer));
  };
  await ann.sub("k-*");
  await bob.pub("k-1", 1);
  await bob.pub("k-2", 1);
  await ann.take(2);
  await command("room.kick", "k-1");
  assert.deepEqual(await ann.take(1), ["DISCONNECT k-1"]);
  await bob.pub("k-1", 2);
  await command("room.ban", "k-2");
  assert.deepEqual(await ann.take(1), ["BAN k-2"]);
  await bob.pub("k-2", 2);
  await bob.pub("k-3", 2);
  assert.deepEqual(await ann.take(1), ["k-3 2"]);
  await ann.sub("k-*");
  await bob.pub("k-2", 3);
  await bob.pub("k-1", 3);
  assert.deepEqual(await ann.take(1), ["k-1 3"], "the kick is over with a SUB, the ban is not");
}

async function durable(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  await bob.pub("log-1", 1);
  await ann.sub("log-*");
  for (const at of [2, 3]) await bob.pub("log-1", at);
  while (ann.heard.length < 2) await ann.ask({ op: "unsub", room: "nothing" });
  assert.deepEqual(ann.heard.map(({ room, data, offset }) => [room, data, offset]), [
    ["log-1", 2, 2],
    ["log-1", 3, 3],
  ]);
}

/** A room's own subscription ends while its client has not all of the room yet: the pattern goes on there. */
async function behind(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  const count = 300;
  for (let at = 1; at <= count; at++) {
    bob.raw.send({ op: "pub", room: "log-2", type: "t", data: at });
  }
  await bob.pub("log-2", count + 1);
  await ann.sub("log-*");
  const { result } = await ann.ask({ op: "sub", room: "log-2" });
  await ann.ask({ op: "unsub", room: "log-2" });
  const { epoch } = result;
  ann.raw.send({ op: "sub", room: "log-2", after_offset: 1, epoch });
  assert.equal((await ann.ask({ op: "unsub", room: "log-2" })).code, 0);
  await bob.pub("log-2", "last");
  const all = await ann.take(count + 2);
  const expected = Array.from({ length: count + 1 }, (_, at) => `log-2 ${at + 1}`);
  assert.deepEqual(all, [...expected, "log-2 last"]);
}

async function letGo(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  await ann.sub("g-*");
  for (const turn of [1, 2, 3]) {
    for (let at = 0; at < 30; at++) await bob.pub(`g-${at}`, turn);
    const all = await ann.take(30);
    assert.deepEqual(all, Array.from({ length: 30 }, (_, at) => `g-${at} ${turn}`));
  }
  const metrics = await (await fetch(`${place.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_pattern_rooms(\{.*\})? 8$/m);
  assert.match(metrics, /^shield_patterns(\{.*\})? 1$/m);
}

async function binary({ urls, tokenFor }: Place): Promise<void> {
  using ann = await openBinary(urls[0], await tokenFor("ann"));
  using bob = new RoomListener(await openText(urls[1], await tokenFor("bob")));
  ann.send(encodeSub({ room_id: "bin-*", request_id: 1, batch: true }));
  assert.equal((await ann.frame()).kind, "ack");
  await bob.pub("bin-1", "x");
  const frame = await ann.frame();
  assert.ok(frame.kind === "msg");
  assert.equal(frame.envelope.room_id, "bin-1");
}

/** Refuses every SUB. */
const DOORMAN = `(module
  (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_on_subscribe") (result i32) (i32.const 1)))`;
/** Lets every SUB pass. */
const GREETER = DOORMAN.replace("(i32.const 1)))", "(i32.const 0)))");

async function policies(place: Place, bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const deploy = async (module: string, binding: object) => {
    const { status, body } = await admin.upload(fromText(module));
    assert.equal(status, 200, JSON.stringify(body));
    const policy = { tenant: "default", sha256: body.sha256, hooks: ["on_subscribe"], ...binding };
    assert.equal((await admin.post("deploy", policy)).status, 200);
  };
  await deploy(DOORMAN, { name: "secret", room: "p-secret*" });
  await deploy(GREETER, { name: "greeter", room: "p-*" });
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  const answer = await ann.ask({ op: "sub", room: "p-secret-*" });
  assert.deepEqual([answer.code, answer.reason], [403, "policy-rejected"], "of the pattern");
  await ann.sub("p-*");
  const rooms = Array.from({ length: 50 }, (_, at) => `p-${at}`);
  for (const turn of [1, 2]) {
    for (const room of rooms) bob.raw.send({ op: "pub", room, type: "t", data: turn });
  }
  await bob.pub("p-secret", "of a room");
  const all = await ann.take(100);
  for (const room of rooms) {
    const own = all.filter((one) => one.startsWith(`${room} `));
    assert.deepEqual(own, [`${room} 1`, `${room} 2`], "nothing is lost while policies think");
  }
  await bob.pub("p-secret", "again");
  await bob.pub("p-0", "last");
  assert.deepEqual(await ann.take(1), ["p-0 last"]);
  assert.equal((await admin.remove("default", "secret")).status, 200);
  await ann.sub("p-*");
  await bob.pub("p-secret", "asked again");
  assert.deepEqual(await ann.take(1), ["p-secret asked again"]);
  assert.equal((await admin.remove("default", "greeter")).status, 200);
}

async function seen(place: Place, bus: TestBus): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  await ann.sub("s-*", { no_echo: true });
  await bob.pub("s-1", 1);
  assert.deepEqual(await ann.take(1), ["s-1 1"]);
  const authorization = `Bearer ${await bus.tokenFor({ role: "admin", user: "root" })}`;
  const get = async (path: string) =>
    await (await fetch(`${bus.admin_url}/v1/${path}`, { headers: { authorization } })).json();
  const { connections: [row] } = await get("connections?tenant=default&user=ann&room=s-1");
  assert.equal(row.subscriptions, 1);
  const { rooms } = await get(`connections/${row.connection_id}`);
  assert.deepEqual(rooms, [{ room_id: "s-*", presence: false, no_echo: true, batch: false }]);
}

async function ended({ ops_url }: Place): Promise<void> {
  await until("nothing is left of patterns", async () => {
    const metrics = await (await fetch(`${ops_url}/metrics`)).text();
    return ["patterns", "pattern_rooms", "rooms", "subscriptions"].every((name) =>
      new RegExp(`^shield_${name}(\\{.*\\})? 0$`, "m").test(metrics)
    );
  });
}

async function scenarios(t: Deno.TestContext, place: Place): Promise<void> {
  for (const run of [heard, refused, echo, putOut, durable, behind, letGo, binary]) {
    await t.step(run.name, async () => {
      await run(place);
      await ended(place);
    });
  }
}

Deno.test("patterns on the embedded engine", async (t) => {
  await using bus = await startBusWith(`${LIMITS}${ROOMS}`);
  const { url, ops_url } = bus;
  const place: Place = {
    urls: [url, url],
    ops_url,
    tokenFor: (user, { role = "user", tenant = "default", ...claims } = {}) =>
      bus.tokenFor({ user, claims, role: role as "user", tenant: String(tenant) }),
  };
  await scenarios(t, place);
  for (const run of [policies, seen]) await t.step(run.name, () => run(place, bus));
});

Deno.test("patterns on NATS, across two Shields", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config =
    `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n${issuer.config}${LIMITS}${ROOMS}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  await using one = await startServer("shield", config, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  const url = ({ ready }: typeof one) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;
  await scenarios(t, {
    urls: [url(one), url(two)],
    ops_url: one.ready.ops_url ?? "",
    tokenFor: (sub, { tenant: _, ...claims } = {}) => issuer.tokenFor({ sub, ...claims }),
  });
});
