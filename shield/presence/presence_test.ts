/** The whole machine: own connections, grace, limits, faults of the Spine and the process. */
import assert from "node:assert/strict";
import { HELLO } from "../../shared/subjects/subject.ts";
import { emitterOf, machine, member, words } from "./testing/owner.ts";
import { START_MS, writerOf, written } from "./testing/port.ts";

const HEARTBEAT_MS = 1_500;
const GRACE = { grace: [{ room: "lobby", grace_ms: 3_000 }] };

Deno.test("at its start it announces itself, asks for other processes, and then sends heartbeats", () => {
  const { port } = machine();
  const kinds = port.sent.splice(0).map(({ subject, message }) => `${message.kind} ${subject}`);
  assert.deepEqual(kinds, ["announcement sys.presence.announce.own", `hello ${HELLO}`]);
  port.advance(HEARTBEAT_MS * 10);
  assert.equal(port.take("announcement").length, 10);
  assert.equal(port.timers.size, 1);
});

Deno.test("a request of another process is answered, its own is not", () => {
  const { port, presence } = machine();
  port.advance(100);
  port.sent.splice(0);
  presence.receive(HELLO, { kind: "hello", from: "own" });
  assert.equal(port.sent.length, 0);
  presence.receive(HELLO, { kind: "hello", from: "b1" });
  assert.equal(port.take("announcement").length, 1);
});

Deno.test("a reconnect within the grace time is one batch: the new member, then the lost one", () => {
  const { port, presence, beat, answer, watch } = machine(GRACE);
  beat("b1");
  const { reported } = watch();
  answer([]);
  presence.join(member("old", { user_id: "ann" }));
  presence.leave("acme", "lobby", "old", false);
  port.advance(2_999);
  presence.join(member("new", { user_id: "ann" }));
  port.advance(10_000);
  assert.deepEqual(reported.map(words), ["+old", "+new -old"]);
  assert.deepEqual(reported.map(({ users }) => users), [1, 1], "the user never left");
});

Deno.test("other metadata keeps the member's id and join time", () => {
  const { port, presence, beat, answer, watch } = machine();
  beat("b1");
  const { reported } = watch();
  answer([]);
  presence.join(member("a"));
  port.advance(1_000);
  presence.join(member("a", { meta: '{"x":1}' }));
  presence.join(member("a", { meta: '{"x":1}' }));
  port.advance(1_000);
  assert.deepEqual(
    reported.map(({ updates }) => updates.map(({ joined_ms, meta }) => [joined_ms, meta])),
    [[[START_MS, ""]], [[START_MS, '{"x":1}']]],
  );
});

Deno.test("a room's members are limited, including those of other Shields", () => {
  const { port, presence, beat, answer, watch } = machine({ members_per_room: 2, ...GRACE });
  beat("b1");
  watch();
  answer([written("w", 1)]);
  presence.join(member("a", { user_id: "ann" }));
  const refused = { reason: "member-limit", code: 429, message: /the room has 2 members/ };
  assert.throws(() => presence.join(member("b")), refused);
  presence.join(member("a", { user_id: "ann", meta: "1" }));
  presence.leave("acme", "lobby", "a", false);
  presence.join(member("c", { user_id: "ann" }));
  port.advance(100);
  assert.deepEqual(presence.view("acme", "lobby")?.connections, 2);
});

Deno.test("a room's own limit applies if it is lower, and as soon as it changes", () => {
  let own: number | undefined = 1;
  const requests: string[] = [];
  const { presence, beat, answer, watch } = machine({ members_per_room: 2 }, (...room) => {
    requests.push(room.join("/"));
    return own;
  });
  beat("b1");
  watch();
  answer([]);
  presence.join(member("a"));
  assert.throws(() => presence.join(member("b")), {
    reason: "member-limit",
    message: /the room has 1 member$/,
  });
  assert.deepEqual(requests, ["acme/lobby", "acme/lobby"]);
  own = 100;
  presence.join(member("b"));
  assert.throws(() => presence.join(member("c")), { message: /the room has 2 members/ });
  own = undefined;
  assert.throws(() => presence.join(member("c")), { message: /the room has 2 members/ });
});

Deno.test("a new incarnation causes no event for this Shield's own clients", () => {
  const { port, presence, beat, answer, watch } = machine();
  beat("b1");
  const { reported } = watch();
  answer([]);
  presence.join(member("a"));
  port.advance(100);
  beat("b1", [{ writer: writerOf("own"), clock: 1, state: "forgotten" }]);
  assert(presence.writer.incarnation > START_MS);
  port.advance(1_000);
  presence.leave("acme", "lobby", "a", true);
  assert.deepEqual(reported.map(words), ["+a", "-a"]);
});

Deno.test("a stopping process removes its members once and sends its clients nothing", () => {
  const { port, presence, beat, answer, watch, stats } = machine(GRACE);
  beat("b1");
  const { reported } = watch();
  answer([]);
  presence.join(member("a"));
  port.sent.splice(0);
  presence.drain();
  assert.deepEqual(port.take("announcement").map(({ leaving }) => leaving), [true]);
  presence.leave("acme", "lobby", "a", false);
  port.advance(100);
  assert.deepEqual(reported.map(words), ["+a"]);
  assert.equal(port.sent.length, 0);
  const refused = { reason: "presence-unavailable" };
  assert.throws(() => presence.join(member("b")), refused);
  assert.throws(() => watch(), refused);
  port.advance(HEARTBEAT_MS);
  assert.deepEqual(port.take("announcement").map(({ leaving }) => leaving), [true], "once more");
  presence.close();
  assert.deepEqual([port.timers.size, stats.rooms, stats.watchers, stats.members], [0, 0, 0, 0]);
});

Deno.test("while the Spine is unreachable no Brain counts as silent", () => {
  const { port, presence, beat, answer, watch, stats } = machine();
  beat("b1");
  watch();
  answer([]);
  presence.spineLost();
  port.advance(60_000);
  assert.equal(stats.live_brains, 1);
  port.sent.splice(0);
  presence.spineBack();
  const kinds = port.sent.splice(0).map(({ message }) => message.kind);
  assert.deepEqual(kinds, ["announcement", "hello", "room_check"]);
  port.advance(HEARTBEAT_MS);
  assert.equal(stats.live_brains, 1);
  port.advance(6_000);
  assert.equal(stats.live_brains, 0, "but its later silence counts");
});

Deno.test("a stalled process ignores that time", () => {
  const { port, beat, watch, answer, stats } = machine();
  beat("b1");
  watch();
  answer([]);
  port.now_ms += 60_000;
  port.advance(0);
  assert.equal(stats.live_brains, 1);
});

Deno.test("messages on a wrong subject or not for a Shield are dropped and counted", () => {
  const { presence, beat, answer, watch, stats, direct, shown } = machine();
  beat("b1");
  watch();
  answer([]);
  const update = {
    ...{ kind: "room_update", emitter: emitterOf("b1"), sequence: 1, tenant_id: "acme" } as const,
    room_id: "lobby",
    joins: [written("w", 1)],
    leaves: [],
    clocks: [],
  };
  presence.receive("sys.presence.room.globex.lobby", update);
  presence.receive(direct, { kind: "hello", from: "x" });
  presence.receive("sys.cluster.beat.b2", {
    kind: "beat",
    brain_id: "b3",
    boot: 1,
    state: "serving",
    writers: [],
  });
  presence.receive(direct, { kind: "room_check", from: "b1", request: 1, rooms: [] });
  presence.receive("sys.presence.to.other", { kind: "room_differs", request: 1, rooms: [] });
  assert.deepEqual(stats.refused, { "wrong-subject": 3, "unexpected-kind": 1 });
  assert.deepEqual([shown(), stats.live_brains], ["", 1]);
});
