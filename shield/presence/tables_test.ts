/**
 * Tables that follow the owners of their rooms: silence, pages, limits. `tests/presence_simulation` tests gaps,
 * hand-overs and losses.
 */
import assert from "node:assert/strict";
import { machine, member, words } from "./testing/owner.ts";
import { writerOf, written } from "./testing/port.ts";

const HEARTBEAT_MS = 1_500;

Deno.test("a watch asks the owner once and is ready with its answer", () => {
  const { port, presence, beat, answer, watch, shown, stats } = machine();
  beat("b1");
  const { results } = watch();
  const { results: others } = watch();
  assert.equal(presence.view("acme", "lobby")?.members.length, 0);
  assert(port.subscribed.has("sys.presence.room.acme.lobby"));
  assert.equal(answer([written("w", 1)], { clock: 1 }), "b1");
  assert.deepEqual([results, others, shown()], [[undefined], [undefined], "c1"]);
  assert.deepEqual([stats.rooms, stats.watchers], [1, 2]);
  assert.deepEqual(stats.pulls, { applied: 1 });
});

Deno.test("without a Brain no request is made, and with the first one all are made at once", () => {
  const { port, beat, answer, watch, shown } = machine();
  const { results } = watch();
  port.advance(2_000);
  assert.equal(port.take("room_pull").length, 0);
  beat("b1");
  answer([written("w", 1)]);
  assert.deepEqual([results, shown()], [[undefined], "c1"]);
});

Deno.test("without an answer a watch fails after sync_timeout_ms, and requests continue", () => {
  const { port, beat, watch, stats } = machine();
  beat("b1");
  const { results } = watch();
  port.advance(2_999);
  assert.equal(results.length, 0);
  port.advance(1);
  assert.deepEqual(results.map((error) => error?.reason), ["presence-unavailable"]);
  assert((stats.pulls.unanswered ?? 0) >= 2);
});

Deno.test("an owner that does not answer is considered dead until its next heartbeat", () => {
  const { port, beat, watch } = machine();
  beat("b1");
  beat("b2");
  watch();
  const asked = () =>
    port.sent.filter(({ message }) => message.kind === "room_pull").map(({ subject }) => subject);
  const [first] = asked();
  port.advance(500);
  port.advance(1_000);
  const questions = asked();
  assert.deepEqual(questions.slice(0, 2), [first, first]);
  assert.equal(questions.length, 3);
  assert.notEqual(questions[2], first);
});

Deno.test("pages are used only if complete, and from one moment", () => {
  const { port, beat, page, watch, shown, stats } = machine();
  beat("b1");
  const { results } = watch();
  const [{ request } = { request: 0 }] = port.take("room_pull");
  const saying = { sequence: 3, clock: 3 };
  page(request, [written("w", 1)], saying, { page: 0, pages: 3 });
  page(request, [written("w", 1)], saying, { page: 0, pages: 3 });
  page(request, [written("w", 9)], { ...saying, sequence: 4 }, { page: 1, pages: 3 });
  page(request, [written("w", 9)], saying, { page: 1, pages: 2 });
  page(request + 1, [written("w", 9)], saying);
  page(request, [written("w", 2)], saying, { page: 2, pages: 3 });
  assert.deepEqual([results.length, shown()], [0, ""], "one page is missing");
  page(request, [written("w", 3)], saying, { page: 1, pages: 3 });
  assert.deepEqual([results.length, shown()], [1, "c1 c2 c3"]);
  assert.deepEqual(stats.refused, { "mixed-pages": 2, "not-asked-for": 1 });
});

Deno.test("an incomplete answer is never applied; the room is requested again", () => {
  const { port, beat, page, watch, shown, stats } = machine();
  beat("b1");
  watch();
  const [{ request } = { request: 0 }] = port.take("room_pull");
  page(request, [written("w", 1)], {}, { page: 0, pages: 2 });
  port.advance(500);
  const [again] = port.take("room_pull");
  assert.notEqual(again?.request, request);
  page(request, [written("w", 2)], {}, { page: 1, pages: 2 });
  assert.equal(shown(), "", "the rest arrived too late");
  assert.deepEqual(stats.pulls, { cut: 1 });
  page(again?.request ?? 0, [written("w", 2)]);
  assert.equal(shown(), "c2");
});

Deno.test("members of another room or tenant, and too many of them, are refused", () => {
  const { port, beat, page, update, answer, watch, shown, stats } = machine({
    members_per_brain: 3,
  });
  beat("b1");
  watch();
  const [{ request } = { request: 0 }] = port.take("room_pull");
  page(request, [written("w", 1, { tenant_id: "globex" })]);
  page(request, [1, 2, 3, 4].map((counter) => written("w", counter)));
  assert.deepEqual(stats.refused, { "entry-of-another-room": 1, "snapshot-too-large": 1 });
  port.advance(500);
  answer([written("w", 1)], { clock: 1 });
  update(1, [written("w", 2, { room_id: "hall" })]);
  assert.equal(stats.refused["entry-of-another-room"], 2);
  assert.equal(shown(), "c1");
});

Deno.test("a room without watchers is dropped", () => {
  const { port, presence, beat, update, answer, watch, stats } = machine();
  beat("b1");
  const { watch: one } = watch();
  const { watch: two } = watch();
  answer([written("w", 1)]);
  one.close();
  assert.equal(stats.rooms, 1);
  two.close();
  assert.deepEqual([stats.rooms, stats.watchers, port.subscribed.size], [0, 0, 0]);
  update(1, [written("w", 2)]);
  assert.equal(presence.view("acme", "lobby"), undefined);
  port.advance(HEARTBEAT_MS);
  assert.equal(port.take("room_check").length, 0);
  const { results } = watch();
  port.advance(100);
  assert.deepEqual(results, [], "a new watch starts from the beginning");
});

Deno.test("pending requests are limited, and checks take turns", () => {
  const { port, beat, page, watch, stats } = machine();
  beat("b1");
  for (let index = 0; index < 2_500; index++) watch(`room-${index}`);
  for (let requests = 0; requests < 2_500;) {
    const questions = port.take("room_pull");
    assert(questions.length > 0 && questions.length <= 256, `${questions.length} at once`);
    requests += questions.length;
    for (const { request, room_id } of questions) page(request, [], { room_id });
  }
  assert.equal(stats.pulls.applied, 2_500);
  const checked = new Set<string>();
  for (const expected of [2_000, 2_500]) {
    port.advance(HEARTBEAT_MS);
    const checks = port.take("room_check");
    assert.deepEqual(checks.map(({ rooms }) => rooms.length), [1_000, 1_000]);
    for (const { rooms } of checks) for (const { room_id } of rooms) checked.add(room_id);
    assert.equal(checked.size, expected);
  }
});

Deno.test("a busy room that loses updates is requested at most four times a second", () => {
  const { port, beat, page, update, watch } = machine();
  beat("b1");
  watch();
  let questions = 0;
  for (let sequence = 2; sequence < 400; sequence += 2) {
    for (const { request } of port.take("room_pull")) {
      questions++;
      page(request, [], { sequence: sequence - 2, clock: sequence - 2 });
    }
    update(sequence, []);
    port.advance(10);
  }
  assert(questions <= 9, `${questions} in two seconds`);
});

Deno.test("this Shield's own members are in its tables at once, and not twice", () => {
  const { port, presence, beat, answer, update, watch, shown } = machine();
  beat("b1");
  const { reported } = watch();
  presence.join(member("mine"));
  answer([{ ...written("w", 1), writer: writerOf("own") }, written("w", 2)], { clock: 2 });
  assert.equal(shown(), "c2 mine");
  presence.join(member("too"));
  assert.deepEqual(reported.map(words), ["+too"]);
  update(1, [{ ...written("own", 2, { connection_id: "too" }), writer: writerOf("own") }], [], {
    clock: 2,
  });
  presence.leave("acme", "lobby", "too", true);
  port.advance(100);
  assert.deepEqual(reported.map(words), ["+too", "-too"]);
});
