/**
 * Patterns of rooms on the wire, on both engines: received messages, their order, and the end of a pattern; and with a
 * position for each durable room. On NATS the subscriber and the publishers are at different Shields. The readers
 * `pattern` and `positions` of `tests/model` have a durable room, live and from a position.
 * `shield/patterns/pattern_index_test.ts` tests the index.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { until } from "../shared/testing/until.ts";
import { fromText } from "../wasm/testing/bytes.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { sampleAt, samplesOf } from "./harness/server_state.ts";
import { DOORMAN, enforce, policyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";
import { joinRooms as join, type Place, RoomListener } from "./peers/room_listener.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const LIMITS = `
[limits]
#constant limits.patterns_per_tenant = 6
#constant limits.pattern_rooms_per_tenant = 20
#constant limits.pattern_positions = 20
`;

const ROOMS = `
${durableRooms("log-*")}
[[rooms]]
room = "quiet-*"
echo = false
${durableRooms("short-*", "history_size = 2")}
`;

const grants = (...rooms: string[]) => ({
  grants: rooms.map((room) => ({ room, actions: ["subscribe", "publish"] })),
});

async function receives(place: Place): Promise<void> {
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

/**
 * A room's own subscription ends before its client has received everything of the room: the pattern continues there.
 */
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
  ann.raw.send({ op: "sub", room: "log-2", after_offset: 0, epoch });
  assert.equal((await ann.ask({ op: "unsub", room: "log-2" })).code, 0);
  await bob.pub("log-2", "last");
  const all = await ann.take(count + 2);
  const expected = Array.from({ length: count + 1 }, (_, at) => `log-2 ${at + 1}`);
  assert.deepEqual(all, [...expected, "log-2 last"]);
}

async function letGo(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  using carl = await join(place, "carl", 0);
  // It is open for others, so its next message does not open it.
  await carl.sub("g-0");
  await ann.sub("g-*");
  for (const turn of [1, 2, 3]) {
    for (let at = 0; at < 30; at++) await bob.pub(`g-${at}`, turn);
    const all = await ann.take(30);
    assert.deepEqual(all, Array.from({ length: 30 }, (_, at) => `g-${at} ${turn}`));
  }
  assert.equal(await sampleAt(place.ops_url, "shield_pattern_rooms"), 20);
  assert.equal(await sampleAt(place.ops_url, "shield_patterns"), 1);
}

/** More rooms than one slice of a SUB or UNSUB: all are received after its ACK, none after the next one. */
async function many(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using carl = await join(place, "carl", 0);
  const rooms = Array.from({ length: 200 }, (_, at) => `m-${at}`);
  for (const room of rooms) await carl.sub(room);
  for (const turn of [1, 2]) {
    await ann.sub("m-*", turn === 1 ? {} : { no_echo: true });
    for (const room of rooms) await carl.pub(room, turn);
    assert.deepEqual(await ann.take(rooms.length), rooms.map((room) => `${room} ${turn}`));
  }
  assert.equal((await ann.ask({ op: "unsub", room: "m-*" })).code, 0);
  for (const room of rooms) await carl.pub(room, 3);
  await ann.sub("end");
  await carl.pub("end", "end");
  assert.deepEqual(await ann.take(1), ["end end"]);
}

/** Allows every SUB. */
const GREETER = DOORMAN.replace("(i32.const 1)))", "(i32.const 0)))");

async function policies(place: Place, bus: TestBus): Promise<void> {
  const admin = await policyAdmin(bus);
  const hooks = ["on_subscribe"];
  await enforce(bus, fromText(DOORMAN), { name: "secret", room: "p-secret*", hooks });
  await enforce(bus, fromText(GREETER), { name: "greeter", room: "p-*", hooks });
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
    const samples = await samplesOf(ops_url);
    return ["patterns", "pattern_rooms", "rooms", "subscriptions"]
      .every((name) => samples.get(`shield_${name}`) === 0);
  });
}

const SCENARIOS = [receives, refused, echo, putOut, behind, letGo, many];
/** Scenarios that involve another Shield and NATS's log. */
const ON_NATS: readonly unknown[] = [receives, putOut, behind];

async function scenarios(t: Deno.TestContext, place: Place, runs = SCENARIOS): Promise<void> {
  for (const run of runs) {
    await t.step(run.name, async () => {
      await run(place);
      await ended(place);
    });
  }
}

const onEmbedded = sharedByTests(() => startLocalBus(`${LIMITS}${ROOMS}`));

/** Both addresses are the same process. */
const placeOf = (bus: TestBus): Place => ({
  urls: [bus.url, bus.url],
  ops_url: bus.ops_url,
  tokenFor: (user, { role = "user", tenant = "default", ...claims } = {}) =>
    bus.tokenFor({ user, claims, role: role as "user", tenant: String(tenant) }),
});

Deno.test("patterns on the embedded engine", async (t) => {
  const bus = await onEmbedded();
  const place = placeOf(bus);
  await scenarios(t, place);
  for (const run of [policies, seen]) await t.step(run.name, () => run(place, bus));
});

Deno.test("rooms and patterns of a connection are counted together, whichever comes last", async () => {
  await using bus = await startLocalBus("[limits]\nrooms_per_connection = 2\n");
  for (const [first, last] of [["a-*", "b"], ["b", "a-*"]]) {
    using ann = await join(placeOf(bus), "ann", 0);
    await ann.sub(first!);
    await ann.sub("c");
    assert.equal((await ann.ask({ op: "sub", room: last })).reason, "too-many-rooms", last);
    await ann.sub(first!, { no_echo: true });
    await ann.sub("c", { no_echo: true });
  }
});

/** Two Shields on one NATS, shared by both tests there. */
const onNats = sharedByTests(async () => {
  const parts = new AsyncDisposableStack();
  const nats = parts.use(await startNats({ jetstream: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n${LIMITS}${ROOMS}`;
  const one = parts.use(await startLocalBus(config));
  const two = parts.use(await startLocalBus(config));
  const place: Place = { ...placeOf(one), urls: [one.url, two.url] };
  return { place, [Symbol.asyncDispose]: () => parts.disposeAsync() };
});

Deno.test("patterns on NATS, across two Shields", async (t) => {
  await scenarios(t, (await onNats()).place, SCENARIOS.filter((run) => ON_NATS.includes(run)));
});

// A pattern with a position for each of its durable rooms, on both engines. `pattern_sdk_test.ts` has clients that lose
// their connection; the reader `pattern` of `tests/model` has them on NATS, through faults.

type Outcomes = Record<string, { readonly recovered: boolean; readonly reason?: string }>;
type Vector = Record<string, Record<string, number>>;

/** What a client stores about the rooms of a pattern. */
class Positions {
  readonly offsets: Record<string, number> = {};
  readonly received: string[] = [];
  epoch = "";

  /** Subscribes, and records the epoch. */
  async sub(listener: RoomListener, pattern: string, more: object = {}): Promise<Outcomes> {
    const positions: Vector = this.epoch === "" ? {} : { [this.epoch]: this.offsets };
    const answer = await listener.ask({ op: "sub", room: pattern, positions, ...more });
    assert.equal(answer.code, 0, JSON.stringify(answer));
    this.epoch = answer.result.epoch;
    return answer.result.positions;
  }

  /** Takes what the listener has received. */
  take({ received }: RoomListener): void {
    for (const { room, data, offset } of received.splice(0)) {
      this.offsets[room] = offset ?? 0;
      this.received.push(`${room} ${data}`);
    }
  }

  async takeUntil(listener: RoomListener, count: number): Promise<void> {
    for (;;) {
      this.take(listener);
      if (this.received.length >= count) return;
      await listener.ask({ op: "unsub", room: "nothing" });
    }
  }
}

/** Another pattern that matches the same rooms continues at the first one's positions. */
async function overlapping(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const positions = new Positions();
  {
    using ann = await join(place, "ann", 0);
    await positions.sub(ann, "log-o*");
    await bob.pub("log-o1", 1);
    await positions.takeUntil(ann, 1);
  }
  for (const at of [2, 3]) await bob.pub("log-o1", at);
  using ann = await join(place, "ann", 0);
  const before = { ...positions.offsets };
  const after = positions.epoch;
  const both = [{ op: "sub", room: "log-o*" }, { op: "sub", room: "log-o1*" }];
  for (const sub of both) {
    assert.equal((await ann.ask({ ...sub, positions: { [after]: before } })).code, 0);
  }
  await ann.ask({ op: "unsub", room: "log-o1*" });
  await bob.pub("log-o1", 4);
  await positions.takeUntil(ann, 4);
  assert.deepEqual(positions.received, [1, 2, 3, 4].map((at) => `log-o1 ${at}`));
}

/** The ACK of a SUB with positions precedes everything that the pattern delivers. */
async function answersFirst(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  using ann = await openText(place.urls[0], await place.tokenFor("ann"));
  const publish = (count: number) => {
    for (let at = 0; at < count; at++) {
      bob.raw.send({ op: "pub", room: `log-first-${at}`, type: "t", data: at });
    }
  };
  for (let round = 0; round < 30; round++) {
    publish(10);
    ann.send({ op: "sub", room: "log-first*", id: 1, positions: { other: { "log-first-0": 1 } } });
    publish(10);
    assert.equal((await ann.json()).op, "ack", `round ${round}`);
    await bob.pub("log-first-0", "last");
    ann.send({ op: "unsub", room: "log-first*", id: 2 });
    while ((await ann.json()).id !== 2);
  }
}

async function filtered(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const positions = new Positions();
  const filter = "data > 2";
  {
    using ann = await join(place, "ann", 0);
    await positions.sub(ann, "log-f*", { filter });
    for (const at of [2, 3]) await bob.pub("log-f1", at);
    await positions.takeUntil(ann, 1);
  }
  for (const at of [1, 4, 2, 5]) await bob.pub("log-f1", at);
  using ann = await join(place, "ann", 0);
  await positions.sub(ann, "log-f*", { filter });
  await positions.takeUntil(ann, 3);
  assert.deepEqual(positions.received, [3, 4, 5].map((at) => `log-f1 ${at}`));
}

async function refusedPositions(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  const reason = async (room: string, positions: unknown) =>
    (await ann.ask({ op: "sub", room, positions })).reason;
  for (
    const wrong of [[], 1, { e: 1 }, { "": {} }, { e: { "log-1": -1 } }, { e: { "log-1": "1" } }]
  ) {
    assert.equal(await reason("log-*", wrong), "invalid-field", JSON.stringify(wrong));
  }
  assert.equal(await reason("log-*", { e: { "log-1": 1 }, f: { "log-1": 1 } }), "invalid-field");
  assert.equal(await reason("log-*", { e: { "other-1": 1 } }), "invalid-room");
  assert.equal(await reason("log-1", {}), "invalid-field", "of a pattern only");
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`log-${at}`, 1]));
  assert.equal(await reason("log-*", { e: many }), "too-many-rooms");
  for (let at = 1; at <= 5; at++) await bob.pub("short-1", at);
  const positions = { gone: { "short-2": 1, "plain": 1 } };
  const { result } = await ann.ask({ op: "sub", room: "*", positions });
  assert.deepEqual(result.positions["plain"], { recovered: false, reason: "not-durable" });
  assert.equal(result.positions["short-2"].reason, "epoch-changed");
  await ann.ask({ op: "unsub", room: "*" });
  const trimmed = { [result.epoch]: { "short-1": 0 } };
  const answer = await ann.ask({ op: "sub", room: "short-*", positions: trimmed });
  assert.equal(answer.result.positions["short-1"].reason, "history-trimmed");
  await bob.pub("short-1", "next");
  assert.deepEqual(await ann.take(1), ["short-1 next"], "from now on");
}

const POSITIONS = [overlapping, answersFirst, filtered, refusedPositions];

Deno.test("positions of patterns on the embedded engine", async (t) => {
  const place = placeOf(await onEmbedded());
  for (const run of POSITIONS) await t.step(run.name, () => run(place));
});

Deno.test("positions of patterns on NATS, across two Shields", async () => {
  await answersFirst((await onNats()).place);
});
