/**
 * Limits of a tenant's bans and rooms; a room's companion rooms; and a room that is recreated.
 * `sdk/typescript/features_bus_test.ts` and `presence_bus_test.ts` cover state, locks, kicks and bans,
 * `tests/walks/people` with faults.
 */
import assert from "node:assert/strict";
import { type RoomEvent, roomState } from "@arqon/sdk/state";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { EventReader } from "./peers/event_reader.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { enforce } from "./peers/policy_admin.ts";
import { answered, ask, openText } from "./peers/raw_client.ts";
import { RoomListener } from "./peers/room_listener.ts";
import { sampleAt } from "./harness/server_state.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 0
[brain]
#constant brain.rooms_per_tenant = 4
`;

Deno.test("bans and rooms of a tenant are bounded", async () => {
  await using bus = await startLocalBus(CONFIG, { constants: { brain: { bans_per_tenant: 3 } } });
  const token = await bus.tokenFor({ user: "mod", role: "service", tenant: "small" });
  using moderator = await openText(bus.url, token);
  const command = async (room: string, name: string, data: object) => {
    const { code, reason } = await answered(moderator, { op: "cmd", room, name, data });
    return code === 0 ? "" : `${code} ${reason}`;
  };
  const ban = (user_id: string, more = {}) => command("r0", "room.ban", { user_id, ...more });
  for (const user of ["u0", "u1", "u2"]) assert.equal(await ban(user), "");
  assert.equal(await ban("u3"), "429 ban-limit");
  assert.equal(await ban("u0", { scope: "tenant" }), "");
  const write = (room: string) => command(room, "room.set", { key: "k", value: 1 });
  for (const room of ["r1", "r2", "r3"]) assert.equal(await write(room), "");
  assert.equal(await write("r4"), "429 room-limit");
  assert.equal(await write("r3"), "");
});

// In which order, and for which room, a reader is authorized. Companion rooms of a room, whose names are reserved for
// the bus: a client that may not subscribe to the room may subscribe to none of them, by any API, and a policy bound to
// the room alone is called for all of them. Errors in a SUB are reported before any policy is called.

const ROOM = "stage-1";

const STAGES = durableRooms("stage-*", 'membership = "journal"');

/** Allows every message, and no subscription. */
const NOBODY = guest({
  hook: "(i32.const 0)",
  more: '(func (export "arqon_on_subscribe") (result i32) (i32.const 1))',
});

/** Every way to read a room; each returns the reason of the refusal, "" if there is none. */
const WAYS: Readonly<
  Record<string, (bus: TestBus, token: string, room: string) => Promise<string>>
> = {
  async sub(bus, token, room) {
    using client = await openText(bus.url, token);
    client.send({ op: "sub", room, id: 1 });
    return (await client.json()).reason ?? "";
  },
  async history(bus, token, room) {
    const { body } = await new HttpPeer(bus.http_url, token).call("GET", `rooms/${room}/messages`);
    return body.reason ?? "";
  },
  async events(bus, token, room) {
    try {
      using _reader = await EventReader.open(`${bus.http_url}/v1/rooms/${room}/events`, { token });
      return "";
    } catch (error) {
      return (error as Error).message.replace(/^\d+ /, "");
    }
  },
  async stream(bus, token, room) {
    const response = await fetch(`${bus.http_url}/v1/streams/${room}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const text = await response.text();
    return response.ok ? "" : JSON.parse(text).reason;
  },
};

const JOURNAL = '\n[journal]\njournal = "refused"\n#constant journal.flush_ms = 10\n';

Deno.test("a policy that is bound to a room alone is called for its companion rooms, whoever reads them", async () => {
  await using bus = await startLocalBus(STAGES + JOURNAL);
  const token = await bus.tokenFor({ user: "ann" });
  const rooms = ["", "~members", "~growing", "~values"].map((suffix) => `${ROOM}${suffix}`);
  const all = async () => {
    const reasons: Record<string, string> = {};
    for (const room of rooms) {
      for (const [way, ask] of Object.entries(WAYS)) {
        reasons[`${way} ${room}`] = await ask(bus, token, room);
      }
    }
    return reasons;
  };
  const before = await all();
  assert.ok(!Object.values(before).includes("policy-rejected"), JSON.stringify(before));
  await enforce(bus, NOBODY, { name: "nobody", room: ROOM });
  const expected = Object.keys(before).map((key) => [key, "policy-rejected"]);
  assert.deepEqual(await all(), {
    ...Object.fromEntries(expected),
    // Pieces are not stored.
    [`stream ${ROOM}~growing`]: "stream-not-found",
  });
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  await until("each of these decisions is in the journal", async () => {
    const judged = (await admin.decisions("default")).filter(({ policies: [one] }) =>
      one?.name === "nobody"
    );
    return judged.length === expected.length - 1;
  });
});

Deno.test("no pattern includes a companion room: neither at a position nor after its subscription has ended", async () => {
  await using bus = await startLocalBus(STAGES);
  const members = `${ROOM}~members`;
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const tokenOf = async (...actions: string[]) =>
    await bus.tokenFor({ user: "ann", claims: { grants: [{ room: "stage-*", actions }] } });
  const listen = async (...actions: string[]) =>
    new RoomListener(await openText(bus.url, await tokenOf(...actions)));
  /** Somebody joins the room, of which a message follows. */
  const joins = async (user: string) => {
    const client = await openText(bus.url, await bus.tokenFor({ user }));
    await ask(client, { op: "sub", room: ROOM, presence: true });
    await until("the journal has it", async () => {
      const { body } = await service.call("GET", `rooms/${members}/messages?reverse=true`);
      return JSON.stringify(body).includes(user);
    });
    await service.done("POST", `rooms/${ROOM}/messages`, { type: "t", data: user });
    return client;
  };
  using _eve = await joins("eve");
  using ann = await listen("subscribe");
  assert.equal((await ann.ask({ op: "sub", room: members })).reason, "not-granted");
  const from = async (positions: object) =>
    (await ann.ask({ op: "sub", room: "stage-*", positions })).result;
  const { epoch } = await from({});
  assert.deepEqual(await from({ [epoch]: { [members]: 0 } }), { epoch, positions: {} });
  using refreshed = await listen("subscribe", "presence");
  using left = await listen("subscribe", "presence");
  for (const client of [refreshed, left]) {
    await client.sub("stage-*");
    await client.sub(members);
  }
  await refreshed.ask({ op: "refresh", token: await tokenOf("subscribe") });
  assert.deepEqual(await refreshed.take(1), [`not-granted ${members}`]);
  await left.ask({ op: "unsub", room: members });
  using _dan = await joins("dan");
  for (const client of [ann, refreshed, left]) {
    assert.deepEqual(await client.take(1), [`${ROOM} dan`]);
  }
});

Deno.test("a filter is checked before policies are called, of a room and of a pattern", async () => {
  await using bus = await startLocalBus(STAGES);
  await enforce(bus, NOBODY, { name: "nobody" });
  using client = await openText(bus.url, bus.token);
  for (const room of [ROOM, "stage-*"]) {
    client.send({ op: "sub", room, filter: "type ==", id: 1 });
    assert.equal((await client.json()).reason, "invalid-filter", room);
    client.send({ op: "sub", room, filter: 'type == "chat"', id: 2 });
    assert.equal((await client.json()).reason, "policy-rejected", room);
  }
});

// A room that ends and is recreated, as seen by a subscriber that stays: no GAP, and `first`.

const IDLE = `
[brain]
idle_timeout_ms = 500
`;

Deno.test("a subscriber of a recreated room gets its first change, marked, and no GAP", async () => {
  await using bus = await startLocalBus(IDLE);
  const ended = () => sampleAt(bus.ops_url, "brain_rooms_ended_total");
  await using ann = await connect({ url: bus.url, token: bus.token });
  await using bob = await connect({ url: bus.url, token: bus.token });
  roomState(bob.room("lobby"));
  using messages = bob.room("lobby").subscribe();
  await messages.ready;
  const next = async () => {
    const { value } = await messages.next();
    assert.equal(value?.type, "ROOM_UPDATE", `${value?.signal?.kind} ${value?.signal?.reason}`);
    return value.json<RoomEvent>();
  };
  const state = roomState(ann.room("lobby"));
  await state.set("k", 1);
  const one = await next();
  const two = (await state.set("k", 2), await next());
  assert.deepEqual([one.first, two.first, two.version], [true, undefined, one.version + 1]);
  await until("the room ends", async () => await ended() > 0);
  const { events = [] } = (await state.set("k", 3), await state.get("k", { events_after: 0 }));
  const again = await next();
  assert.deepEqual([again.first, again.value], [true, 3]);
  assert.notEqual(again.epoch, two.epoch);
  assert.ok(again.version > two.version);
  assert.deepEqual(events, [again]);
});
