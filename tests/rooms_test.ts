/**
 * Room commands as clients on a running bus send them and hear of them: state, locks and fences, kicks, bans. Both
 * planes of a Shield with its Brain; several of each are other tests' business. Also rooms beside a room, and one that
 * is born again.
 */
import assert from "node:assert/strict";
import { roomState } from "@arqon/sdk/state";
import type { RoomEvent } from "@arqon/sdk/state";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { PresenceClient } from "./peers/presence_client.ts";
import type { Answer } from "./peers/presence_client.ts";
import { openText } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
rooms_per_tenant = 4
`;

/** Longer than anything that a test waits for. */
const LONG_MS = 600_000;

async function open(
  bus: TestBus,
  user: string,
  options: TokenOptions = {},
): Promise<PresenceClient> {
  return await PresenceClient.open(bus.url, await bus.tokenFor({ user, ...options }));
}

function refused(answer: Answer, code: number, reason: string): void {
  assert.deepEqual([answer.code, answer.reason], [code, reason], answer.message);
}

function done({ code, result, message }: Answer): Answer["result"] {
  assert.equal(code, 0, message);
  return result;
}

/** The room's events may come between. */
async function heardBy(client: PresenceClient, ...names: string[]): Promise<void> {
  await client.untilAny(() => client.names.join() === names.join());
}

/** Reads, writes and deletes, and the events that others hear of them. */
async function state(bus: TestBus): Promise<void> {
  const room = "state";
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  await bob.sub(room);
  const set = done(await ann.command(room, "room.set", { data: { key: "k", value: [1] } }));
  const { version } = set;
  assert.ok(Number.isSafeInteger(version) && version > 1, "no room before it can have had it");
  const first = await bob.told();
  const { at_ms, ...event } = first.data as Record<string, unknown>;
  assert.ok(Number.isSafeInteger(at_ms));
  assert.deepEqual({ type: first.type, ...event }, {
    type: "ROOM_UPDATE",
    version,
    epoch: set.epoch,
    first: true,
    op: "set",
    key: "k",
    value: [1],
    by: "ann",
  });
  refused(
    await ann.command(room, "room.delete", { data: { key: "k" }, expect_version: 7 }),
    409,
    "version-conflict",
  );
  const deleted = done(
    await ann.command(room, "delete", { data: { key: "k" }, expect_version: version }),
  );
  assert.deepEqual(deleted, { version: version + 1, epoch: set.epoch });
  const kept = await bob.command(room, "room.get", { data: { key: "k", events_after: version } });
  const { exists, events } = done(kept);
  assert.deepEqual([exists, events.length, events[0].op, events[0].version], [
    false,
    1,
    "delete",
    version + 1,
  ]);
  const whole = await bob.command(room, "room.get", { data: { key: "k", events_after: 0 } });
  assert.deepEqual(done(whole).events.map(({ op }: { op: string }) => op), ["set", "delete"]);
  assert.deepEqual((await bob.told()).data, events[0]);
  const read = { data: { key: "k" }, after_version: version + 1, epoch: set.epoch };
  assert.equal(done(await bob.command(room, "get", read)).exists, false);

  const command = { data: { key: "n", value: 1 }, command_id: "once" };
  const once = done(await ann.command(room, "room.set", command));
  assert.deepEqual(done(await ann.command(room, "room.set", command)), once, "applied once");
  assert.equal((await bob.told()).type, "ROOM_UPDATE");
  assert.equal(done(await ann.command(room, "room.get")).version, version + 2);
  for (const client of [ann, bob]) client[Symbol.dispose]();
}

async function locks(bus: TestBus): Promise<void> {
  const room = "locked";
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  const write = { data: { key: "k", value: 1 } };
  for (const client of [ann, bob]) await client.sub(room, { presence: true });
  const grant = done(await ann.command(room, "room.lock", { data: { ttl_ms: LONG_MS } }));
  assert.ok(grant.fence > 0 && grant.until_ms > Date.now());
  const { lock: { until_ms, ...lock } } = done(await bob.command(room, "room.get"));
  const { connection_id } = ann;
  assert.deepEqual(lock, { holder: "ann", connection_id, fence: grant.fence });
  // A Brain that is held up between granting and measuring lets the lease last longer, never shorter.
  assert.ok(until_ms >= grant.until_ms, `${until_ms} is before ${grant.until_ms}`);
  for (const name of ["room.lock", "room.unlock", "room.set"]) {
    const data = name === "room.set" ? write.data : {};
    const answer = await bob.command(room, name, { data });
    assert.equal(answer.code, 409, `${name}: ${answer.reason}`);
    assert.equal(answer.reason, "locked");
  }
  refused(
    await ann.command(room, "room.set", { ...write, fence: grant.fence + 1 }),
    409,
    "fence-mismatch",
  );
  done(await ann.command(room, "room.set", { ...write, fence: grant.fence }));
  done(await ann.command(room, "room.unlock", { fence: grant.fence }));
  refused(
    await ann.command(room, "room.set", { ...write, fence: grant.fence }),
    409,
    "fence-mismatch",
  );

  // A holder whose connection ends loses the lock at once, long before its lease ends.
  done(await ann.command(room, "room.lock", { data: { ttl_ms: LONG_MS } }));
  ann[Symbol.dispose]();
  for (;;) {
    const told = await bob.told();
    const { op, cause } = told.data as { op: string; cause?: string };
    if (op !== "unlock" || cause !== "holder-left") continue;
    break;
  }
  const next = done(await bob.command(room, "room.lock", { data: { ttl_ms: 50 } }));
  assert.ok(next.fence > grant.fence, "fences only grow");
  for (;;) {
    const { op, cause } = (await bob.told()).data as { op: string; cause?: string };
    if (op === "unlock" && cause === "expired") break;
  }
  bob[Symbol.dispose]();
}

async function kicks(bus: TestBus): Promise<void> {
  const room = "kicks";
  const moderator = await open(bus, "mod", { role: "service" });
  const [ann, other, bob] = [
    await open(bus, "ann"),
    await open(bus, "ann"),
    await open(bus, "bob"),
  ];
  for (const client of [ann, other, bob]) await client.sub(room, { presence: true });
  await heardBy(bob, "ann", "ann", "bob");
  refused(
    await bob.command(room, "room.kick", { data: { user_id: "ann" } }),
    403,
    "command-forbidden",
  );

  const one = { connection_id: other.connection_id, reason: "one too many" };
  done(await moderator.command(room, "room.kick", { data: one }));
  const { signal } = await nextSignal(other);
  assert.deepEqual([signal?.kind, signal?.target, signal?.reason], [
    "DISCONNECT",
    room,
    "one too many",
  ]);
  await heardBy(bob, "ann", "bob");
  assert.equal((await other.unsub(room)).reason, "not-subscribed");

  done(await moderator.command(room, "kick", { data: { user_id: "ann", reason: "rude" } }));
  assert.equal((await nextSignal(ann)).signal?.reason, "rude");
  await heardBy(bob, "bob");
  assert.deepEqual([bob.connections, bob.users], [1, 1]);
  done(await ann.sub(room, { presence: true }));
  await heardBy(bob, "ann", "bob");
  refused(await moderator.command(room, "room.kick", { data: {} }), 400, "invalid-command");
  for (const client of [moderator, ann, other, bob]) client[Symbol.dispose]();
}

/** The next signal; the kick or ban that it is about is also a ROOM_UPDATE. */
async function nextSignal(
  client: PresenceClient,
): Promise<Awaited<ReturnType<typeof client.told>>> {
  for (;;) {
    const told = await client.told();
    if (told.signal !== undefined) return told;
    assert.equal(told.type, "ROOM_UPDATE");
  }
}

async function bans(bus: TestBus): Promise<void> {
  const room = "bans";
  const moderator = await open(bus, "mod", { role: "admin" });
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  for (const client of [ann, bob]) await client.sub(room, { presence: true });
  await heardBy(bob, "ann", "bob");
  const ban = { user_id: "ann", reason: "spam" };
  refused(await ann.command(room, "room.ban", { data: ban }), 403, "command-forbidden");

  done(await moderator.command(room, "room.ban", { data: { ...ban, ttl_ms: LONG_MS } }));
  const { signal } = await nextSignal(ann);
  assert.deepEqual([signal?.kind, signal?.target, signal?.reason], ["BAN", "ann", "spam"]);
  assert.equal((await ann.raw.closed()).code, 4403);
  await heardBy(bob, "bob");
  const token = await bus.tokenFor({ user: "ann" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token }), ["403", "banned"]);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const post = { method: "POST", headers, body: '{"type":"t"}' };
  for (
    const [path, init] of [["auth/check", { headers }], [`rooms/${room}/messages`, post]] as const
  ) {
    const answer = await fetch(`${bus.http_url}/v1/${path}`, init);
    const problem = await answer.json();
    assert.deepEqual([answer.status, problem.reason], [403, "banned"], path);
    assert.match(problem.detail, /spam/);
  }
  done(await moderator.command(room, "room.unban", { data: { user_id: "ann" } }));
  (await reconnected(bus, token))[Symbol.dispose]();

  done(await moderator.command(room, "room.ban", { data: { user_id: "bob", scope: "room" } }));
  const told = await nextSignal(bob);
  assert.deepEqual([told.room, told.signal?.kind, told.signal?.target], [room, "BAN", room]);
  refused(await bob.sub(room), 403, "room-banned");
  const { bans: [row], count } = done(await moderator.command(room, "room.bans"));
  const { created_ms, ...kept_out } = row;
  assert.ok(Math.abs(created_ms - Date.now()) < LONG_MS);
  const why = { until_ms: 0, reason: "", by: "mod" };
  assert.deepEqual([kept_out, count], [{ user_id: "bob", scope: "room", ...why }, 1]);
  refused(await bob.command(room, "room.get"), 403, "room-banned");
  done(await bob.sub("other"));
  done(await moderator.sub(room, { presence: true, observer: true }));
  await heardBy(moderator);
  done(await moderator.command(room, "unban", { data: { user_id: "bob", scope: "room" } }));
  for (;;) {
    // The unban reaches the Shield by its watch, after the answer of the command.
    const { code, reason } = await bob.sub(room, { presence: true });
    if (code === 0) break;
    assert.equal(reason, "room-banned");
  }
  for (const client of [moderator, ann, bob]) client[Symbol.dispose]();
}

/** A lifted ban lets in once the Shield has heard of it. */
async function reconnected(bus: TestBus, token: string) {
  for (;;) {
    const [status, reason] = await refusedUpgrade(bus.http_url, { token });
    if (status === "101") return await openText(bus.url, token);
    assert.deepEqual([status, reason], ["403", "banned"]);
  }
}

async function limits(bus: TestBus): Promise<void> {
  const tenant = { tenant: "small" };
  const moderator = await open(bus, "mod", { role: "service", ...tenant });
  for (let index = 0; index < 3; index++) {
    done(await moderator.command("r0", "room.ban", { data: { user_id: `u${index}` } }));
  }
  refused(await moderator.command("r0", "room.ban", { data: { user_id: "u3" } }), 429, "ban-limit");
  done(await moderator.command("r0", "room.ban", { data: { user_id: "u0", scope: "tenant" } }));
  const write = { data: { key: "k", value: 1 } };
  for (const room of ["r1", "r2", "r3"]) done(await moderator.command(room, "room.set", write));
  refused(await moderator.command("r4", "room.set", write), 429, "room-limit");
  done(await moderator.command("r3", "room.set", write));
  moderator[Symbol.dispose]();
}

Deno.test("rooms on a running bus", async (t) => {
  await using bus = await startLocalBus(CONFIG, { constants: { brain: { bans_per_tenant: 3 } } });
  await t.step("state is read, written, deleted and heard of", () => state(bus));
  await t.step("a lock keeps others out until its holder is done or gone", () => locks(bus));
  await t.step("a kick ends subscription and membership, no more", () => kicks(bus));
  await t.step("a ban ends connections and bars the way back", () => bans(bus));
  await t.step("bans and rooms of a tenant are bounded", () => limits(bus));
});

// In which order, and about which room, a reader is judged. Rooms beside a room, whose names the bus keeps for
// itself: whoever may not have the room may have none of them, by any way in, and a policy that is bound to the room
// alone is asked about all of them. What is wrong with a SUB is said before anybody is asked.

const ROOM = "stage-1";

const STAGES = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[[rooms]]
room = "stage-*"
durable = true
membership = "journal"
`;

/** Lets every message through, and nobody subscribe. */
const NOBODY = guest({
  hook: "(i32.const 0)",
  more: '(func (export "arqon_on_subscribe") (result i32) (i32.const 1))',
});

/** Every way to read a room; each gives the reason of the refusal, "" where there is none. */
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

Deno.test("a policy that is bound to a room alone is asked about the rooms beside it, whoever reads them", async () => {
  await using bus = await startLocalBus(STAGES);
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
  const admin = await policyAdmin(bus);
  const { body: { sha256 } } = await admin.upload(NOBODY);
  const policy = { tenant: "default", name: "nobody", sha256, room: ROOM };
  assert.equal((await admin.post("deploy", policy)).status, 200);
  const expected = Object.keys(before).map((key) => [key, "policy-rejected"]);
  assert.deepEqual(await all(), {
    ...Object.fromEntries(expected),
    // Pieces are not kept.
    [`stream ${ROOM}~growing`]: "stream-not-found",
  });
});

Deno.test("a filter is checked before policies are asked, of a room and of a pattern", async () => {
  await using bus = await startLocalBus(STAGES);
  const admin = await policyAdmin(bus);
  const { body: { sha256 } } = await admin.upload(NOBODY);
  const policy = { tenant: "default", name: "nobody", sha256 };
  assert.equal((await admin.post("deploy", policy)).status, 200);
  using client = await openText(bus.url, bus.token);
  for (const room of [ROOM, "stage-*"]) {
    client.send({ op: "sub", room, filter: "type ==", id: 1 });
    assert.equal((await client.json()).reason, "invalid-filter", room);
    client.send({ op: "sub", room, filter: 'type == "chat"', id: 2 });
    assert.equal((await client.json()).reason, "policy-rejected", room);
  }
});

// A room that ends and is born again, as one sees it who has heard it all the time: no GAP, and `first`.

const IDLE = `
[server]
host = "127.0.0.1"
[brain]
idle_timeout_ms = 500
`;

Deno.test("who hears a room that is born again gets its first change, marked, and no GAP", async () => {
  await using bus = await startLocalBus(IDLE);
  const ended = async () => {
    const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return Number(/^brain_rooms_ended_total(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
  };
  await using ann = await connect({ url: bus.url, token: bus.token });
  await using bob = await connect({ url: bus.url, token: bus.token });
  roomState(bob.room("lobby"));
  using heard = bob.room("lobby").subscribe();
  await heard.ready;
  const next = async () => {
    const { value } = await heard.next();
    assert.equal(value?.type, "ROOM_UPDATE", `${value?.signal?.kind} ${value?.signal?.reason}`);
    return value.json<RoomEvent>();
  };
  const state = roomState(ann.room("lobby"));
  await state.set("k", 1);
  const [one, two] = [await next(), (await state.set("k", 2), await next())];
  assert.deepEqual([one.first, two.first, two.version], [true, undefined, one.version + 1]);
  await until("the room ends", async () => await ended() > 0);
  const { events = [] } = (await state.set("k", 3), await state.get("k", { events_after: 0 }));
  const again = await next();
  assert.deepEqual([again.first, again.value], [true, 3]);
  assert.notEqual(again.epoch, two.epoch);
  assert.ok(again.version > two.version);
  assert.deepEqual(events, [again]);
});
