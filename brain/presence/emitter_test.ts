/**
 * What Brains publish about rooms: sequences, batches, snapshots, bounds. In virtual time. `tests/presence_simulation`
 * has losses and hand-overs.
 */
import assert from "node:assert/strict";
import { IDLE_MS } from "./emitter.ts";
import { ANSWERS_MAX } from "../../shared/presence/paced_sender.ts";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { TestFollower } from "./testing/follower.ts";
import { member } from "./testing/shield.ts";

function follow(cluster: TestCluster, id: string, room_id?: string): TestFollower {
  const follower = new TestFollower(cluster, id, room_id);
  cluster.join(follower);
  return follower;
}

/** One Brain, one Shield, and a follower that watches the room and has seen it empty. */
function stand(message_bytes = 524_288) {
  const cluster = new TestCluster();
  const brain = cluster.brain("b1", { message_bytes });
  cluster.until(() => brain.presence.serving, "it serves");
  const shield = cluster.shield("s1");
  const follower = follow(cluster, "f1");
  cluster.run(2 * cluster.config.heartbeat_ms);
  return { cluster, brain, shield, follower };
}

function ids(count: number, prefix = "c"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

Deno.test("the first change goes out at once, what follows within announce_ms together", () => {
  const { cluster, shield, follower } = stand();
  shield.join(member("c1")).announce();
  cluster.run(3);
  assert.deepEqual(follower.list, ["c1"]);
  for (const id of ["c2", "c3", "c4"]) shield.join(member(id)).announce();
  cluster.run(3);
  assert.deepEqual(follower.list, ["c1"]);
  cluster.run(cluster.config.announce_ms);
  assert.deepEqual(follower.list, ["c1", "c2", "c3", "c4"]);
  const updates = cluster.of("room_update");
  assert.deepEqual(updates.map(({ sequence }) => sequence), [1, 2]);
  assert.deepEqual(updates[1]!.clocks, [{ writer: shield.writer, clock: 4 }]);
  assert.equal(follower.gaps, 0);
});

Deno.test("a member that joins and leaves within a batch is not notified", () => {
  const { cluster, shield, follower } = stand();
  shield.join(member("c1")).announce();
  shield.join(member("c2")).announce();
  shield.leave("c2").announce();
  shield.join(member("c1", "lobby", "1")).announce();
  shield.join(member("c1", "lobby", "2")).announce();
  cluster.run(100);
  const [, second] = cluster.of("room_update");
  assert.deepEqual(second!.joins.map(({ entry }) => entry.meta), ["2"]);
  assert.deepEqual(second!.leaves.map(({ counter }) => counter), [1]);
  assert.deepEqual(follower.list, ["c1"]);
  assert.deepEqual(follower.mistakes, []);
});

Deno.test("many joins are cut to messages; the leave of an update stays with its join", () => {
  const { cluster, shield, follower } = stand(4_096);
  shield.join(...ids(100).map((id) => member(id))).announce();
  cluster.run(100);
  const before = cluster.of("room_update").length;
  assert.ok(before > 3);
  assert.equal(follower.members.size, 100);
  shield.join(...ids(100).map((id) => member(id, "lobby", '{"n":1}'))).announce();
  cluster.run(100);
  const updates = cluster.of("room_update").slice(before);
  assert.ok(updates.length > 3);
  for (const { joins, leaves } of updates) assert.equal(joins.length, leaves.length);
  assert.equal(follower.gaps, 0);
  assert.deepEqual(follower.mistakes, []);
});

Deno.test("a snapshot arrives in pages with all clocks, and updates continue from it", () => {
  const { cluster, shield } = stand(4_096);
  cluster.shield("s2");
  shield.join(...ids(100).map((id) => member(id))).announce();
  cluster.run(100);
  const late = follow(cluster, "f2");
  cluster.run(2 * cluster.config.heartbeat_ms);
  assert.equal(late.members.size, 100);
  const pages = cluster.of("room_snapshot").filter(({ entries }) => entries.length > 0);
  assert.ok(pages.length > 3);
  assert.deepEqual(
    pages[0]!.clocks.map(({ writer, clock }) => [writer.node_id, clock]),
    [["s1", 100], ["s2", 0]],
  );
  shield.leave("c7").announce();
  cluster.run(100);
  assert.equal(late.members.size, 99);
  assert.equal(late.gaps, 0);
});

function owned(brains: readonly TestBrain[], room_id: string): TestBrain {
  const owner = brains[0]!.presence.ownerOf("acme", room_id);
  return brains.find(({ id }) => id === owner)!;
}

Deno.test("one Brain speaks for a room, all of them for all rooms", () => {
  const cluster = new TestCluster();
  const brains = cluster.brains("b1", "b2", "b3");
  const shield = cluster.shield("s1");
  const rooms = ids(60, "room-");
  shield.join(...rooms.map((room_id) => member(`c-${room_id}`, room_id))).announce();
  cluster.run(100);
  const spoken = cluster.sent.filter(({ message }) => message.kind === "room_update");
  assert.equal(spoken.length, rooms.length);
  assert.equal(new Set(spoken.map(({ from }) => from)).size, 3);
  for (const { from, message } of spoken) {
    if (message.kind !== "room_update") continue;
    for (const { presence } of brains) {
      assert.equal(presence.ownerOf("acme", message.room_id), from);
    }
  }
});

Deno.test("rooms that stay with their Brain keep their sequence when another one joins", () => {
  const cluster = new TestCluster();
  const first = cluster.brains("b1");
  const shield = cluster.shield("s1");
  const rooms = ids(20, "room-");
  const followers = rooms.map((room_id) => follow(cluster, `f-${room_id}`, room_id));
  const say = (round: number) =>
    shield.join(...rooms.map((room_id) => member(`c${round}-${room_id}`, room_id))).announce();
  say(1);
  cluster.run(2 * cluster.config.heartbeat_ms);
  const brains = [...first, cluster.brain("b2")];
  cluster.run(2 * cluster.config.heartbeat_ms);
  for (const follower of followers) follower.gaps = 0;
  say(2);
  cluster.run(100);
  const kept = followers.filter((_, index) => owned(brains, rooms[index]!).id === "b1");
  assert.ok(kept.length > 0 && kept.length < rooms.length);
  for (const follower of kept) assert.equal(follower.sequence, 2);
  for (const follower of followers) {
    assert.equal(follower.members.size, 2);
    assert.deepEqual(follower.mistakes, []);
    assert.equal(follower.gaps, 0, "the check found the new owner before the change");
  }
});

Deno.test("a room without subscribers is dropped, and never reuses a sequence number", () => {
  const { cluster, brain, shield, follower } = stand();
  shield.join(member("c1")).announce();
  cluster.run(100);
  cluster.kill(follower);
  const known = { emitter: follower.emitter, sequence: follower.sequence };
  cluster.run(IDLE_MS + 120_000);
  shield.leave("c1").announce();
  cluster.run(100);
  const last = cluster.of("room_update").at(-1)!;
  assert.deepEqual(last.emitter, known.emitter);
  assert.ok(last.sequence > known.sequence + 1, "a table that stands there sees a gap");
  assert.equal(brain.presence.count("acme", "lobby").connections, 0);
});

Deno.test("a starting Brain answers no request for a room", () => {
  const cluster = new TestCluster();
  const shield = cluster.shield("s1");
  shield.answers = false;
  shield.join(member("c1")).announce();
  const brain = cluster.brain("b1");
  cluster.run(1_000);
  const room = { tenant_id: "acme", room_id: "lobby" };
  const direct = "sys.presence.to.b1";
  brain.receive(direct, { kind: "room_pull", from: "f1", request: 1, ...room });
  const rooms = [{ ...room, emitter: undefined, sequence: 0 }];
  brain.receive(direct, { kind: "room_check", from: "f1", request: 2, rooms });
  cluster.run(10);
  assert.equal(cluster.of("room_snapshot").length + cluster.of("room_differs").length, 0);
});

Deno.test("a request to the wrong Brain is answered, with a notice that the table is wrong", () => {
  const cluster = new TestCluster();
  const brains = cluster.brains("b1", "b2");
  cluster.shield("s1").join(member("c1")).announce();
  cluster.run(100);
  const owner = owned(brains, "lobby");
  const other = brains.find((brain) => brain !== owner)!;
  const room = { tenant_id: "acme", room_id: "lobby" };
  const direct = `sys.presence.to.${other.id}`;
  other.receive(direct, { kind: "room_pull", from: "f1", request: 1, ...room });
  const [snapshot] = cluster.of("room_snapshot", other.id);
  assert.equal(snapshot!.entries.length, 1);
  const { emitter, sequence } = snapshot!;
  const rooms = [{ ...room, emitter, sequence }];
  other.receive(direct, { kind: "room_check", from: "f1", request: 2, rooms });
  const [differs] = cluster.of("room_differs", other.id);
  assert.deepEqual(differs!.rooms, [{ ...room, emitter: undefined, sequence: 0 }]);
});

Deno.test("concurrent long answers beyond the limit are refused and counted", async () => {
  const { cluster, brain, shield } = stand(4_096);
  shield.join(...ids(200).map((id) => member(id))).announce();
  cluster.run(100);
  const room = { tenant_id: "acme", room_id: "lobby" };
  for (let request = 1; request <= ANSWERS_MAX + 3; request++) {
    brain.receive("sys.presence.to.b1", { kind: "room_pull", from: "f9", request, ...room });
  }
  const { writer } = shield;
  brain.receive("sys.presence.to.b1", { kind: "pull", from: "b9", request: 1, writer, clock: 0 });
  // One of them was sent in part at once, and waits for its next turn with the others.
  assert.equal(await brain.metric("brain_presence_refused_total", { reason: "busy" }), 4);
  cluster.run(10_000);
  brain.receive("sys.presence.to.b1", { kind: "room_pull", from: "f9", request: 99, ...room });
  cluster.run(1_000);
  const answered = cluster.of("room_snapshot").filter(({ request }) => request === 99);
  assert.equal(answered.length, answered[0]!.pages);
});
