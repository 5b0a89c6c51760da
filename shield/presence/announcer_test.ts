/**
 * What a Shield announces of its connections, and when; also one that the cluster has forgotten, one whose node id
 * another one uses, and one that stops.
 */
import assert from "node:assert/strict";
import type { Announcement, Beat, Pulled } from "../../shared/presence/messages.ts";
import { createState, markUp, merge, mergeFull, online } from "../../shared/presence/state.ts";
import type { PresenceState } from "../../shared/presence/state.ts";
import type { Entry, WriterState } from "../../shared/presence/types.ts";
import { Announcer } from "./announcer.ts";
import { createPresenceStats } from "./stats.ts";
import { member } from "./testing/owner.ts";
import { presenceConfig, presenceLog, START_MS, TestPort } from "./testing/port.ts";

function fixture(values: Record<string, unknown> = {}, may_lose = true) {
  const port = new TestPort();
  const stats = createPresenceStats();
  const { log, lines } = presenceLog();
  const lost: Entry[] = [];
  const announcer = new Announcer({
    node_id: "own",
    started_ms: START_MS,
    port,
    config: presenceConfig(values),
    stats,
    log,
    isJournaled: (_, room_id) => room_id === "stage",
    onLost: (entries) => may_lose ? void lost.push(...entries) : assert.fail("nobody is lost"),
  });
  const join = (connection_id: string, meta = "") => {
    const joined = member(connection_id, { meta });
    announcer.join(joined);
    return joined;
  };
  return { port, stats, lost, lines, announcer, join };
}

/** A Brain's replica that merges everything announced. */
function replica(): PresenceState {
  return createState();
}

function mergeAll(state: PresenceState, announcements: readonly Announcement[]): void {
  for (const { delta } of announcements) {
    markUp(state, delta.writer);
    assert.match(merge(state, delta).outcome, /merged|stale/);
  }
}

const lobby = (state: PresenceState) =>
  [...online(state, "acme", "lobby")].map(({ entry }) => entry.connection_id).sort().join(" ");

Deno.test("the first change is announced at once, later ones within announce_ms together", () => {
  const { port, announcer } = fixture();
  announcer.join(member("a"));
  assert.equal(port.sent.length, 1);
  announcer.join(member("b"));
  announcer.leave(member("a"), true);
  announcer.join(member("b", { meta: "1" }));
  port.advance(49);
  assert.equal(port.sent.length, 1);
  port.advance(1);
  const brain = replica();
  const sent = port.take("announcement");
  assert.deepEqual(sent.map(({ delta }) => [delta.start, delta.end]), [[0, 1], [1, 5]]);
  mergeAll(brain, sent);
  assert.equal(lobby(brain), "b");
  port.advance(1_000);
  assert.equal(port.sent.length, 0, "nothing left to announce");
});

Deno.test("a member that joins and leaves within one batch is reported with it, if the room has a journal", () => {
  const { port, announcer } = fixture();
  announcer.join(member("a", { room_id: "stage" }));
  for (const id of ["b", "c"]) announcer.join(member(id, { room_id: "stage" }));
  announcer.join(member("b"));
  for (const room_id of ["stage", "lobby"]) {
    announcer.leave({ tenant_id: "acme", room_id, connection_id: "b" }, true, "closed");
  }
  // Brains have received its join, and see it leave.
  announcer.leave({ tenant_id: "acme", room_id: "stage", connection_id: "a" }, true);
  port.advance(50);
  port.advance(50);
  const announced = port.take("stays").map(({ stays }) =>
    stays.map(({ entry: { connection_id, room_id }, cause }) => [connection_id, room_id, cause])
  );
  assert.deepEqual(announced, [[["b", "stage", "closed"]]]);
  announcer.tellStays();
  const kept = port.take("stays").flatMap(({ stays }) => stays.map(({ entry }) => entry));
  assert.deepEqual(
    kept.map(({ connection_id }) => connection_id),
    ["b", "a"],
    "until it is written",
  );
});

Deno.test("10,000 joins in a second are at most 21 announcements and one timer", () => {
  const { port, announcer, stats } = fixture();
  for (let index = 0; index < 10_000; index++) {
    announcer.join(member(`m${index}`));
    if (index % 10 === 9) port.advance(1);
    assert(port.timers.size <= 1);
  }
  port.advance(50);
  const sent = port.take("announcement");
  assert(sent.length <= 21, `${sent.length}`);
  const brain = replica();
  mergeAll(brain, sent);
  assert.equal([...online(brain, "acme", "lobby")].length, 10_000);
  assert.deepEqual([stats.members, stats.announced_changes], [10_000, 10_000]);
});

Deno.test("a batch that exceeds one message is announced in several that merge in order", () => {
  const { port, announcer } = fixture();
  announcer.join(member("first"));
  const meta = JSON.stringify("x".repeat(4_000));
  for (let index = 0; index < 500; index++) announcer.join(member(`m${index}`, { meta }));
  port.advance(50);
  const sent = port.take("announcement");
  assert(sent.length >= 5, `${sent.length}`);
  for (const [index, { delta }] of sent.entries()) {
    assert.equal(delta.start, sent[index - 1]?.delta.end ?? 0, "without a gap");
  }
  const brain = replica();
  mergeAll(brain, sent);
  assert.equal([...online(brain, "acme", "lobby")].length, 501);
});

Deno.test("a heartbeat has the clock, and the queued changes", () => {
  const { port, announcer } = fixture();
  announcer.heartbeat();
  announcer.join(member("a"));
  announcer.heartbeat();
  const [empty, full] = port.take("announcement");
  assert.deepEqual([empty?.delta.start, empty?.delta.end], [0, 0]);
  assert.equal(full?.delta.entries.length, 1);
  port.advance(1_000);
  assert.equal(port.sent.length, 0, "it was not announced twice");
});

Deno.test("simultaneous requests get one heartbeat", () => {
  const { port, announcer } = fixture();
  for (let index = 0; index < 100; index++) announcer.onHello();
  port.advance(1_000);
  assert.equal(port.take("announcement").length, 2, "at once and at the end of the window");
});

Deno.test("a leave of an absent member announces nothing", () => {
  const { port, announcer } = fixture();
  assert.deepEqual(announcer.leave(member("a"), true), []);
  port.advance(1_000);
  assert.equal(port.sent.length, 0);
});

Deno.test("a lost connection is held if the room has a grace time, and then leaves", () => {
  const { port, announcer, lost, stats } = fixture({ grace: [{ room: "lob*", grace_ms: 3_000 }] });
  announcer.join(member("a"));
  announcer.join(member("b", { room_id: "hall" }));
  port.advance(100);
  assert.deepEqual(announcer.leave(member("a"), false), []);
  assert.equal(
    announcer.leave(member("b", { room_id: "hall" }), false).length,
    1,
    "no grace time there",
  );
  assert.deepEqual([stats.members, stats.held_members], [1, 1]);
  port.advance(2_900);
  assert.equal(lost.length, 0);
  port.advance(100);
  assert.deepEqual(lost.map(({ connection_id }) => connection_id), ["a"]);
  assert.deepEqual([stats.members, stats.held_members], [0, 0]);
  const brain = replica();
  mergeAll(brain, port.take("announcement"));
  assert.equal(lobby(brain), "");
});

Deno.test("a member that returns within the grace time takes the place of the lost connection in one delta", () => {
  const { port, announcer, lost } = fixture({ grace: [{ room: "*", grace_ms: 3_000 }] });
  const ann = { user_id: "ann" };
  announcer.join(member("phone", ann));
  announcer.join(member("laptop", ann));
  port.advance(100);
  announcer.leave(member("phone", ann), false);
  announcer.leave(member("laptop", ann), false);
  port.take("announcement");
  const { joined, left } = announcer.join(member("again", ann));
  assert.deepEqual(joined.map(({ connection_id }) => connection_id), ["again"]);
  assert.deepEqual(left.map(({ connection_id }) => connection_id), ["phone"], "one for one");
  const [{ delta } = { delta: undefined }] = port.take("announcement");
  assert.deepEqual([delta?.entries.length, delta?.removed.length], [1, 1]);
  assert.deepEqual(announcer.leave(member("again", ann), true).length, 1, "UNSUB is not held");
  port.advance(5_000);
  assert.deepEqual(lost.map(({ connection_id }) => connection_id), ["laptop"]);
});

Deno.test("a held connection that joins again itself stays", () => {
  const { port, announcer, lost } = fixture({ grace: [{ room: "*", grace_ms: 3_000 }] });
  announcer.join(member("a"));
  announcer.leave(member("a"), false);
  const { joined } = announcer.join(member("a", { meta: "1" }));
  assert.equal(joined[0]?.meta, "1");
  port.advance(10_000);
  assert.equal(lost.length, 0);
  assert.equal([...announcer.members("acme", "lobby")].length, 1);
});

Deno.test("a tenant's members on one Shield are limited, but a returning user gets the slot of the lost connection", () => {
  const values = { members_per_shield: 10, grace: [{ room: "*", grace_ms: 3_000 }] };
  const { announcer } = fixture(values);
  announcer.join(member("a"));
  announcer.join(member("b", { user_id: "bob" }));
  for (let n = 0; n < 6; n++) announcer.join(member(`n${n}`));
  const message = /the tenant on this node has 8 members/;
  const refused = { reason: "member-limit", code: 429, message };
  assert.throws(() => announcer.join(member("c")), refused);
  announcer.join(member("a", { meta: "1" }));
  announcer.leave(member("b"), false);
  assert.throws(() => announcer.join(member("c")), refused, "held members are counted");
  announcer.join(member("d", { user_id: "bob" }));
  announcer.join(member("e", { tenant_id: "other" }));
  announcer.leave(member("d"), true);
  announcer.join(member("c"));
  assert.throws(() => announcer.join(member("f")), refused);
});

Deno.test("a process that missed something gets a delta, everything, or the answer that the writer is unknown", () => {
  const { port, announcer, stats } = fixture();
  for (const id of ["a", "b", "c"]) {
    announcer.join(member(id));
    port.advance(100);
  }
  port.take("announcement");
  const ask = (clock: number, incarnation = START_MS): readonly Pulled[] => {
    const writer = { node_id: "own", incarnation };
    announcer.onPull({ kind: "pull", from: "b1", request: 7, writer, clock });
    port.advance(1_000);
    assert(port.sent.every(({ subject }) => subject === "sys.presence.to.b1"));
    return port.take("pulled");
  };
  const [delta] = ask(2);
  assert.equal(delta?.full, false);
  assert.deepEqual(delta?.delta?.entries.map((entry) => entry.connection_id).at(-1), "c");
  const [unknown] = ask(0, START_MS - 1);
  assert.deepEqual([unknown?.delta, unknown?.pages, unknown?.request], [undefined, 1, 7]);
  const meta = JSON.stringify("x".repeat(4_000));
  for (let index = 0; index < 20_000; index++) {
    announcer.join(member(`m${index}`, index < 300 ? { meta } : {}));
  }
  port.advance(100);
  port.take("announcement");
  const pages = ask(0);
  assert(
    pages.length > 1 && pages.every(({ full, pages: count }) => full && count === pages.length),
  );
  const brain = replica();
  const [first] = pages;
  assert(first?.delta !== undefined);
  markUp(brain, first.delta.writer);
  const entries = pages.flatMap(({ delta }) => delta?.entries ?? []);
  assert.equal(mergeFull(brain, { ...first.delta, entries }).outcome, "merged");
  assert.equal([...online(brain, "acme", "lobby")].length, 20_003);
  assert.deepEqual(stats.answers, { delta: 1, unknown: 1, full: 1 });
});

Deno.test("long answers are sent a few pages at a time, and a limited number concurrently", () => {
  const { port, announcer, stats } = fixture();
  const meta = JSON.stringify("x".repeat(4_000));
  for (let index = 0; index < 600; index++) announcer.join(member(`m${index}`, { meta }));
  port.advance(100);
  port.sent.splice(0);
  const { writer } = announcer;
  for (let request = 1; request <= 70; request++) {
    announcer.onPull({ kind: "pull", from: "b1", request, writer, clock: 0 });
  }
  assert.deepEqual(stats.answers, { delta: 64, busy: 6 });
  assert(port.sent.length <= 4, `${port.sent.length} pages in one turn`);
  port.advance(10_000);
  const pages = port.take("pulled");
  for (let request = 1; request <= 64; request++) {
    const mine = pages.filter((page) => page.request === request);
    assert.deepEqual(mine.map(({ page }) => page), Array.from({ length: 5 }, (_, page) => page));
  }
  announcer.close();
  assert.equal(port.timers.size, 0);
});

/** A Shield that loses nobody. */
const lossless = (values: Record<string, unknown> = {}) => fixture(values, false);

const beat = (incarnation: number, state: WriterState, clock = 0): Beat => ({
  kind: "beat",
  brain_id: "b1",
  boot: 1,
  state: "serving",
  writers: [
    { writer: { node_id: "other", incarnation: START_MS + 9 }, clock: 1, state: "forgotten" },
    { writer: { node_id: "own", incarnation }, clock, state },
  ],
});

Deno.test("a Shield that was forgotten announces everything under a higher incarnation", () => {
  const { port, stats, lines, announcer, join } = lossless();
  join("a", "1");
  port.advance(60_000);
  join("b");
  port.take("announcement");
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  const [sent] = port.take("announcement");
  assert.deepEqual(sent?.delta.writer, { node_id: "own", incarnation: START_MS + 60_000 });
  assert.equal(sent?.delta.start, 0);
  const entries = sent?.delta.entries ?? [];
  assert.deepEqual(entries.map(({ connection_id, meta }) => [connection_id, meta]), [
    ["a", "1"],
    ["b", ""],
  ]);
  assert.deepEqual(entries.map(({ joined_ms }) => joined_ms - START_MS), [0, 60_000], "as before");
  assert.deepEqual(entries.map(({ changed_ms }) => changed_ms - START_MS), [60_000, 60_000]);
  assert.match(lines.join(""), /level=warn.*had dropped/);
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  assert.equal(stats.reincarnations, 1, "a late beat about the old one changes nothing");
});

Deno.test("a Shield of which another process has seen a newer incarnation takes a higher one", () => {
  const { announcer, join } = lossless();
  join("a");
  announcer.onBeat(beat(START_MS + 5_000, "up", 3));
  const first = announcer.writer.incarnation;
  assert.ok(first > START_MS + 5_001, "not what another life of this node would take, too");
  announcer.onBeat(beat(first, "up", 99));
  assert.ok(announcer.writer.incarnation > first, "a clock from the future: two of us");
});

Deno.test("a Brain that is behind, has it as down, or knows an older incarnation is not a reason", () => {
  const { announcer, join, stats } = lossless();
  join("a");
  announcer.onBeat(beat(START_MS, "up", 0));
  announcer.onBeat(beat(START_MS, "down", 1));
  announcer.onBeat(beat(START_MS - 1, "forgotten", 50));
  assert.equal(stats.reincarnations, 0);
});

Deno.test("more than three new incarnations in 30 s are an error in the log", () => {
  const { port, announcer, lines } = lossless();
  for (let index = 0; index < 4; index++) {
    announcer.onBeat(beat(announcer.writer.incarnation, "forgotten"));
    assert.equal(/level=error/.test(lines.join("")), index === 3);
    port.advance(1_000);
  }
  assert.match(lines.join(""), /level=error.*another process uses this node id/);
  lines.splice(0);
  port.advance(30_000);
  announcer.onBeat(beat(announcer.writer.incarnation, "forgotten"));
  assert.doesNotMatch(lines.join(""), /level=error/);
});

Deno.test("a stopping Shield announces that with waiting changes, again with each heartbeat, and holds no member", () => {
  const { port, stats, announcer, join } = lossless({ grace: [{ room: "*", grace_ms: 3_000 }] });
  join("a");
  const b = join("b");
  announcer.leave(b, false);
  port.take("announcement");
  announcer.leaveAll();
  const [last] = port.take("announcement");
  assert.deepEqual([last?.leaving, last?.delta.entries.length, last?.delta.end], [true, 1, 2]);
  announcer.leave(b, false);
  announcer.onBeat(beat(START_MS, "forgotten", 2));
  port.advance(10_000);
  assert.equal(port.sent.length, 0, "connections that close now are nobody's concern");
  announcer.heartbeat();
  assert.deepEqual(port.take("announcement").map(({ leaving }) => leaving), [true]);
  assert.equal(stats.members, 0);
});
