/** A Brain's view of Shields: scenario group I of presence, as far as Brains are concerned, in virtual time. */
import assert from "node:assert/strict";
import type { Entry } from "../../shared/presence/types.ts";
import { HELLO, processSubject } from "../../shared/subjects/subject.ts";
import type { MemberChange } from "../cluster_view.ts";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { member } from "./testing/shield.ts";

const IDS = ({ connection_id }: Entry) => connection_id;

function listed({ presence }: TestBrain, room_id = "lobby"): string[] {
  return [...presence.members("acme", room_id)].map(IDS).sort();
}

/** What a Brain's rooms receive, in short: `+a`, `-b given-up`. */
function recorded({ presence }: TestBrain): string[] {
  const lines: string[] = [];
  presence.onMembers(({ joins, leaves, cause }: MemberChange) => {
    for (const { connection_id } of leaves) lines.push(`-${connection_id} ${cause}`);
    for (const { connection_id } of joins) lines.push(`+${connection_id}`);
  });
  return lines;
}

function one(cluster: TestCluster, id = "b1"): TestBrain {
  const [brain] = cluster.brains(id);
  return brain!;
}

Deno.test("I1: a Brain beats every heartbeat, also when nothing changes", () => {
  const cluster = new TestCluster();
  one(cluster);
  const before = cluster.of("beat", "b1").length;
  cluster.run(10 * cluster.config.heartbeat_ms);
  assert.equal(cluster.of("beat", "b1").length - before, 10);
});

Deno.test("announced stays are from a Shield or a Brain, and journaled ones go to both", () => {
  const cluster = new TestCluster();
  const [one, other] = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  const [entry] = [...one.presence.members("acme", "lobby")] as [Entry];
  const stay = { writer: shield.writer, entry, cause: "closed" as const };
  const reported: (readonly [string | undefined, number])[] = [];
  other.presence.onStays(({ node_id, stays }) => void reported.push([node_id, stays.length]));
  const written: number[] = [];
  other.presence.onStaysWritten(({ stays }) =>
    void written.push(...stays.map((tag) => tag.counter))
  );
  one.presence.shareStays([stay]);
  shield.port.send(processSubject("announce", "s1"), { kind: "stays", stays: [stay], missed: [] });
  const missed = [{ tenant_id: "acme", room_id: "lobby", count: 1, from_ms: 1, to_ms: 2 }];
  const tag = { writer: shield.writer, counter: entry.counter };
  one.presence.confirmStays("s1", { stays: [tag], missed });
  cluster.run(10);
  assert.deepEqual(reported, [[undefined, 1], ["s1", 1]]);
  assert.deepEqual(written, [entry.counter]);
  const sent = cluster.sent.filter(({ message }) => message.kind === "stays_written");
  assert.deepEqual(
    sent.map(({ subject, message }) => [subject, "missed" in message && message.missed.length]),
    [["sys.presence.to.s1", 1], ["sys.presence.to.b2", 0]],
  );
});

Deno.test("I7: members of a Shield that is killed leave, do not return, and are purged", async () => {
  const cluster = new TestCluster({ down_ms: 6_000, forget_ms: 20_000 });
  const brain = one(cluster);
  const lines = recorded(brain);
  const shield = cluster.shield("s1");
  const other = cluster.shield("s2");
  shield.join(member("c1")).announce();
  other.join(member("c2")).announce();
  cluster.run(100);
  cluster.kill(shield);
  cluster.until(() => lines.length === 3, "c1 leaves");
  assert.deepEqual(lines, ["+c1", "+c2", "-c1 given-up"]);
  assert.equal(await brain.metric("brain_presence_members"), 2);
  assert.equal(await brain.metric("brain_presence_writers", { state: "down" }), 1);
  cluster.run(20_000);
  assert.equal(await brain.metric("brain_presence_members"), 1);
  assert.equal(await brain.metric("brain_presence_writers", { state: "forgotten" }), 1);
  assert.deepEqual(lines.slice(3), []);
});

Deno.test("I12: a Shield that says goodbye is removed at once if members have no grace", () => {
  const cluster = new TestCluster({ move_grace_ms: 0 });
  const brains = cluster.brains("b1", "b2");
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  const lines = brains.map(recorded);
  shield.announce(true);
  cluster.kill(shield);
  cluster.run(10);
  assert.deepEqual(lines, [["-c1 reported"], ["-c1 reported"]]);
  cluster.run(cluster.config.heartbeat_ms);
  const [beat] = cluster.of("beat", "b1").slice(-1);
  assert.deepEqual(beat!.writers, [{ writer: shield.writer, clock: 0, state: "forgotten" }]);
});

Deno.test("I12: members of a Shield that says goodbye have their grace: a member that returns in time never left", () => {
  const cluster = new TestCluster({ move_grace_ms: 5_000 });
  const [brain] = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  const going = cluster.shield("s1");
  const next = cluster.shield("s2");
  going.join(member("moves")).join(member("stays away")).announce();
  cluster.run(100);
  const lines = recorded(brain);
  going.announce(true);
  cluster.kill(going);
  cluster.run(1_000);
  next.join(member("moves")).announce();
  cluster.run(3_000);
  assert.deepEqual(listed(brain).toSorted(), ["moves", "moves", "stays away"]);
  assert.equal(brain.presence.count("acme", "lobby").connections, 2, "who moves counts once");
  assert.deepEqual(lines, ["+moves"]);
  for (let passed_ms = 0; passed_ms < 3_000; passed_ms += 100) {
    next.announce();
    cluster.run(100);
  }
  assert.deepEqual(listed(brain), ["moves"]);
  assert.ok(brain.presence.memberOf("acme", "lobby", "moves"));
  assert.ok(!brain.presence.memberOf("acme", "lobby", "stays away"));
  assert.deepEqual(lines.slice(1).toSorted(), ["-moves reported", "-stays away reported"]);
});

Deno.test("I12: a restarting node does not shorten the grace of its previous incarnation's members", () => {
  const cluster = new TestCluster({ move_grace_ms: 5_000 });
  const [brain] = cluster.brains("b1") as [TestBrain];
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  shield.announce(true);
  cluster.kill(shield);
  cluster.run(1_000);
  const again = cluster.shield("s1");
  again.join(member("c2")).announce();
  cluster.run(1_000);
  assert.deepEqual(listed(brain).toSorted(), ["c1", "c2"]);
  for (let passed_ms = 0; passed_ms < 6_000; passed_ms += 100) {
    again.announce();
    cluster.run(100);
  }
  assert.deepEqual(listed(brain), ["c2"]);
});

Deno.test("I12: a goodbye that was lost is learnt from another Brain", () => {
  const cluster = new TestCluster({ move_grace_ms: 0 });
  const [deaf] = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  cluster.loses = (message, _, to) => message.kind === "announcement" && to === "b1";
  shield.announce(true);
  cluster.kill(shield);
  cluster.run(4 * cluster.config.heartbeat_ms);
  assert.deepEqual(listed(deaf), []);
});

Deno.test("I13: a Brain that starts after a Shield died never pulls from it", () => {
  const cluster = new TestCluster({ down_ms: 6_000, forget_ms: 30_000 });
  const first = one(cluster);
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  cluster.kill(shield);
  cluster.run(10_000);
  assert.deepEqual(listed(first), []);
  const late = cluster.brain("b2");
  cluster.run(60_000);
  assert.ok(late.presence.serving);
  assert.deepEqual(cluster.of("pull", "b2"), []);
  const [beat] = cluster.of("beat", "b2").slice(-1);
  assert.deepEqual(beat!.writers.map(({ state }) => state), ["forgotten"], "learnt from b1");
});

Deno.test("a Brain that nobody answers serves after a short while", () => {
  const cluster = new TestCluster();
  const brain = cluster.brain("b1");
  cluster.run(cluster.config.heartbeat_ms / 2);
  assert.ok(brain.presence.serving);
  assert.equal(cluster.sent.filter(({ subject }) => subject === HELLO).length, 1);
});

Deno.test("a Brain that only Shields answer waits a heartbeat: another Brain may not have received it", () => {
  const cluster = new TestCluster();
  cluster.shield("s1");
  const brain = cluster.brain("b1");
  cluster.run(cluster.config.heartbeat_ms);
  assert.ok(!brain.presence.serving);
  assert.equal(cluster.sent.filter(({ subject }) => subject === HELLO).length, 3);
  cluster.run(2 * cluster.config.announce_ms);
  assert.ok(brain.presence.serving);
});

Deno.test("unreadable Shields do not prevent a Brain from serving forever", () => {
  const cluster = new TestCluster();
  for (let index = 0; index < 10; index++) {
    const shield = cluster.shield(`s${index}`);
    shield.answers = false;
    shield.join(member(`c${index}`)).announce();
    cluster.run(cluster.config.heartbeat_ms / 10);
  }
  cluster.loses = (message) => message.kind === "hello";
  const brain = cluster.brain("b1");
  cluster.run(20_000);
  assert.ok(!brain.presence.serving);
  cluster.run(cluster.config.down_ms);
  assert.ok(brain.presence.serving);
});
