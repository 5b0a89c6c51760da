/** Messages that a Brain refuses: counted, logged once, nothing changed. In virtual time. */
import assert from "node:assert/strict";
import type { Announcement, ClusterMessage, Pulled } from "../../shared/presence/messages.ts";
import type { Delta, Entry } from "../../shared/presence/types.ts";
import type { RefusalReason } from "./metrics.ts";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { member, type TestShield } from "./testing/shield.ts";

interface Stand {
  readonly cluster: TestCluster;
  readonly brain: TestBrain;
  readonly shield: TestShield;
}

/** A Brain that has one Shield with the member `c1`. */
function stand(more: { members_per_brain?: number; member_meta_bytes?: number } = {}): Stand {
  const { members_per_brain = 100, member_meta_bytes = 4_096 } = more;
  const cluster = new TestCluster({ members_per_brain });
  const brain = cluster.brain("b1", { member_meta_bytes });
  const shield = cluster.shield("s1");
  shield.join(member("c1")).announce();
  cluster.until(() => brain.presence.serving, "it serves");
  cluster.run(100);
  return { cluster, brain, shield };
}

function members({ presence }: TestBrain): Entry[] {
  return [...presence.occupied()].flatMap(({ tenant_id, room_id }) => [
    ...presence.members(tenant_id, room_id),
  ]);
}

/** The message is refused for that reason, and nothing else happens. */
async function refuses(
  { brain }: Stand,
  reason: RefusalReason,
  subject: string,
  message: ClusterMessage,
): Promise<void> {
  const before = members(brain);
  const counted = await brain.metric("brain_presence_refused_total", { reason });
  let changes = 0;
  const unlisten = brain.presence.onMembers(() => changes++);
  brain.receive(subject, message);
  unlisten();
  assert.equal(await brain.metric("brain_presence_refused_total", { reason }), counted + 1);
  assert.deepEqual(members(brain), before);
  assert.equal(changes, 0);
  const lines = brain.lines.filter((line) => line.includes(`reason=${reason}`));
  assert.equal(lines.length, 1, brain.lines.join(""));
}

function entryOf(shield: TestShield, counter: number, more: Partial<Entry> = {}): Entry {
  const now_ms = shield.port.now();
  return { ...member(`x${counter}`), counter, joined_ms: now_ms, changed_ms: now_ms, ...more };
}

/** The Shield's next announcement, if it had these entries. */
function announcement(shield: TestShield, entries: Entry[], more: Partial<Delta> = {}) {
  const { writer, clock } = shield;
  const delta = { writer, start: clock, end: clock + 1, entries, removed: [], ...more };
  return { kind: "announcement", delta, leaving: false } satisfies Announcement;
}

const SUBJECT = "sys.presence.announce.s1";

Deno.test("a Shield that speaks for another Shield is refused", async () => {
  const it = stand();
  const other = it.cluster.shield("s2");
  it.cluster.run(100);
  const forged = announcement(other, [entryOf(other, 1)]);
  await refuses(it, "foreign-writer", SUBJECT, forged);
  other.join(member("c2")).announce();
  it.cluster.run(100);
  assert.equal(members(it.brain).length, 2, "the other one is not disturbed");
});

Deno.test("a life that begins more than a day from now is refused", async () => {
  const it = stand();
  const incarnation = it.cluster.now_ms + 86_400_001;
  const writer = { node_id: "s1", incarnation };
  const message = announcement(it.shield, [], { writer, start: 0, end: 0 });
  await refuses(it, "future-clock", SUBJECT, message);
  const beat: ClusterMessage = {
    kind: "beat",
    brain_id: "b2",
    boot: 1,
    state: "serving",
    writers: [{ writer, clock: 7, state: "up" }],
  };
  it.brain.receive("sys.cluster.beat.b2", beat);
  assert.equal(await it.brain.metric("brain_presence_refused_total"), 2);
  assert.equal(members(it.brain).length, 1);
});

Deno.test("a jumping clock during a pull is harmless", async () => {
  const it = stand();
  it.cluster.loses = (message) => message.kind === "announcement";
  for (let round = 0; round < 6_000; round++) {
    it.shield.join(member("c2")).announce();
    it.shield.leave("c2").announce();
  }
  it.shield.join(member("c3")).announce();
  it.cluster.loses = () => false;
  it.cluster.run(2 * it.cluster.config.heartbeat_ms);
  assert.deepEqual(members(it.brain).map(({ connection_id }) => connection_id), ["c1", "c3"]);
  assert.equal(await it.brain.metric("brain_presence_full_syncs_total"), 1);
});

Deno.test("an older life of a Shield is refused", async () => {
  const it = stand();
  const writer = { node_id: "s1", incarnation: it.shield.writer.incarnation - 1 };
  const message = announcement(it.shield, [entryOf(it.shield, 1)], { writer, start: 0, end: 1 });
  await refuses(it, "stale-incarnation", SUBJECT, message);
});

Deno.test("a Shield that was forgotten is refused until it takes a new incarnation", async () => {
  const it = stand();
  it.cluster.freeze(it.shield);
  it.cluster.run(it.cluster.config.forget_ms + 10_000);
  const message = announcement(it.shield, [entryOf(it.shield, 2)]);
  await refuses(it, "forgotten", SUBJECT, message);
  it.cluster.kill(it.shield);
  it.cluster.shield("s1").join(member("c1")).announce();
  it.cluster.run(100);
  assert.equal(members(it.brain).length, 1);
});

Deno.test("a goodbye that is repeated is no reason to complain", async () => {
  const it = stand();
  it.shield.announce(true);
  it.cluster.run(5 * it.cluster.config.heartbeat_ms);
  assert.equal(await it.brain.metric("brain_presence_refused_total"), 0);
});

Deno.test("a connection that belongs to another tenant is refused", async () => {
  const it = stand();
  const stolen = entryOf(it.shield, 2, { connection_id: "c1", tenant_id: "globex" });
  await refuses(it, "invalid-delta", SUBJECT, announcement(it.shield, [stolen]));
});

Deno.test("too much metadata is refused, counted in bytes", async () => {
  const it = stand({ member_meta_bytes: 100 });
  const meta = `"${"é".repeat(50)}"`;
  const message = announcement(it.shield, [entryOf(it.shield, 2, { meta })]);
  await refuses(it, "meta-too-large", SUBJECT, message);
  const allowed = `"${"é".repeat(49)}"`;
  it.brain.receive(SUBJECT, announcement(it.shield, [entryOf(it.shield, 2, { meta: allowed })]));
  assert.equal(members(it.brain).length, 2);
});

Deno.test("more members than one Brain's limit are refused; other Shields continue", async () => {
  const it = stand({ members_per_brain: 3 });
  const flood = it.cluster.shield("s2");
  it.cluster.run(100);
  const many = Array.from({ length: 3 }, (_, index) => member(`f${index}`, "flood"));
  flood.join(...many).announce();
  it.cluster.run(100);
  const refused = () => it.brain.metric("brain_presence_refused_total", { reason: "member-limit" });
  assert.equal(await refused(), 1);
  assert.equal(members(it.brain).length, 1);
  it.shield.join(member("c2")).announce();
  it.cluster.run(100);
  assert.equal(members(it.brain).length, 2);
  it.cluster.run(20 * it.cluster.config.heartbeat_ms);
  assert.ok(await refused() < 10, "it is not asked for what is refused all the time");
  flood.leave("f0", "f1").announce();
  it.cluster.run(10 * it.cluster.config.heartbeat_ms);
  assert.equal(members(it.brain).length, 3, "what there is room for is pulled");
});

Deno.test("an answer with pages of different moments is discarded; it is requested again", async () => {
  const it = stand();
  it.cluster.loses = (message) => message.kind === "announcement";
  it.shield.join(member("c2"), member("c3")).announce();
  it.cluster.loses = () => false;
  it.shield.answers = false;
  it.shield.announce();
  it.cluster.run(10);
  const { writer } = it.shield;
  const direct = "sys.presence.to.b1";
  const delta = { writer, start: 1, end: 3, entries: [entryOf(it.shield, 2)], removed: [] };
  const second: Partial<Pulled>[] = [
    { delta: { ...delta, end: 2 } },
    { pages: 3 },
    { full: true },
    { delta: { ...delta, writer: { ...writer, node_id: "s2" } } },
  ];
  for (const other of second) {
    const { request } = it.cluster.of("pull", "b1").at(-1)!;
    const first: Pulled = { kind: "pulled", request, page: 0, pages: 2, full: false, delta };
    it.brain.receive(direct, first);
    await refuses(it, "cut-snapshot", direct, { ...first, page: 1, ...other });
  }
  it.shield.answers = true;
  it.cluster.until(() => members(it.brain).length === 3, "the next answer is used");
});

Deno.test("an answer with missing pages is discarded; it is requested again", async () => {
  const it = stand();
  it.shield.page_bytes = 1_024;
  let lost = 0;
  it.cluster.loses = ({ kind }) => kind === "announcement" || (kind === "pulled" && lost++ === 2);
  it.shield.join(...Array.from({ length: 50 }, (_, index) => member(`d${index}`))).announce();
  it.cluster.run(10);
  it.cluster.loses = ({ kind }) => kind === "pulled" && lost++ === 2;
  it.shield.announce();
  it.cluster.run(500);
  assert.equal(members(it.brain).length, 1, "nothing of an answer that is cut");
  it.cluster.until(() => members(it.brain).length === 51, "the next answer is used");
  const refused = { reason: "cut-snapshot" };
  assert.equal(await it.brain.metric("brain_presence_refused_total", refused), 1);
});

Deno.test("an unsolicited answer is discarded", async () => {
  const it = stand();
  const { writer } = it.shield;
  const delta = { writer, start: 1, end: 2, entries: [entryOf(it.shield, 2)], removed: [] };
  it.brain.receive("sys.presence.to.b1", {
    kind: "pulled",
    request: 7,
    page: 0,
    pages: 1,
    full: false,
    delta,
  });
  assert.equal(members(it.brain).length, 1);
  assert.equal(await it.brain.metric("brain_presence_pulls_total", { outcome: "late" }), 1);
});

Deno.test("a beat in the name of another Brain is refused", async () => {
  const it = stand();
  const beat = { kind: "beat", brain_id: "b3", boot: 1, state: "serving", writers: [] } as const;
  it.brain.receive("sys.cluster.beat.b2", beat);
  const refused = { reason: "foreign-brain" };
  assert.equal(await it.brain.metric("brain_cluster_refused_total", refused), 1);
  assert.deepEqual(it.brain.presence.brains, ["b1"]);
});

Deno.test("a reason is logged at intervals, with the number of suppressed lines", async () => {
  const it = stand();
  const forged = announcement(it.shield, [], { writer: { node_id: "s9", incarnation: 1 } });
  for (let round = 0; round < 50; round++) it.brain.receive(SUBJECT, forged);
  assert.equal(it.brain.lines.filter((line) => line.includes("foreign-writer")).length, 1);
  it.cluster.run(20_000);
  it.brain.receive(SUBJECT, forged);
  assert.match(it.brain.lines.at(-1)!, /more_since=49/);
  assert.equal(await it.brain.metric("brain_presence_refused_total"), 51);
});

Deno.test("more Shields than a Brain's limit are refused", async () => {
  const it = stand();
  for (let index = 1; index < 4_096; index++) {
    const writer = { node_id: `n${index}`, incarnation: 1 };
    const message = announcement(it.shield, [], { writer, start: 0, end: 0 });
    it.brain.receive(`sys.presence.announce.n${index}`, message);
  }
  assert.equal(it.brain.presence.writers.up, 4_096);
  const writer = { node_id: "more", incarnation: 1 };
  const message = announcement(it.shield, [], { writer, start: 0, end: 0 });
  await refuses(it, "writer-limit", "sys.presence.announce.more", message);
  assert.equal(it.brain.presence.writers.up, 4_096);
});
