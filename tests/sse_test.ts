/**
 * Rooms as server-sent events, over real requests to a real bus: events, refusals, ends. Also with a ticket instead of
 * a token, with policies, and readers as operators see them.
 */
import assert from "node:assert/strict";
import { found, until } from "../shared/testing/until.ts";
import { fromText } from "../wasm/testing/bytes.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { EventReader, type ReadEvent } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { send } from "./peers/own_connections.ts";
import { DOORMAN, enforce } from "./peers/policy_admin.ts";
import { sampleAt, samplesOf } from "./harness/server_state.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
heartbeat_ms = 1_000
drain_ms = 1_000
allowed_origins = ["https://app.example"]
[limits]
unsent_bytes = 65_536
bytes_per_second = 100_000_000
[sse]
#constant sse.rooms = 3
${durableRooms("kept*", "history_size = 1_000")}
`;

interface World {
  readonly bus: TestBus;
  readonly peer: HttpPeer;
  publish(room: string, data: unknown): Promise<void>;
  read(path: string, headers?: Record<string, string>): Promise<EventReader>;
}

function worldOf(bus: TestBus): World {
  const peer = new HttpPeer(bus.http_url, bus.token);
  return {
    bus,
    peer,
    publish: (room, data) => peer.done("POST", `rooms/${room}/messages`, { type: "t", data }),
    read: (path, headers = {}) =>
      EventReader.open(`${bus.http_url}/v1/${path}`, { token: bus.token, headers }),
  };
}

async function follows({ read, publish }: World): Promise<void> {
  using reader = await read("rooms/plain/events");
  assert.equal((await reader.next())?.name, "welcome");
  assert.equal(reader.retry_ms, 1_000);
  const entered = await reader.next();
  assert.deepEqual([entered?.name, entered?.id, entered?.data], ["subscribed", "", {
    room: "plain",
  }]);
  await publish("plain", { a: [1, "zwei"] });
  const { id, data } = await reader.until("message");
  assert.deepEqual([id, data.op, data.room, data.data], ["", "msg", "plain", { a: [1, "zwei"] }]);
}

async function patterns({ bus, read, publish }: World): Promise<void> {
  using reader = await read("rooms/many-*/events");
  assert.deepEqual((await reader.until("subscribed")).data, { room: "many-*" });
  for (const room of ["many-1", "few", "many-2"]) await publish(room, room);
  for (const room of ["many-1", "many-2"]) {
    const { id, data } = await reader.until("message");
    assert.deepEqual([id, data.room, data.data], ["", room, room]);
  }
  const grants = [{ room: "many-1", actions: ["subscribe"] }];
  const token = await bus.tokenFor({ user: "narrow", claims: { grants } });
  for (const [path, reason] of [["many-*", "not-granted"], ["ma*y", "invalid-room"]]) {
    const response = await send(`${bus.http_url}/v1/rooms/${path}/events`, token, "GET");
    assert.equal((await response.json()).reason, reason, path);
  }
}

async function recovers({ read, publish }: World): Promise<void> {
  let id: string;
  {
    using reader = await read("rooms/kept/events");
    const entered = await reader.until("subscribed");
    assert.match(entered.id, /^[0-9a-z]+:0$/, "there is a position before the first message");
    await publish("kept", 1);
    ({ id } = await reader.until("message"));
  }
  for (const n of [2, 3, 4]) await publish("kept", n);
  const [epoch = "", offset = ""] = id.split(":");
  const ways: [string, Record<string, string>][] = [
    ["rooms/kept/events", { "last-event-id": id }],
    [`rooms/kept/events?last_event_id=${id}`, {}],
    [`rooms/kept/events?after_offset=${offset}&epoch=${epoch}`, {}],
    ["rooms/kept/events?after_offset=99&epoch=x", { "last-event-id": id }],
  ];
  for (const [path, headers] of ways) {
    using reader = await read(path, headers);
    const entered = await reader.until("subscribed");
    assert.equal(entered.data.recovered, true, path);
    assert.equal(entered.id, id, "who has not got the messages yet stays where it was");
    const got = [];
    for (const _ of [2, 3, 4]) got.push((await reader.until("message")).data.data);
    assert.deepEqual(got, [2, 3, 4], path);
  }
}

async function recoversSignals({ bus, read, publish }: World): Promise<void> {
  const room = "kept-signals";
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  let id: string;
  {
    using reader = await read(`rooms/${room}/events`);
    await reader.until("subscribed");
    const signal = { kind: "DISCONNECT", target: "nobody", reason: "of a backend" };
    await service.done("POST", `rooms/${room}/messages`, { signal });
    ({ id } = await reader.until("signal"));
  }
  await publish(room, "behind it");
  using reader = await read(`rooms/${room}/events`, { "last-event-id": id });
  assert.equal((await reader.until("subscribed")).data.recovered, true);
  assert.equal((await reader.next())?.data.data, "behind it");
}

async function fromTheStart({ read, publish }: World): Promise<void> {
  for (const n of [1, 2]) await publish("kept-first", n);
  let id: string;
  {
    using reader = await read("events?room=kept-first&room=kept-none&from=start");
    // Order is per room: messages of one may arrive before the other is subscribed.
    const came: Record<string, ReadEvent[]> = { welcome: [], subscribed: [], message: [] };
    while (came.subscribed!.length < 2 || came.message!.length < 2) {
      const event = await reader.next();
      assert(event !== undefined);
      came[event.name]!.push(event);
    }
    assert.deepEqual(came.subscribed!.map(({ data }) => data.recovered), [true, true]);
    assert.deepEqual(came.message!.map(({ data }) => data.data), [1, 2]);
    id = came.message![1]!.id;
  }
  assert.match(id, /^\w+:[1-9]\d*,(\w+|\*):0$/);
  await publish("kept-none", 3);
  using back = await read("events?room=kept-first&room=kept-none", { "last-event-id": id });
  assert.equal((await back.next())?.id, id, "a reader that takes each event's id keeps its place");
  assert.equal((await back.until("message")).data.data, 3);
  for (const bare of ["after_offset=0", "after_offset=1", "epoch="]) {
    using reader = await read(`rooms/kept-first/events?${bare}`);
    const { data } = await reader.until("subscribed");
    assert.deepEqual([data.recovered, data.reason], [false, "epoch-changed"], bare);
  }
}

async function ofAnotherEpoch({ read, publish }: World): Promise<void> {
  using reader = await read("rooms/kept/events", { "last-event-id": "other:1" });
  const entered = await reader.until("subscribed");
  assert.equal(entered.data.recovered, false);
  const gap = await reader.next();
  assert.deepEqual([gap?.name, gap?.data.signal], ["gap", {
    kind: "GAP",
    target: "kept",
    reason: "epoch-changed",
  }]);
  assert.equal(gap?.id, `${entered.data.epoch}:${entered.data.offset}`);
  await publish("kept", "next");
  assert.equal((await reader.until("message")).data.data, "next");
}

async function afterItsClass({ bus, read, publish }: World): Promise<void> {
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const classes = "tenants/default/rooms";
  const put = await admin.call("PUT", classes, { room: "was-kept", durable: true });
  assert.equal(put.status, 200);
  let id: string;
  {
    using reader = await read("rooms/was-kept/events");
    await reader.until("subscribed");
    await publish("was-kept", 1);
    ({ id } = await reader.until("message"));
    assert.notEqual(id, "");
  }
  assert.equal((await admin.call("DELETE", `${classes}?room=was-kept`)).status, 200);
  using reader = await read("rooms/was-kept/events", { "last-event-id": id });
  const { data } = await reader.until("subscribed");
  assert.deepEqual(data, { room: "was-kept", recovered: false, reason: "not-durable" });
  assert.equal((await reader.next())?.name, "gap");
  await publish("was-kept", 2);
  assert.equal((await reader.until("message")).data.data, 2);
}

async function ofSeveralRooms({ read, publish }: World): Promise<void> {
  const path = "events?room=kept-a&room=plain&room=kept-b";
  let id: string;
  {
    using reader = await read(path);
    for (const _ of "abc") await reader.until("subscribed");
    await publish("plain", 1);
    assert.equal((await reader.until("message")).data.room, "plain");
    await publish("kept-b", 2);
    ({ id } = await reader.until("message"));
    assert.match(id, /^\w+:\d+,-,\w+:\d+$/);
  }
  await publish("kept-a", 3);
  await publish("kept-b", 4);
  using reader = await read(path, { "last-event-id": id });
  const got = [await reader.until("message"), await reader.until("message")];
  assert.deepEqual(got.map(({ data }) => data.data).toSorted(), [3, 4]);
  // Each of the two positions has advanced by one, and only by its own message.
  const moved = (at: number) => (got[at]?.id ?? "").split(",").filter((one) => !id.includes(one));
  assert.deepEqual([moved(0).length, moved(1).length], [1, 2]);
}

async function isRefused({ bus, read }: World): Promise<void> {
  const cases: [string, Record<string, string>, number, string][] = [
    ["rooms/a.b/events", {}, 400, "invalid-room"],
    ["events", {}, 400, "invalid-room"],
    ["events?room=a&room=a", {}, 400, "repeated-field"],
    ["events?room=a&room=b&room=c&room=d", {}, 429, "too-many-rooms"],
    ["rooms/a/events?x=1", {}, 400, "unknown-field"],
    ["rooms/a/events?room=b", {}, 400, "unknown-field"],
    ["rooms/a/events?epoch=1&epoch=2", {}, 400, "repeated-field"],
    ["rooms/kept/events", { "last-event-id": "7" }, 400, "invalid-field"],
    ["events?room=kept&room=kept-a", { "last-event-id": "e:7" }, 400, "invalid-field"],
    ["rooms/a/events?after_offset=3", {}, 400, "not-durable"],
    ["rooms/a/events?from=start", {}, 400, "not-durable"],
    ["rooms/kept/events?from=end", {}, 400, "invalid-field"],
    ["rooms/a/events", { accept: "application/json" }, 406, "not-acceptable"],
    ["rooms/a/events", { accept: "text/event-stream;q=0" }, 406, "not-acceptable"],
    ["rooms/a/events", { authorization: "Bearer x.y.z" }, 401, "token-malformed"],
    ["rooms/a/events", { origin: "https://evil.example" }, 403, "origin-not-allowed"],
  ];
  for (const [path, headers, status, reason] of cases) {
    await assert.rejects(read(path, headers), { message: `${status} ${reason}` }, path);
  }
  const grants = [{ room: "mine", actions: ["subscribe"] }];
  const token = await bus.tokenFor({ claims: { grants } });
  const open = (path: string) => EventReader.open(`${bus.http_url}/v1/${path}`, { token });
  await assert.rejects(open("events?room=mine&room=other"), { message: "403 not-granted" });
  using reader = await open("rooms/mine/events");
  await reader.until("subscribed");
  using page = await read("rooms/a/events", { origin: "https://app.example" });
  assert.equal(page.response.headers.get("access-control-allow-origin"), "https://app.example");
}

async function isCompressed({ read, publish }: World): Promise<void> {
  using packed = await read("rooms/plain/events", { "accept-encoding": "gzip" });
  assert.match(packed.response.headers.get("vary") ?? "", /accept-encoding/);
  using plain = await read("rooms/plain/events", { "accept-encoding": "identity" });
  for (const reader of [packed, plain]) await reader.until("subscribed");
  for (const data of ["short", "long ".repeat(1_000), "short"]) {
    await publish("plain", data);
    for (const reader of [packed, plain]) {
      assert.equal((await reader.until("message")).data.data, data);
    }
  }
}

async function showsItsHead({ bus }: World): Promise<void> {
  const headers = { authorization: `Bearer ${bus.token}` };
  const url = `${bus.http_url}/v1/rooms/plain/events`;
  const answer = await fetch(url, { method: "HEAD", headers });
  const gzip = { ...headers, "accept-encoding": "gzip" };
  const packed = await fetch(url, { method: "HEAD", headers: gzip });
  await packed.body?.cancel();
  assert.equal(packed.headers.get("content-type"), "text/event-stream");
  assert.deepEqual([answer.status, await answer.text()], [200, ""]);
  assert.equal(answer.headers.get("content-type"), "text/event-stream");
  assert.equal(answer.headers.get("x-accel-buffering"), "no");
  assert.match(answer.headers.get("cache-control") ?? "", /no-store/);
}

async function speaksOldHttp({ bus }: World): Promise<void> {
  const { hostname, port } = new URL(bus.http_url);
  using socket = await Deno.connect({ hostname, port: Number(port) });
  const request_text =
    `GET /v1/rooms/plain/events HTTP/1.0\r\nAuthorization: Bearer ${bus.token}\r\n\r\n`;
  await socket.write(new TextEncoder().encode(request_text));
  const bytes = new Uint8Array(4_096);
  let text = "";
  while (!text.includes("event: subscribed")) {
    const count = await socket.read(bytes);
    assert.ok(count !== null, text);
    text += new TextDecoder().decode(bytes.subarray(0, count));
  }
  assert.doesNotMatch(text, /transfer-encoding/i, "HTTP/1.0 knows no chunks");
}

async function beats({ read }: World): Promise<void> {
  using reader = await read("rooms/quiet/events");
  await reader.until("subscribed");
  const rest = reader.rest().catch(() => {});
  await until("two heartbeats", () => reader.comments >= 2);
  reader[Symbol.dispose]();
  await rest;
}

async function isPutOut({ bus }: World): Promise<void> {
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service", user: "mod" }));
  const token = await bus.tokenFor({ user: "zoe" });
  const open = (path: string) => EventReader.open(`${bus.http_url}/v1/${path}`, { token });
  using kicked = await open("events?room=one&room=two");
  for (const _ of "ab") await kicked.until("subscribed");
  await service.done("POST", "rooms/one/kick", { user_id: "zoe", reason: "bye" });
  const { data } = await kicked.until("signal");
  assert.deepEqual([data.room, data.signal.kind, data.signal.reason], ["one", "DISCONNECT", "bye"]);
  await service.done("POST", "rooms/two/messages", { type: "t", data: "goes on" });
  assert.equal((await kicked.until("message")).data.room, "two");
  await service.done("POST", "rooms/two/kick", { user_id: "zoe" });
  assert.deepEqual((await kicked.until("closed")).data, { code: 1000, reason: "no-room-left" });
  assert.equal(await kicked.next(), undefined);
  using banned = await open("rooms/one/events");
  await banned.until("subscribed");
  await service.done("POST", "bans", { user_id: "zoe", reason: "spam" });
  assert.equal((await banned.until("signal")).data.signal.kind, "BAN");
  assert.equal((await banned.until("refused")).data.reason, "banned");
  assert.equal((await banned.until("closed")).data.code, 4403);
  await assert.rejects(open("rooms/one/events"), { message: "403 banned" });
  await service.done("DELETE", "bans/zoe");
}

async function doesNotRead({ bus }: World): Promise<void> {
  const { hostname, port } = new URL(bus.http_url);
  using socket = await Deno.connect({ hostname, port: Number(port) });
  const head = `GET /v1/rooms/flood/events HTTP/1.1\r\nHost: x\r\n`;
  await socket.write(
    new TextEncoder().encode(`${head}Authorization: Bearer ${bus.token}\r\n\r\n`),
  );
  const service = new HttpPeer(bus.http_url, bus.token);
  const ended = () => sampleAt(bus.ops_url, 'shield_closes_total{code="4429"}');
  const before = await ended();
  await until("the slow reader is ended", async () => {
    await service.call("POST", "rooms/flood/messages", { type: "t", data: "x".repeat(200_000) });
    return await ended() > before;
  });
}

async function expires({ bus }: World): Promise<void> {
  const token = await bus.tokenFor({ ttl_seconds: -20 });
  using reader = await EventReader.open(`${bus.http_url}/v1/rooms/plain/events`, { token });
  assert.equal((await reader.until("refused")).data.reason, "token-expired");
  assert.equal((await reader.until("closed")).data.code, 4401);
  assert.equal(await reader.next(), undefined);
}

/** Last, since the bus ends. */
async function isSentAway({ bus, read }: World): Promise<void> {
  using reader = await read("rooms/plain/events");
  await reader.until("subscribed");
  const stopped = bus.stop();
  assert.equal((await reader.until("signal")).data.signal.kind, "DRAIN");
  const closed = await found("the end", () => reader.until("closed"));
  assert.deepEqual(closed.data, { code: 1012, reason: "restart" });
  assert.equal(await reader.next(), undefined);
  await stopped;
}

const SCENARIOS: Readonly<Record<string, (world: World) => Promise<void>>> = {
  "a reader follows a room": follows,
  patterns,
  "a reader reconnects without a gap": recovers,
  "a reader that returns gets a stored signal once": recoversSignals,
  "a position of another epoch is a gap": ofAnotherEpoch,
  "from=start is the beginning of each room, and an offset without epoch recovers nothing":
    fromTheStart,
  "a reader that returns to a room without history continues from now": afterItsClass,
  "several rooms share one last event id": ofSeveralRooms,
  "an invalid request is refused by a status": isRefused,
  "gzip flushes each event": isCompressed,
  "HEAD opens no stream": showsItsHead,
  "HTTP/1.0": speaksOldHttp,
  "a quiet room has heartbeats": beats,
  "kicks and bans end a reader": isPutOut,
  "a reader that does not read": doesNotRead,
  "a token that ends": expires,
  "a drain": isSentAway,
};

/** What depends on how bytes leave the process. */
const BY_SOCKET: readonly unknown[] = [
  ...[follows, isRefused, isCompressed, showsItsHead, beats, doesNotRead, isSentAway],
];

for (const websocket of ["own", "native"] as const) {
  Deno.test(`server-sent events beside ${websocket} sockets`, async (t) => {
    const config = CONFIG.replace("[server]", `[server]\nwebsocket = "${websocket}"`);
    await using bus = await startLocalBus(config);
    const world = worldOf(bus);
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      if (websocket !== "own" && !BY_SOCKET.includes(scenario)) continue;
      await t.step(name, () => scenario(world));
    }
  });
}

Deno.test("a room becomes durable under its reader, who may return when it no longer is", async () => {
  await using bus = await startLocalBus(CONFIG);
  const { read, publish } = worldOf(bus);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const setClass = async (durable: boolean) => {
    const { status } = await admin.call("PUT", "tenants/default/rooms", { room: "turns", durable });
    assert.equal(status, 200);
  };
  let id: string;
  {
    using reader = await read("rooms/turns/events");
    await reader.until("subscribed");
    await publish("turns", 1);
    assert.equal((await reader.until("message")).id, "");
    await setClass(true);
    await publish("turns", 2);
    assert.equal((await reader.until("message")).data.data, 2);
    const entered = await reader.until("subscribed");
    assert.equal(entered.id, `${entered.data.epoch}:${entered.data.offset}`);
    await publish("turns", 3);
    const message = await reader.until("message");
    ({ id } = message);
    assert.deepEqual([message.data.data, id], [3, `${entered.data.epoch}:${message.data.offset}`]);
  }
  await publish("turns", 4);
  {
    using reader = await read("rooms/turns/events", { "last-event-id": id });
    assert.equal((await reader.until("subscribed")).data.recovered, true);
    assert.equal((await reader.until("message")).data.data, 4);
  }
  await setClass(false);
  using reader = await read("events?room=turns&room=kept", { "last-event-id": `${id},-` });
  const lost = { room: "turns", recovered: false, reason: "not-durable" };
  const subscribed = [await reader.until("subscribed"), await reader.until("subscribed")];
  assert.deepEqual(subscribed.find(({ data }) => data.room === "turns")?.data, lost);
  await publish("turns", 5);
  assert.equal((await reader.until("message")).data.data, 5);
  await publish("kept", 6);
  assert.match((await reader.until("message")).id, /^-,\w+:\d+$/);
  using alone = await read("rooms/turns/events", { "last-event-id": id });
  assert.equal((await alone.until("gap")).data.signal.reason, "not-durable");
  await publish("turns", 7);
  assert.equal((await alone.until("message")).data.data, 7);
});

// Readers of events with policies, and as operators and the journal see them: like any connection.

Deno.test("a reader of events under policies, and before operators", async (t) => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const open = (path: string) =>
    EventReader.open(`${bus.http_url}/v1/${path}`, { token: bus.token });
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));

  await t.step("a policy refuses one room, and the request with it", async () => {
    const door = { name: "door", room: "guarded", hooks: ["on_subscribe"] };
    await enforce(bus, fromText(DOORMAN), door);
    await assert.rejects(open("rooms/guarded/events"), { message: "403 policy-rejected" });
    await assert.rejects(open("events?room=a&room=guarded"), { message: "403 policy-rejected" });
  });
  await t.step("an operator sees it, and ends it", async () => {
    using reader = await open("rooms/a/events");
    const { connection } = (await reader.until("welcome")).data;
    const path = `connections/${connection}`;
    const shown = await admin.call("GET", path);
    assert.equal(shown.status, 200, JSON.stringify(shown.body));
    assert.match(JSON.stringify(shown.body), /"a"/);
    assert.equal((await admin.call("DELETE", path)).status, 204);
    assert.equal((await reader.until("signal")).data.signal.kind, "DISCONNECT");
    assert.equal((await reader.until("refused")).data.reason, "disconnected");
    assert.equal((await reader.until("closed")).data.code, 1008);
    assert.equal(await reader.next(), undefined);
  });
  await t.step("a refused connection uses no place", async () => {
    await until("all places are free", async () => {
      const samples = await samplesOf(bus.ops_url);
      return ["event_streams", "active_connections"]
        .every((name) => samples.get(`shield_${name}`) === 0);
    });
  });
});

// Tickets over real requests: a page reads events of the ticket's rooms only. The reader `ticket` of `tests/model`
// uses one, and once.

Deno.test("a ticket in place of a token", async (t) => {
  const config = `[[rooms]]\nroom = "mine-log"\ndurable = true\nmembership = "journal"\n`;
  await using bus = await startLocalBus(config, { constants: { sse: { tickets: 8 } } });
  const grants = [{ room: "mine*", actions: ["subscribe"] }];
  const token = await bus.tokenFor({ user: "ann", claims: { grants } });
  const peer = new HttpPeer(bus.http_url, token);
  const ask = async (body: unknown) => {
    const { status, body: answer } = await peer.call("POST", "tickets", body);
    return status === 200 ? answer : `${status} ${answer.reason}`;
  };
  const open = (path: string, options = {}) =>
    EventReader.open(`${bus.http_url}/v1/${path}`, options);

  await t.step("is for its rooms only, and for nothing else", async () => {
    const { ticket } = await ask({ rooms: ["mine"] });
    const other = open(`rooms/mine-2/events?ticket=${ticket}`);
    await assert.rejects(other, { message: "403 not-granted" });
    const { ticket: second } = await ask({ rooms: ["mine"] });
    const state = await fetch(`${bus.http_url}/v1/rooms/mine/state?ticket=${second}`);
    assert.deepEqual([state.status, (await state.json()).reason], [401, "token-missing"]);
    using reader = await open(`rooms/mine/events?ticket=${second}`);
    await reader.until("subscribed");
  });
  await t.step("is for a room beside another one, and not for that one", async () => {
    const actions = ["subscribe", "presence"];
    const claims = { grants: [{ room: "mine*", actions }] };
    const bob = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "bob", claims }));
    for (const room of ["mine-log~growing", "mine-log~members"]) {
      const asked = async () => (await bob.call("POST", "tickets", { rooms: [room] })).body.ticket;
      using reader = await open(`rooms/${room}/events?ticket=${await asked()}`);
      await reader.until("subscribed");
      const other = open(`rooms/mine-log/events?ticket=${await asked()}`);
      await assert.rejects(other, { message: "403 not-granted" });
    }
    assert.equal(await ask({ rooms: ["mine-log~members"] }), "403 not-granted");
  });
  await t.step("remains valid if a token precedes it", async () => {
    const { ticket } = await ask({ rooms: ["mine"] });
    using first = await open(`rooms/mine/events?ticket=${ticket}`, { token });
    await first.until("subscribed");
    using second = await open(`rooms/mine/events?ticket=${ticket}`);
    await second.until("subscribed");
  });
  await t.step("remains valid after a HEAD", async () => {
    const { ticket } = await ask({ rooms: ["mine"] });
    const path = `rooms/mine/events?ticket=${ticket}`;
    assert.equal((await fetch(`${bus.http_url}/v1/${path}`, { method: "HEAD" })).status, 200);
    using reader = await open(path);
    await reader.until("subscribed");
  });
  await t.step("is refused where it is invalid", async () => {
    const cases: [unknown, string][] = [
      [{ rooms: ["other"] }, "403 not-granted"],
      [{ rooms: ["a.b"] }, "400 invalid-room"],
      [{ rooms: [] }, "400 invalid-field"],
      [{ rooms: "mine" }, "400 invalid-field"],
      [{}, "400 invalid-field"],
      [{ rooms: ["mine"], ttl: 9 }, "400 unknown-field"],
      ["[]", "400 malformed-body"],
      [{ rooms: Array.from({ length: 33 }, (_, n) => `mine${n}`) }, "429 too-many-rooms"],
    ];
    for (const [body, expected] of cases) {
      assert.equal(await ask(body), expected, JSON.stringify(body));
    }
    const made: string[] = [];
    for (let n = 0; n < 9; n++) made.push(await ask({ rooms: ["mine"] }));
    assert.equal(made.at(-1), "429 too-many-pending");
  });
});

Deno.test("a reader whom EventSource would end for good is asked to come again", async () => {
  await using bus = await startLocalBus("[limits]\nconnections_per_user = 1\n");
  const url = `${bus.http_url}/v1/rooms/plain/events`;
  using first = await EventReader.open(url, { token: bus.token });
  await first.until("subscribed");
  const accept = { accept: "text/event-stream" };
  using second = await EventReader.open(url, { token: bus.token, headers: accept });
  const [refused, closed] = await second.rest();
  assert.deepEqual([refused?.name, refused?.data.reason], ["refused", "too-many-connections"]);
  assert.deepEqual([closed?.name, closed?.data], ["closed", {
    code: 1012,
    reason: "too-many-connections",
  }]);
  assert.ok(second.retry_ms >= 1_000, `${second.retry_ms}`);
  await assert.rejects(EventReader.open(url, { token: bus.token }), {
    message: "429 too-many-connections",
  });
  const lasting = EventReader.open(url, { token: "none", headers: accept });
  await assert.rejects(lasting, { message: "401 token-malformed" });
});
