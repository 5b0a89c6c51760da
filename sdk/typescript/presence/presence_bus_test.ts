// Presence, rooms and moderation through the SDK against a real bus.
import assert from "node:assert/strict";
import { startBus, type TestBus } from "../../../tests/harness/bus.ts";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { connect } from "../mod.ts";
import type { Connection, Message, Presence, PresenceSubscription } from "../mod.ts";
import { roomState } from "../state.ts";
import { refusedWith } from "../testing/scripted_peer.ts";

async function open(bus: TestBus, user: string, role?: "service"): Promise<Connection> {
  const token = await bus.tokenFor(role === undefined ? { user } : { user, role });
  return await connect({ url: bus.url, token });
}

/** Follows the list from its beginning until it holds exactly these users. */
async function untilUsers(presence: Presence, ...users: string[]): Promise<void> {
  const wanted = [...users].sort().join();
  // Of a list that is empty already there is no change to wait for.
  if (wanted === "" && presence.count === 0) return;
  const list = new Map<string, string>();
  for await (const { joined, left } of presence.changes()) {
    for (const { connection_id, user_id } of joined) list.set(connection_id, user_id);
    for (const { connection_id } of left) assert.ok(list.delete(connection_id));
    if ([...list.values()].sort().join() === wanted) return;
  }
  assert.fail("the changes ended");
}

async function last(messages: AsyncIterable<Message>): Promise<Message> {
  const all = await Array.fromAsync(messages);
  assert.ok(all.length > 0, "the loop ended without a word");
  return all.at(-1) as Message;
}

async function comeAndGo(bus: TestBus): Promise<void> {
  await using ann = await open(bus, "ann");
  using room = ann.room("p-1").subscribe({ presence: true, member_meta: { n: 1 } });
  await room.ready;
  assert.deepEqual(
    [...room.presence.members.values()].map(({ user_id, meta }) => [user_id, meta]),
    [
      ["ann", { n: 1 }],
    ],
  );
  const changes = room.presence.changes();
  await changes.next();
  const bob = await open(bus, "bob");
  const his = bob.room("p-1").subscribe({ presence: true });
  await his.ready;
  assert.equal(his.presence.count, 2);
  const came = (await changes.next()).value?.joined ?? [];
  assert.deepEqual(came.map(({ user_id, meta }) => [user_id, meta]), [["bob", null]]);
  await his.update("away");
  const updated = (await changes.next()).value?.updated ?? [];
  assert.deepEqual(updated, [{ ...came[0], meta: "away" }]);
  await bob.close();
  const left = (await changes.next()).value?.left ?? [];
  assert.deepEqual(left, updated);
  assert.deepEqual([room.presence.count, room.presence.users], [1, 1]);
}

async function asking(bus: TestBus): Promise<void> {
  await using ann = await open(bus, "ann");
  await using also_ann = await open(bus, "ann");
  await using eve = await open(bus, "eve");
  const rooms = [ann, also_ann].map((each) => each.room("p-2").subscribe({ presence: true }));
  const observer = eve.room("p-2").subscribe({ presence: true, observer: true });
  await Promise.all([...rooms, observer].map((each) => each.ready));
  await untilUsers(observer.presence, "ann", "ann");
  assert.deepEqual([observer.presence.count, observer.presence.users], [2, 1]);
  // A Brain may hear of a join a moment later than this Shield.
  let counted = await eve.room("p-2").count();
  while (counted.connections < 2) counted = await eve.room("p-2").count();
  assert.deepEqual(counted, { connections: 2, users: 1 });
  const members = await Array.fromAsync(eve.room("p-2").members());
  assert.deepEqual(
    members.map(({ connection_id }) => connection_id).sort(),
    [...observer.presence.members.keys()].sort(),
  );
}

async function state(bus: TestBus): Promise<void> {
  await using ann = await open(bus, "ann");
  await using bob = await open(bus, "bob");
  const [hers, his] = [ann.room("p-3"), bob.room("p-3")];
  const { version, epoch } = await roomState(hers).set("topic", { tea: true });
  const value = await roomState(his).get("topic", { after_version: version, epoch });
  assert.deepEqual([value.value, value.exists, value.version], [{ tea: true }, true, version]);
  await assert.rejects(
    roomState(his).set("topic", 1, { expect_version: version + 1 }),
    refusedWith("version-conflict"),
  );
  const { fence } = await hers.lock({ ttl_ms: 60_000 });
  await assert.rejects(roomState(his).set("topic", 1), refusedWith("locked"));
  await roomState(hers).set("seats", 3, { fence });
  const whole = await roomState(his).get();
  assert.deepEqual(whole.state, { topic: { tea: true }, seats: 3 });
  assert.deepEqual([whole.lock?.holder, whole.lock?.fence], ["ann", fence]);
  assert.equal((await hers.lock({ fence })).fence, fence);
  await hers.unlock(fence);
  await assert.rejects(hers.unlock(fence), refusedWith("fence-mismatch"));
  await roomState(his).delete("topic");
  assert.equal((await roomState(hers).get("topic")).exists, false);
}

async function kick(bus: TestBus): Promise<void> {
  await using boss = await open(bus, "boss", "service");
  await using bob = await open(bus, "bob");
  using watching = boss.room("p-4").subscribe({ presence: true, observer: true });
  await watching.ready;
  const kicked = bob.room("p-4").subscribe({ presence: true });
  await Promise.all([kicked.ready, untilUsers(watching.presence, "bob")]);
  await boss.room("p-4").kick({ user_id: "bob" }, { reason: "off topic" });
  const { signal } = await last(kicked);
  assert.deepEqual([signal?.kind, signal?.target, signal?.reason], [
    "DISCONNECT",
    "p-4",
    "off topic",
  ]);
  await untilUsers(watching.presence);
  using again = bob.room("p-4").subscribe({ presence: true });
  await Promise.all([again.ready, untilUsers(watching.presence, "bob")]);
  await assert.rejects(bob.room("p-4").kick({ user_id: "boss" }), refusedWith("command-forbidden"));
}

async function ban(bus: TestBus): Promise<void> {
  await using boss = await open(bus, "boss", "service");
  await using bob = await open(bus, "bob");
  const room = boss.room("p-5");
  const heard: PresenceSubscription = bob.room("p-5").subscribe({ presence: true });
  await heard.ready;
  await room.ban("bob", { scope: "room", reason: "spam" });
  assert.deepEqual((await last(heard)).signal?.kind, "BAN");
  const refused = bob.room("p-5").subscribe();
  await assert.rejects(refused.next(), refusedWith("room-banned"));
  await room.unban("bob", { scope: "room" });
  await room.ban("bob", { ttl_ms: 600_000 });
  assert.equal((await bob.closed)?.reason, "banned");
  await assert.rejects(open(bus, "bob"), refusedWith("banned"));
  await room.unban("bob");
}

Deno.test("presence, rooms and moderation on a running bus", async (t) => {
  await using bus = await startBus();
  await t.step("members come, change and go, and others hear it", () => comeAndGo(bus));
  await t.step(
    "an observer sees and is not seen; members and count say the same",
    () => asking(bus),
  );
  await t.step("state, versions and locks hold between two clients", () => state(bus));
  await t.step("a kick ends the loop with its reason; the user may come back", () => kick(bus));
  await t.step("a ban from the room and one from the tenant do what they say", () => ban(bus));
});

Deno.test("a room of many pages: the list is whole when the subscription is ready", async () => {
  await using bus = await startLocalBus('[server]\nhost = "127.0.0.1"\n', {
    constants: { presence: { page_members: 10 } },
  });
  const token = await bus.tokenFor({ user: "crowd" });
  const crowd = await Promise.all(
    Array.from({ length: 25 }, () => connect({ url: bus.url, token })),
  );
  const rooms = crowd.map((each, n) =>
    each.room("hall").subscribe({ presence: true, member_meta: n })
  );
  await Promise.all(rooms.map((room) => room.ready));
  await untilUsers(rooms[0]!.presence, ...new Array<string>(25).fill("crowd"));
  await using ann = await open(bus, "ann");
  using room = ann.room("hall").subscribe({ presence: true, observer: true });
  await room.ready;
  assert.deepEqual([room.presence.count, room.presence.users], [25, 1]);
  assert.deepEqual(
    [...room.presence.members.values()].map(({ meta }) => Number(meta)).sort((a, b) => a - b),
    Array.from({ length: 25 }, (_, n) => n),
  );
  while ((await ann.room("hall").count()).connections < 25);
  assert.equal((await Array.fromAsync(ann.room("hall").members())).length, 25);
  await Promise.all(crowd.map((each) => each.close()));
  await untilUsers(room.presence);
});

Deno.test("a bus that is killed and started again: the list comes back, and only differences are told", async () => {
  const first = await startBus();
  const port = new URL(first.url).port;
  const backoff = { base_ms: 20, max_ms: 200 };
  const join = async (user: string) =>
    await connect({ url: first.url, token: await first.tokenFor({ user }), backoff });
  await using ann = await join("ann");
  await using bob = await join("bob");
  using hers = ann.room("lobby").subscribe({ presence: true, member_meta: 1 });
  using his = bob.room("lobby").subscribe({ presence: true });
  await Promise.all([hers.ready, his.ready]);
  await untilUsers(hers.presence, "ann", "bob");
  await hers.update(2);
  const before = [...hers.presence.members.keys()].sort();
  await first.stop("SIGKILL");
  assert.deepEqual([...hers.presence.members.keys()].sort(), before, "it stands still");
  const list = new Set(before);
  const changes = hers.presence.changes();
  await changes.next();
  await using _second = await startBus(["--port", port]);
  const users = () => [...hers.presence.members.values()].map(({ user_id }) => user_id).sort();
  for await (const { joined, left } of changes) {
    for (const { connection_id } of left) assert.ok(list.delete(connection_id));
    for (const { connection_id } of joined) list.add(connection_id);
    if (users().join() === "ann,bob" && before.every((id) => !list.has(id))) break;
  }
  assert.deepEqual([...list].sort(), [...hers.presence.members.keys()].sort());
  const own = hers.presence.members.get(ann.welcome.connection_id);
  assert.deepEqual([own?.user_id, own?.meta], ["ann", 2]);
  await first[Symbol.asyncDispose]();
});
