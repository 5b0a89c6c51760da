/** A Brain that was itself unreachable, and Brains that start, stop and are not believed. In virtual time. */
import assert from "node:assert/strict";
import type { Beat } from "../../shared/presence/messages.ts";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { member } from "./testing/shield.ts";

const SLOW = { down_ms: 6_000, forget_ms: 60_000 };

function listed({ presence }: TestBrain): string[] {
  return [...presence.members("acme", "lobby")].map(({ connection_id }) => connection_id).sort();
}

function leaves({ presence }: TestBrain): string[] {
  const gone: string[] = [];
  presence.onMembers((change) => gone.push(...change.leaves.map((entry) => entry.connection_id)));
  return gone;
}

function beats(cluster: TestCluster, from: string): Beat {
  return cluster.of("beat", from).at(-1)!;
}

Deno.test("a stalled Brain blames no Shield and no Brain, and begins a new term", async () => {
  const cluster = new TestCluster(SLOW);
  const [frozen] = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  cluster.shield("s1").join(member("c1")).announce();
  cluster.run(100);
  const gone = leaves(frozen);
  const term = await frozen.metric("brain_cluster_term");
  let changes = 0;
  frozen.presence.onOwnership(() => changes++);
  cluster.freeze(frozen);
  cluster.run(40_000);
  cluster.thaw(frozen);
  cluster.run(2 * cluster.config.heartbeat_ms);
  assert.deepEqual(gone, []);
  assert.equal(changes, 1, "others may have spoken for its rooms meanwhile");
  assert.deepEqual(frozen.presence.brains, ["b1", "b2"]);
  assert.equal(await frozen.metric("brain_cluster_term"), term + 1);
  assert.ok(frozen.lines.some((line) => line.includes("was away")));
});

Deno.test("without a Spine nobody is considered down; after it returns, missed changes are pulled", () => {
  const cluster = new TestCluster(SLOW);
  const [brain] = cluster.brains("b1");
  const { presence, ring } = brain!;
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  const gone = leaves(brain!);
  ring.spineLost();
  cluster.loses = () => true;
  shield.join(member("c2")).announce();
  cluster.run(30_000);
  assert.deepEqual(gone, []);
  assert.equal(presence.isFresh(), false);
  cluster.loses = () => false;
  ring.spineBack();
  cluster.run(100);
  assert.deepEqual(listed(brain!), ["c1", "c2"], "it asked at once");
  assert.deepEqual(gone, []);
  assert.equal(presence.isFresh(), true);
});

Deno.test("a suspected Brain owns nothing until its next beat", () => {
  const cluster = new TestCluster();
  const [one] = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  let changes = 0;
  const unlisten = one.presence.onOwnership(() => changes++);
  one.presence.suspect("b2");
  assert.deepEqual(one.presence.brains, ["b1"]);
  assert.equal(changes, 1);
  one.presence.suspect("b1");
  assert.deepEqual(one.presence.brains, ["b1"], "it does not suspect itself");
  cluster.run(cluster.config.heartbeat_ms + 10);
  assert.deepEqual(one.presence.brains, ["b1", "b2"]);
  assert.equal(changes, 2);
  unlisten();
  one.presence.suspect("b2");
  assert.equal(changes, 2);
});

Deno.test("of two Brains with one id the younger speaks", async () => {
  const cluster = new TestCluster();
  const [older] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  cluster.run(100);
  const beat = { ...beats(cluster, "b1"), boot: cluster.now_ms };
  older!.receive("sys.cluster.beat.b1", { ...beat, boot: 1 });
  shield.join(member("c1")).announce();
  cluster.run(100);
  assert.equal(cluster.of("room_update").length, 1, "an older one changes nothing");
  older!.receive("sys.cluster.beat.b1", beat);
  older!.receive("sys.cluster.beat.b1", beat);
  shield.join(member("c2")).announce();
  cluster.run(100);
  assert.equal(cluster.of("room_update").length, 1, "it speaks for no room any more");
  assert.equal(older!.lines.filter((line) => line.includes("level=error")).length, 1);
  const refused = await older!.metric("brain_cluster_refused_total", { reason: "own-id" });
  assert.equal(refused, 3);
});

Deno.test("many requests at once are answered with one heartbeat", () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  cluster.run(500);
  const before = cluster.of("beat").length;
  for (let index = 0; index < 100; index++) {
    brain!.receive("sys.cluster.hello", { kind: "hello", from: `n${index}` });
  }
  cluster.run(100);
  assert.equal(cluster.of("beat").length - before, 2, "one at once, one for all others");
});

Deno.test("presence is fresh when every Shield was received recently and nothing is missing", () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  const { presence, ring } = brain!;
  assert.equal(presence.isFresh(), true, "there is nobody");
  const shield = cluster.shield("s1");
  cluster.run(100);
  assert.equal(presence.isFresh(), true);
  cluster.freeze(shield);
  cluster.run(3 * cluster.config.heartbeat_ms);
  assert.equal(presence.isFresh(), false, "it was not heard of");
  cluster.thaw(shield);
  cluster.run(100);
  assert.equal(presence.isFresh(), true);
  shield.answers = false;
  cluster.loses = ({ kind }) => kind === "announcement";
  shield.join(member("c1")).announce();
  cluster.loses = () => false;
  shield.announce();
  cluster.run(10);
  assert.equal(presence.isFresh(), false, "something is being pulled");
  shield.answers = true;
  cluster.run(2 * cluster.config.heartbeat_ms);
  assert.equal(presence.isFresh(), true);
  ring.drain();
  assert.equal(presence.isFresh(), false);
});

Deno.test("a Brain without peers owns its rooms", () => {
  const cluster = new TestCluster();
  const brain = cluster.brain("b1");
  assert.equal(brain.presence.ownerOf("acme", "lobby"), "b1");
  brain.ring.drain();
  assert.equal(brain.presence.ownerOf("acme", "lobby"), "b1");
  brain.ring.drain();
  assert.equal(cluster.of("beat").filter(({ state }) => state === "draining").length, 1);
});

Deno.test("a listener that throws does not affect the others", () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  brain!.presence.onMembers(() => {
    throw new Error("broken room");
  });
  const gone = leaves(brain!);
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  shield.leave("c1").announce();
  cluster.run(100);
  assert.deepEqual(gone, ["c1"]);
  assert.ok(brain!.lines.some((line) => line.includes("broken room")));
});
