/** Pulling alone: whom it asks, how often, how many concurrently. In virtual time. */
import assert from "node:assert/strict";
import { BURST_PAGES, PacedSender } from "../../shared/presence/paced_sender.ts";
import { ATTEMPTS, PULLS_MAX } from "./pulls.ts";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { member, type TestShield } from "./testing/shield.ts";

/** A Brain, and a Shield of which it has missed something; the Shield announces nothing more on its own. */
function behind(): { cluster: TestCluster; brain: TestBrain; shield: TestShield } {
  const cluster = new TestCluster({
    heartbeat_ms: 60_000,
    down_ms: 600_000,
    brain_timeout_ms: 120_000,
  });
  const brain = cluster.brain("b1", { settle_ms: 100 });
  cluster.until(() => brain.presence.serving, "it serves");
  const shield = cluster.shield("s1");
  shield.answers = false;
  cluster.run(100);
  cluster.loses = ({ kind }) => kind === "announcement";
  shield.join(member("c1")).announce();
  cluster.loses = () => false;
  shield.announce();
  cluster.run(10);
  return { cluster, brain, shield };
}

function pulls(cluster: TestCluster): string[] {
  return cluster.sent.filter(({ message }) => message.kind === "pull").map(({ subject }) =>
    subject
  );
}

Deno.test("an unanswered request is retried a few times, a second apart, then dropped", async () => {
  const { cluster, brain, shield } = behind();
  assert.equal(pulls(cluster).length, 1);
  cluster.run(900);
  assert.equal(pulls(cluster).length, 1);
  cluster.run(400);
  assert.equal(pulls(cluster).length, 2);
  cluster.run(50_000);
  assert.equal(pulls(cluster).length, ATTEMPTS);
  assert.equal(await brain.metric("brain_presence_pulls_total", { outcome: "timeout" }), ATTEMPTS);
  shield.answers = true;
  shield.announce();
  cluster.run(100);
  assert.equal(brain.presence.count("acme", "lobby").connections, 1);
});

Deno.test("announcements after a hole ask no second time while the first question is open", () => {
  const { cluster, shield } = behind();
  for (let index = 0; index < 20; index++) shield.join(member(`d${index}`)).announce();
  cluster.run(100);
  assert.equal(pulls(cluster).length, 1);
});

Deno.test("changes during a pull are not lost", () => {
  const { cluster, brain, shield } = behind();
  shield.join(member("c2")).announce();
  cluster.run(10);
  shield.answers = true;
  cluster.loses = (message) => message.kind === "announcement";
  cluster.until(() => brain.presence.count("acme", "lobby").connections === 2, "both", 3_000);
});

Deno.test("an incomplete answer causes another request", async () => {
  const { cluster, brain } = behind();
  const { request } = cluster.of("pull")[0]!;
  const unknown = { full: false, delta: undefined, page: 0, pages: 1, request } as const;
  brain.receive("sys.presence.to.b1", { kind: "pulled", ...unknown });
  assert.equal(pulls(cluster).length, 2);
  assert.equal(await brain.metric("brain_presence_pulls_total", { outcome: "unknown" }), 1);
});

Deno.test("a limited number of Shields is pulled at once, the others in turn", () => {
  const cluster = new TestCluster();
  const shields = Array.from({ length: 3 * PULLS_MAX }, (_, index) => cluster.shield(`s${index}`));
  for (const shield of shields) shield.join(member(`c-${shield.id}`)).announce();
  cluster.run(100);
  const brain = cluster.brain("b1");
  cluster.run(3);
  assert.equal(pulls(cluster).length, PULLS_MAX);
  cluster.run(50);
  assert.equal(pulls(cluster).length, shields.length, "the next when one is done");
  assert.equal(brain.presence.count("acme", "lobby").connections, shields.length);
});

Deno.test("a Shield that says goodbye is no longer pulled", () => {
  const { cluster, shield } = behind();
  assert.equal(pulls(cluster).length, 1);
  shield.announce(true);
  cluster.run(10_000);
  assert.equal(pulls(cluster).length, 1);
});

Deno.test("a goodbye after a hole is no reason to ask", () => {
  const cluster = new TestCluster({ move_grace_ms: 1_000 });
  const [brain] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(10);
  cluster.loses = ({ kind }) => kind === "announcement";
  shield.join(member("c2")).announce();
  cluster.loses = () => false;
  shield.announce(true);
  cluster.run(10_000);
  assert.equal(brain!.presence.count("acme", "lobby").connections, 0);
  assert.equal(pulls(cluster).length, 0);
});

Deno.test("an answer may be slow as long as pages arrive", () => {
  const { cluster, brain, shield } = behind();
  const { request, writer } = cluster.of("pull")[0]!;
  for (let page = 0; page < 4; page++) {
    cluster.run(900);
    const entries = page < 3 ? [] : shield.entries;
    const delta = { writer, start: 0, end: shield.clock, entries, removed: [] };
    brain.receive("sys.presence.to.b1", {
      kind: "pulled",
      request,
      page,
      pages: 4,
      full: false,
      delta,
    });
  }
  assert.equal(brain.presence.count("acme", "lobby").connections, 1);
  assert.equal(pulls(cluster).length, 1);
});

Deno.test("a Brain that claims too much is believed once, until the Shield itself has spoken", () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.run(100);
  brain!.receive("sys.cluster.beat.b2", {
    kind: "beat",
    brain_id: "b2",
    boot: 1,
    state: "serving",
    writers: [{ writer: shield.writer, clock: 99, state: "up" }],
  });
  cluster.run(10 * cluster.config.heartbeat_ms);
  assert.equal(pulls(cluster).length, 1);
  assert.ok(brain!.presence.isFresh());
});

Deno.test("what another Brain's heartbeat shows is pulled a moment later, from the most complete one", () => {
  const cluster = new TestCluster();
  const [brain] = cluster.brains("b1");
  const shield = cluster.shield("s1");
  shield.answers = false;
  cluster.run(100);
  const beat = (brain_id: string, clock: number) =>
    brain!.receive(`sys.cluster.beat.${brain_id}`, {
      kind: "beat",
      brain_id,
      boot: 1,
      state: "serving",
      writers: [{ writer: shield.writer, clock, state: "up" }],
    });
  for (const [brain_id, clock] of [["b2", 3], ["b3", 9], ["b4", 5]] as const) beat(brain_id, clock);
  assert.equal(pulls(cluster).length, 0, "it may be under way");
  cluster.run(cluster.config.announce_ms);
  assert.deepEqual(pulls(cluster), ["sys.presence.to.s1"]);
  cluster.run(1_300);
  assert.equal(pulls(cluster)[1], "sys.presence.to.b3");
});

Deno.test("when the Spine returns, pending requests are retried at once", () => {
  const { cluster, brain } = behind();
  brain.ring.spineLost();
  cluster.run(200);
  brain.ring.spineBack();
  assert.equal(pulls(cluster).length, 2);
});

Deno.test("a Brain answers for a Shield with a delta, everything, or that it is unknown", async () => {
  const cluster = new TestCluster();
  const brain = cluster.brain("b1", { message_bytes: 4_096 });
  const shield = cluster.shield("s1");
  shield.join(...Array.from({ length: 100 }, (_, index) => member(`c${index}`))).announce();
  cluster.until(() => brain.presence.serving, "it serves");
  cluster.run(100);
  const ask = (node_id: string, clock: number) => {
    const writer = { ...shield.writer, node_id };
    brain.receive("sys.presence.to.b1", {
      kind: "pull",
      from: "b9",
      request: clock,
      writer,
      clock,
    });
    cluster.run(100);
    return cluster.of("pulled", "b1").filter(({ request }) => request === clock);
  };
  shield.join(member("late")).announce();
  cluster.run(100);
  const [delta, ...none] = ask("s1", 100);
  assert.deepEqual(delta!.delta!.entries.map(({ connection_id }) => connection_id), ["late"]);
  assert.equal(none.length, 0);
  const full = ask("s1", 0);
  assert.ok(full.length > 2 && full.every(({ pages }) => pages === full.length));
  assert.equal(full.flatMap((page) => page.delta!.entries).length, 101);
  assert.equal(ask("nobody", 7)[0]!.delta, undefined);
  assert.equal(await brain.metric("brain_presence_pulls_served_total"), 3);
});

Deno.test("long answers go out a few pages at a time, several in turns, each in order", () => {
  const cluster = new TestCluster();
  const port = cluster.port("b1");
  const sender = new PacedSender(port);
  const pages = (request: number) =>
    Array.from({ length: 3 * BURST_PAGES }, (_, page) => {
      const answer = { full: false, delta: undefined, pages: 3 * BURST_PAGES } as const;
      return { kind: "pulled", request, page, ...answer } as const;
    });
  const to = "sys.presence.to.b2" as Parameters<typeof port.send>[0];
  assert.equal(sender.send(to, pages(1)), true);
  assert.equal(sender.send(to, pages(2)), true);
  assert.equal(cluster.sent.length, BURST_PAGES);
  cluster.run(1_000);
  assert.equal(cluster.sent.length, 6 * BURST_PAGES);
  const order = cluster.of("pulled").filter(({ request }) => request === 2);
  assert.deepEqual(order.map(({ page }) => page), order.map((_, index) => index));
  assert.equal(
    cluster.of("pulled")[2 * BURST_PAGES]!.request,
    2,
    "the second does not wait for all",
  );
  let taken = 0;
  while (sender.send(to, pages(3))) taken++;
  assert.ok(taken > 10 && taken < 1_000, "bounded");
  sender.close();
});
