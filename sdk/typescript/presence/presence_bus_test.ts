// Presence, rooms and moderation by the SDK on a real bus. `sdk/conformance/scenarios/presence.json` and
// `tests/walks/people` have lost connections and many pages.
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "../../../tests/harness/local_bus.ts";
import { connect } from "../mod.ts";
import type { Connection, Message, Presence, PresenceSubscription } from "../mod.ts";
import { roomState } from "../state.ts";
import { refusedWith } from "../testing/scripted_peer.ts";

async function open(bus: TestBus, user: string, role?: "service"): Promise<Connection> {
  const token = await bus.tokenFor(role === undefined ? { user } : { user, role });
  return await connect({ url: bus.url, token });
}

/** Follows the list until it has exactly these users. */
async function untilUsers(presence: Presence, ...users: string[]): Promise<void> {
  const wanted = [...users].sort().join();
  // An empty list has no change to wait for.
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

async function asking(bus: TestBus): Promise<void> {
  await using ann = await open(bus, "ann");
  await using also_ann = await open(bus, "ann");
  await using eve = await open(bus, "eve");
  const rooms = [ann, also_ann].map((each) => each.room("p-2").subscribe({ presence: true }));
  const observer = eve.room("p-2").subscribe({ presence: true, observer: true });
  await Promise.all([...rooms, observer].map((each) => each.ready));
  await untilUsers(observer.presence, "ann", "ann");
  assert.deepEqual([observer.presence.count, observer.presence.users], [2, 1]);
  // A Brain may receive a join slightly later than this Shield.
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
  const hers = ann.room("p-3");
  const his = bob.room("p-3");
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
  const messages: PresenceSubscription = bob.room("p-5").subscribe({ presence: true });
  await messages.ready;
  await room.ban("bob", { scope: "room", reason: "spam" });
  assert.deepEqual((await last(messages)).signal?.kind, "BAN");
  const refused = bob.room("p-5").subscribe();
  await assert.rejects(refused.next(), refusedWith("room-banned"));
  await room.unban("bob", { scope: "room" });
  await room.ban("bob", { ttl_ms: 600_000 });
  assert.equal((await bob.closed)?.reason, "banned");
  await assert.rejects(open(bus, "bob"), refusedWith("banned"));
  await room.unban("bob");
}

Deno.test("presence, rooms and moderation on a running bus", async (t) => {
  await using bus = await startLocalBus();
  await t.step(
    "an observer sees members and is not one; members and count agree",
    () => asking(bus),
  );
  await t.step("state, versions and locks hold between two clients", () => state(bus));
  await t.step("a kick ends the loop with its reason; the user may return", () => kick(bus));
  await t.step("bans from the room and from the tenant are applied", () => ban(bus));
});
