/**
 * Hooks on a bus: those of a tenant, of refusals and budgets, with `before`, and of a file that is read again. The
 * focuses `members` and `hook` of `walks/` and `brain/hooks/` cover members and kills; `tests/alerts` a receiver that
 * is down.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import {
  hookTable,
  hookTables,
  numbersOf,
  type ReceivedCall,
  Receiver,
  SECRET,
} from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openBinary, openText } from "./peers/raw_client.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { Opcode, writeEnvelope } from "@arqon/proto";
import { send } from "./peers/own_connections.ts";

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

Deno.test("members are notified once, with the cause; a client continues where a call was, in room and journal", async () => {
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
  // Without a code, as libraries close their sockets.
  client.socket.close();
  const members = () => receiver.taken.filter(({ body }) => body.type !== "room.message");
  await until("ann leaves", () => members().length === 4);
  const types = members().map(({ body }) => body.type);
  assert.deepEqual(types, ["member.joined", "room.occupied", "member.left", "room.vacated"]);
  const { room, change } = callOf("member.left");
  assert.deepEqual([room, change.user_id, change.cause], ["o-1", "ann", "closed"]);
});

const BACKOFF = "#constant webhooks.backoff_ms = 10\n#constant webhooks.backoff_max_ms = 100\n";
const hook = (id: string, url: string, lines: string) => hookTable(id, url, BACKOFF + lines);
const FEW = { constants: { webhooks: { refusals_per_second: 5 } } };

const configOf = (url: string) => `
[server]
drain_ms = 0
[admin]
operator_tenants = ["*"]
${durableRooms("o-*")}
[usage]
enabled = true
#constant usage.flush_ms = 100
budgets = [{ tenant = "default", per = "day", unit = "messages_in", limit = 3, action = "warn" }]
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.survey_ms = 200
${
  hook(
    "gate",
    url,
    'room = "o-*"\nevents = []\nbefore = ["publish", "subscribe"]\ntimeout_ms = 60_000',
  )
}
${hook("told", url, 'room = "o-*"\nevents = ["policy.refused", "budget.exhausted"]')}
${hook("other", url, 'room = "x-*"\nevents = ["policy.refused"]')}
`;

/** Denies the secret ones, and accepts everything else. */
const answer = ({ body: { type, data } }: ReceivedCall) => {
  if (!type.startsWith("before.")) return undefined;
  return Response.json({
    allow: data.message?.type !== "secret" && data.room !== "o-9",
    reason: "no",
  });
};
const callsOf = ({ taken }: Receiver, type: string) => {
  const calls = new Map(taken.map((call) => [call.id, call.body]));
  return [...calls.values()].filter((body) => body.type === type);
};

Deno.test("refusals and budgets are notified, in order, and the excess is counted", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  await using bus = await startLocalBus(configOf(receiver.url) + PATIENT_POLICIES, FEW);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "ann" }));
  const since = async (id: string) =>
    (await admin.call("GET", `tenants/default/hooks/${id}`)).body.hook.since;
  await until(
    "hooks have begun",
    async () => await since("told") !== null && await since("other") !== null,
  );
  const publish = async (type: string, room = "o-1") =>
    (await client.call("POST", `rooms/${room}/messages`, { type, data: {} })).status;
  assert.deepEqual([await publish("paid"), await publish("secret")], [200, 403]);
  await until("it is notified", () => callsOf(receiver, "policy.refused").length === 1);
  const [{ data: { room, event } }] = callsOf(receiver, "policy.refused");
  assert.deepEqual([room, event.what, event.reason, event.user_id], [
    "o-1",
    "publish",
    "policy-rejected",
    "ann",
  ]);
  assert.match(event.message, /no/);
  using socket = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  socket.send({ op: "sub", room: "o-9", id: 1 });
  await until("a subscription", () => callsOf(receiver, "policy.refused").length === 2);
  assert.equal(callsOf(receiver, "policy.refused")[1].data.event.what, "subscribe");
  await Promise.all(Array.from({ length: 60 }, () => publish("secret")));
  const count = () =>
    callsOf(receiver, "policy.refused").length +
    callsOf(receiver, "hook.lost").reduce((sum, { data }) => sum + data.count, 0);
  // The other hook is notified of what is left out, too, under the same ids.
  await until("each is notified or counted", () => count() === 62);
  assert.ok(callsOf(receiver, "hook.lost").every(({ data }) => data.reason === "left-out"));
  for (let turn = 0; turn < 5; turn++) assert.equal(await publish("paid"), 200);
  await until("the budget", () => callsOf(receiver, "budget.exhausted").length === 1);
  const [{ data }] = callsOf(receiver, "budget.exhausted");
  assert.deepEqual([data.room, data.event.unit, data.event.limit, data.event.action], [
    null,
    "messages_in",
    3,
    "warn",
  ]);
  assert.deepEqual(receiver.problems, []);
});

Deno.test("no client reads or writes the room of events, by its name or by a pattern", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  await using bus = await startLocalBus(configOf(receiver.url) + PATIENT_POLICIES, FEW);
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  assert.equal(
    await client.refused("POST", "rooms/~events/messages", { type: "t", data: {} }),
    "403 not-granted",
  );
  assert.equal(await client.refused("GET", "rooms/~events/messages"), "403 not-granted");
  using socket = await openText(bus.url, bus.token);
  socket.send({ op: "sub", room: "~events", id: 1 });
  assert.equal((await socket.json()).reason, "not-granted");
  await ask(socket, { op: "sub", room: "~*" });
  const denied = { type: "secret", data: {} };
  assert.equal((await client.call("POST", "rooms/o-1/messages", denied)).status, 403);
  await until("it is notified", () => callsOf(receiver, "policy.refused").length === 1);
  socket.send({ op: "pub", room: "~other", type: "mine", id: 3 });
  for (let frame = await socket.json(); frame.type !== "mine"; frame = await socket.json()) {
    assert.notEqual(frame.op, "msg", JSON.stringify(frame));
  }
});

Deno.test("hooks show that a tenant without a durable class gets no refusals; with one they are stored", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  const config = configOf(receiver.url).replace(durableRooms("o-*"), "");
  await using bus = await startLocalBus(config + PATIENT_POLICIES, FEW);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "ann" }));
  const problems = async () =>
    (await admin.call("GET", "tenants/default/hooks")).body.hooks
      .map(({ id, problem }: { id: string; problem: string }) =>
        `${id} ${/no room class of the tenant is durable/.test(problem)}`
      ).toSorted();
  // The gate is called before the message, and not for anything afterwards.
  assert.deepEqual(await problems(), ["gate false", "other true", "told true"]);
  const secret = { type: "secret", data: {} };
  assert.equal((await client.call("POST", "rooms/o-1/messages", secret)).status, 403);
  const { status } = await admin.call("PUT", "tenants/default/rooms", {
    room: "o-*",
    durable: true,
  });
  assert.equal(status, 200);
  assert.deepEqual(await problems(), ["gate false", "other false", "told false"]);
  await until("it is stored", async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return metrics.includes('shield_hook_events_total{result="stored"} 1');
  });
});

const beforeHook = (id: string, url: string, room: string, lines: string) =>
  hookTable(id, url, `room = "${room}"\nevents = []\n${lines}`);

const startAsking = (url: string, in_flight = 64): Promise<TestBus> =>
  startLocalBus(`[server]
drain_ms = 0
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.before_in_flight = ${in_flight}
${beforeHook("strict", url, "asked-*", 'before = ["publish", "subscribe"]\ntimeout_ms = 60_000')}
${beforeHook("brief", url, "brief-*", 'before = ["publish"]\ntimeout_ms = 500')}
${beforeHook("open", url, "open-*", 'before = ["publish"]\ntimeout_ms = 500\non_failure = "allow"')}
${beforeHook("narrow", url, "narrow-*", 'before = ["publish"]\ntimeout_ms = 60_000')}
${beforeHook("door", url, "*", 'before = ["connect"]\ntimeout_ms = 60_000')}
`);

const says = (answer: object, status = 200) => Response.json(answer, { status });

Deno.test("a denied user gets the reason, an allowed one continues, and no other room is checked", async () => {
  await using receiver = new Receiver();
  receiver.answer = ({ body: { type, data } }) => {
    if (type === "before.connect") return says({ allow: data.caller.user_id !== "mallory" });
    if (type === "before.subscribe") return says({ allow: data.room !== "asked-secret" });
    return says({ allow: data.message.data.n % 2 === 0, reason: "odd" });
  };
  await using bus = await startAsking(receiver.url);
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  await assert.rejects(openText(bus.url, await bus.tokenFor({ user: "mallory" })));
  const answer = async (frame: object) => {
    client.send(frame);
    for (;;) {
      const one = await client.json();
      if (one.op === "ack" || one.op === "err") return one;
    }
  };
  assert.equal(
    (await answer({ op: "sub", room: "asked-secret", id: 1 })).reason,
    "policy-rejected",
  );
  assert.equal((await answer({ op: "sub", room: "asked-1", id: 2 })).code, 0);
  assert.equal((await answer({ op: "sub", room: "free", id: 3 })).code, 0);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "bob" }));
  const publish = (room: string, n: number) =>
    peer.call("POST", `rooms/${room}/messages`, { type: "t", data: { n } });
  const odd = await publish("asked-1", 1);
  assert.deepEqual([odd.status, odd.body.reason], [403, "policy-rejected"]);
  assert.match(odd.body.detail, /odd/);
  assert.equal((await publish("asked-1", 2)).status, 200);
  const asked = receiver.calls.length;
  assert.equal((await publish("free", 1)).status, 200);
  const types = receiver.calls.slice(asked).map(({ body }) => body.type);
  assert.ok(!types.includes("before.publish"), "the room has no hook");
  const received = [await client.json(), await client.json()];
  assert.deepEqual(received.map(({ room, data }) => [room, data.n]), [["asked-1", 2], ["free", 1]]);
  const about = receiver.calls.find(({ body }) => body.type === "before.publish")?.body.data;
  assert.equal(about.caller.user_id, "bob");
  assert.equal(about.message.type, "t");
  assert.deepEqual(receiver.problems, []);
});

Deno.test("a binary publish is checked as a text one is, with the room and the trace of an HTTP request", async () => {
  await using receiver = new Receiver();
  receiver.answer = ({ body: { type, data } }) =>
    says({ allow: type !== "before.publish" || data.message.data.n % 2 === 0, reason: "odd" });
  await using bus = await startAsking(receiver.url);
  const token = await bus.tokenFor({ user: "ann" });
  using client = await openBinary(bus.url, token);
  const event = (n: number) => ({
    type: "t",
    content_type: "application/json",
    data: new TextEncoder().encode(`{"n":${n}}`),
  });
  const codes: number[] = [];
  for (const n of [1, 2]) {
    const envelope = { room_id: "asked-1", request_id: n, ack_requested: true, event: event(n) };
    client.send(Uint8Array.of(Opcode.PUB, ...writeEnvelope(envelope)));
    const answer = await client.frame();
    codes.push(answer.kind === "ack" ? answer.ack.code : 0);
  }
  assert.deepEqual(codes, [403, 0], "denied by its data, and allowed");
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${trace}-b7ad6b7169203331-01`;
  const headers = { "content-type": "application/protobuf", traceparent };
  const url = `${bus.http_url}/v1/rooms/asked-2/messages`;
  const body = { event: event(4) };
  const posted = await send(url, token, "POST", writeEnvelope(body), headers);
  await posted.body?.cancel();
  assert.equal(posted.status, 200);
  const asked = receiver.calls.filter(({ body }) => body.type === "before.publish")
    .map(({ body: { data: { room, message } } }) => [room, message.room, message.data]);
  assert.deepEqual(asked, [
    ["asked-1", "asked-1", { n: 1 }],
    ["asked-1", "asked-1", { n: 2 }],
    ["asked-2", "asked-2", { n: 4 }],
  ]);
  assert.equal(receiver.calls.at(-1)?.body.data.message.trace_id, trace);
});

Deno.test("without a yes or no, the configured default applies", async () => {
  await using receiver = new Receiver();
  let answering: () => Response | Promise<Response> = () => says({ allow: true });
  const { promise: never, resolve: end } = Promise.withResolvers<Response>();
  receiver.answer = ({ body }) =>
    body.type === "before.connect" ? says({ allow: true }) : Promise.resolve(answering());
  await using bus = await startAsking(receiver.url);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor());
  const publish = async (room: string) => {
    const { status, body } = await peer.call("POST", `rooms/${room}/messages`, { type: "t" });
    return status === 200 ? "200" : `${status} ${body.reason}`;
  };
  const ways: readonly (readonly [string, () => Response | Promise<Response>])[] = [
    ["500", () => says({ allow: true }, 500)],
    ["204", () => new Response(null, { status: 204 })],
    ["a redirect", () => Response.redirect(receiver.url, 307)],
    ["2 MB", () => new Response(`{"allow":true,"x":"${"x".repeat(2_000_000)}"}`)],
    ["no JSON", () => new Response("yes")],
    ["no answer to the question", () => says({ allow: "true" })],
    ["nothing at all", () => never],
  ];
  for (const [what, way] of ways) {
    answering = way;
    assert.equal(await publish("brief-1"), "503 policy-fault", what);
    assert.equal(await publish("open-1"), "200", what);
  }
  end(new Response());
  await receiver.stop();
  // New connections are denied, too; earlier requests continue.
  answering = () => says({ allow: true });
  receiver.start();
  await until("it is asked again", async () => await publish("asked-1") === "200");
});

Deno.test("one user's waiting calls do not delay another user's", async () => {
  await using receiver = new Receiver();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  receiver.answer = async () => {
    await held;
    return says({ allow: true });
  };
  await using bus = await startAsking(receiver.url, 1);
  const publisher = async (user: string) => {
    const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user }));
    return async () => (await peer.call("POST", "rooms/narrow-1/messages", { type: "t" })).status;
  };
  const ann = await publisher("ann");
  const bob = await publisher("bob");
  const first = ann();
  await until("it is asked", () => receiver.calls.length === 1);
  const others = [ann(), ann(), ann()];
  assert.equal(await Promise.race(others), 503);
  const bobs = bob();
  assert.deepEqual(await Promise.all(others), [503, 503, 503]);
  release();
  assert.deepEqual(await Promise.all([first, bobs]), [200, 200]);
});

const BASE = `
[admin]
operator_tenants = ["*"]
${durableRooms("o-*")}
`;
const webhooks = (lines: string) => `[webhooks]\n#constant webhooks.survey_ms = 200\n${lines}\n`;
const OPEN = webhooks('private_hosts = ["127.0.0.1"]');
const SHORT_BACKOFF =
  "#constant webhooks.backoff_ms = 10\n#constant webhooks.backoff_max_ms = 50\n";
const liveHook = (url: string, lines = "") =>
  hookTable("h", url, `room = "o-*"\n${SHORT_BACKOFF}${lines}`);

async function startLive() {
  let file = BASE + webhooks("");
  const bus = await startLocalBus(() => file);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  let sent = 0;
  return {
    bus,
    admin,
    async reload(text: string) {
      file = BASE + text;
      const { status, body } = await admin.call("POST", "config/reload", {});
      assert.equal(status, 200, JSON.stringify(body));
      const [{ problem, needs_restart, changed }] = body.configs;
      assert.deepEqual([problem, needs_restart], [null, []]);
      return (changed as string[]).toSorted();
    },
    async publish(): Promise<number> {
      const data = { n: sent++ };
      const { status } = await client.call("POST", "rooms/o-1/messages", { type: "t", data });
      return status;
    },
    async hook() {
      return (await admin.call("GET", "tenants/default/hooks/h")).body;
    },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

const sentTo = ({ taken }: Receiver) => taken.map(({ body }) => body.data.message?.data.n);

Deno.test("a hook added to the file is called, a changed one continues at its position, and a removed one is not called", async () => {
  await using receiver = new Receiver();
  await using other = new Receiver();
  await using live = await startLive();
  using client = await openText(live.bus.url, live.bus.token);
  assert.equal((await live.hook()).reason, "not-found");
  assert.deepEqual(await live.reload(OPEN + liveHook(receiver.url)), [
    "hooks",
    "webhooks.private_hosts",
  ]);
  await until("a Brain has it", async () => (await live.hook()).hook?.since != null);
  await live.publish();
  await until("it is called", () => receiver.taken.length === 1);
  await receiver.stop();
  await live.publish();
  assert.deepEqual(await live.reload(OPEN + liveHook(other.url)), ["hooks"]);
  await until("the other one has the refused events", () => other.taken.length === 1);
  assert.deepEqual([sentTo(receiver), sentTo(other)], [[0], [1]]);
  assert.deepEqual(await live.reload(OPEN), ["hooks"]);
  await live.publish();
  assert.equal((await live.hook()).reason, "not-found");
  // It was removed: it gets the messages of the meantime now, so the hook above was not called for them.
  await live.reload(OPEN + liveHook(other.url));
  await until("it continues", () => other.taken.length === 2);
  assert.deepEqual(sentTo(other), [1, 2]);
  await ask(client, { op: "sub", room: "alive" });
});

Deno.test("a before hook is called from the change on, and no longer without it", async () => {
  await using receiver = new Receiver();
  receiver.answer = () => Response.json({ allow: false });
  await using live = await startLive();
  assert.equal(await live.publish(), 200);
  const asked = liveHook(receiver.url, 'events = []\nbefore = ["publish"]\ntimeout_ms = 60_000');
  await live.reload(OPEN + asked);
  assert.equal(await live.publish(), 403);
  await live.reload(OPEN);
  assert.equal(await live.publish(), 200);
});

Deno.test("where hooks may be called, and how many a tenant may set, holds from the change on", async () => {
  await using receiver = new Receiver();
  await using live = await startLive();
  const problem = async () =>
    (await live.admin.call("POST", "tenants/default/hooks/h/test")).body.problem;
  const put = async (id: string) =>
    await live.admin.call("PUT", `tenants/default/hooks/${id}`, {
      url: receiver.url,
      secret: SECRET,
      events: ["member.left"],
    });
  await live.reload(webhooks("tenant_hooks = 0"));
  assert.equal((await put("h")).body.reason, "settings-conflict");
  await live.reload(webhooks("tenant_hooks = 1"));
  assert.equal((await put("h")).status, 200);
  assert.match(await problem(), /not in \[webhooks\] private_hosts/);
  await live.reload(webhooks('tenant_hooks = 1\ntenant_private_hosts = ["127.0.0.1"]'));
  assert.equal(await problem(), "");
  await live.reload(webhooks("tenant_hooks = 1"));
  assert.notEqual(await problem(), "");
  // If two have the same name, the one in the configuration wins.
  await live.reload(webhooks("") + liveHook(receiver.url));
  assert.notEqual(await problem(), "");
  await live.reload(OPEN + liveHook(receiver.url));
  assert.equal(await problem(), "");
});
