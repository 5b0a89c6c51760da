/** When watchers of a room are notified, and what a new watcher gets. */
import assert from "node:assert/strict";
import type { ArqonError } from "@arqon/proto";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import { createPresenceStats } from "./stats.ts";
import { removeOwn, setOwn } from "./table.ts";
import { entryOf, presenceConfig, TestPort } from "./testing/port.ts";
import { type PresenceWatch, type RoomChanges, WatchedRoom } from "./watched_room.ts";

function fixture() {
  const port = new TestPort();
  const stats = createPresenceStats();
  const { announce_ms, sync_timeout_ms } = presenceConfig();
  const empty: WatchedRoom[] = [];
  const onEmpty = (it: WatchedRoom) => void empty.push(it);
  const room = new WatchedRoom("acme", "lobby", {
    port,
    stats,
    announce_ms,
    sync_timeout_ms,
    onEmpty,
  });
  let counter = 0;
  return {
    port,
    stats,
    room,
    empty,
    join(...ids: string[]) {
      for (const connection_id of ids) {
        setOwn(room.table, entryOf(++counter, { connection_id, user_id: connection_id }));
      }
      room.touch();
    },
    leave(...ids: string[]) {
      for (const id of ids) removeOwn(room.table, id);
      room.touch();
    },
    watch() {
      const reported: RoomChanges[] = [];
      const watch = room.watch({ onChanges: (changes) => void reported.push(changes) });
      return { watch, reported };
    },
  };
}

const words = ({ updates, leaves }: RoomChanges) =>
  [
    ...updates.map(({ connection_id }) => `+${connection_id}`),
    ...leaves.map((it) => `-${it.connection_id}`),
  ]
    .join(" ");
const members = (watch: PresenceWatch) =>
  watch.snapshot().members.map(({ connection_id }) => connection_id).join(" ");

Deno.test("the first change is notified at once, later ones together at the end of the window", () => {
  const { port, room, join, leave, watch } = fixture();
  const { watch: one, reported } = watch();
  room.onSynced();
  one.ready(() => {});
  join("a");
  assert.deepEqual(reported.map(words), ["+a"]);
  join("b");
  leave("a");
  join("c");
  assert.equal(reported.length, 1);
  port.advance(49);
  assert.equal(reported.length, 1);
  port.advance(1);
  assert.deepEqual(reported.map(words).slice(1), ["+b +c -a"]);
  assert.deepEqual([reported[1]?.connections, reported[1]?.users], [2, 2]);
  port.advance(1_000);
  assert.equal(port.timers.size, 0, "no timer while nothing happens");
});

Deno.test("the window grows with the number of watchers, up to a second", () => {
  const { port, room, join, watch } = fixture();
  room.onSynced();
  const { watch: one, reported } = watch();
  one.ready(() => {});
  for (let index = 1; index < 2_000; index++) watch();
  join("a");
  join("b");
  port.advance(149);
  assert.equal(reported.length, 1);
  port.advance(1);
  assert.equal(reported.length, 2, "50 ms and 2,000 / 20");
  for (let index = 0; index < 98_000; index++) watch();
  join("c");
  port.advance(999);
  assert.equal(reported.length, 2);
  port.advance(1);
  assert.equal(reported.length, 3);
});

Deno.test("many watchers are answered and notified in slices; a new one is not notified twice", async () => {
  const { room, join, watch } = fixture();
  const all = Array.from({ length: 400 }, watch);
  let ready = 0;
  for (const { watch: one } of all) one.ready(() => void ready++);
  const answered = await turnsDuring(async () => {
    room.onSynced();
    await until("all are answered", () => ready === all.length);
  });
  const late = watch();
  const flushed = await turnsDuring(async () => {
    join("a");
    late.watch.ready(() => {});
    assert.equal(members(late.watch), "a");
    await until("all are notified", () => all.every(({ reported }) => reported.length === 1));
  });
  assert.deepEqual([late.reported, answered.turns >= 20, flushed.turns >= 20], [[], true, true]);
});

Deno.test("a watcher that starts within a window misses nothing and gets nothing twice", () => {
  const { port, room, join, leave, watch } = fixture();
  room.onSynced();
  const { watch: one } = watch();
  one.ready(() => {});
  join("a", "b");
  leave("b");
  join("c");
  const { watch: late, reported } = watch();
  late.ready(() => {});
  assert.equal(members(late), "a b", "as all have been notified");
  // It is made once, for any changes until it is notified.
  const view = late.snapshot();
  join("d");
  leave("d");
  assert.equal(late.snapshot(), view);
  port.advance(50);
  assert.deepEqual(reported.map(words), ["+c -b"]);
  assert.equal(members(late), "a c");
});

Deno.test("reported calls back once everything known has been notified, after the watchers", () => {
  const { port, room, join, watch } = fixture();
  room.onSynced();
  const { watch: one, reported } = watch();
  one.ready(() => {});
  const order: string[] = [];
  one.reported(() => order.push("nothing to notify"));
  join("a");
  join("b");
  one.reported(() => order.push(`${reported.length} batches, ${members(one)}`));
  assert.deepEqual(order, ["nothing to notify"]);
  port.advance(50);
  assert.deepEqual(order, ["nothing to notify", "2 batches, a b"]);
  assert.equal(one.snapshot(), one.snapshot(), "the same view is the same object");
});

Deno.test("reported also calls back if the change it waited for was undone", () => {
  const { port, room, join, leave, watch } = fixture();
  room.onSynced();
  const { watch: one, reported } = watch();
  one.ready(() => {});
  join("a");
  join("b");
  let called = 0;
  one.reported(() => called++);
  leave("b");
  port.advance(50);
  assert.deepEqual([called, reported.length], [1, 1]);
});

Deno.test("changes by a watcher during its notification are notified afterwards, in order, to all", () => {
  const { port, room, join, watch } = fixture();
  room.onSynced();
  const first = room.watch({
    onChanges: ({ updates }) => {
      if (updates.some(({ connection_id }) => connection_id === "a")) join("b");
    },
  });
  first.ready(() => {});
  const { watch: second, reported } = watch();
  second.ready(() => {});
  join("a");
  assert.deepEqual(reported.map(words), ["+a"]);
  port.advance(50);
  assert.deepEqual(reported.map(words), ["+a", "+b"]);
});

Deno.test("no watcher is notified before the members are known, and then of nothing in the list", () => {
  const { port, room, join, watch } = fixture();
  const { watch: one, reported } = watch();
  let ready = 0;
  one.ready(() => ready++);
  join("a");
  port.advance(500);
  assert.deepEqual([ready, reported.length], [0, 0]);
  room.onSynced();
  assert.deepEqual([ready, members(one)], [1, "a"]);
  port.advance(500);
  assert.equal(reported.length, 0);
});

Deno.test("a watcher that waits longer than sync_timeout_ms gets presence-unavailable", () => {
  const { port, room, watch } = fixture();
  const failures: (string | undefined)[] = [];
  const note = (error?: ArqonError) => void failures.push(error?.reason);
  watch().watch.ready(note);
  port.advance(2_000);
  const { watch: second } = watch();
  second.ready(note);
  port.advance(999);
  assert.deepEqual(failures, []);
  port.advance(1);
  assert.deepEqual(failures, ["presence-unavailable"]);
  room.onSynced();
  assert.deepEqual(failures, ["presence-unavailable", undefined], "the second was in time");
  port.advance(10_000);
  assert.equal(failures.length, 2);
});

Deno.test("while the members are in doubt, only new watchers wait for them", () => {
  const { port, room, join, watch } = fixture();
  room.doubt();
  assert.equal(room.doubted, false, "they were never known");
  room.onSynced();
  join("a");
  const { watch: one, reported } = watch();
  one.ready(() => {});
  room.doubt();
  const { watch: late, reported: reported_late } = watch();
  const answers: string[] = [];
  late.ready(() => late.reported(() => answers.push(members(late))));
  port.advance(100);
  join("b");
  assert.deepEqual([reported.map(words), answers], [["+b"], []]);
  // The owner's answer has one more.
  setOwn(room.table, entryOf(9, { connection_id: "c", user_id: "c" }));
  room.onSynced();
  room.touch();
  port.advance(50);
  assert.deepEqual([reported.map(words), answers], [["+b", "+c"], ["a b c"]]);
  join("d");
  port.advance(50);
  assert.deepEqual(reported_late.at(-1)?.updates.map(({ connection_id }) => connection_id), ["d"]);
});

Deno.test("without a confirmation within sync_timeout_ms the known members are used", () => {
  const { port, room, join, watch } = fixture();
  room.onSynced();
  join("a");
  watch();
  room.doubt();
  const answers: string[] = [];
  const note = (name: string, it: PresenceWatch) =>
    it.ready((error) => void answers.push(`${name}: ${error?.reason ?? members(it)}`));
  const { watch: first } = watch();
  note("first", first);
  port.advance(2_999);
  assert.deepEqual(answers, []);
  port.advance(1);
  assert.deepEqual(answers, ["first: a"]);
  note("second", watch().watch);
  assert.deepEqual(answers, ["first: a", "second: a"], "only once after each doubt");
});

Deno.test("a closed watch is not notified, and the last one closes the room", () => {
  const { port, room, empty, stats, join, watch } = fixture();
  const { watch: one, reported } = watch();
  const { watch: two } = watch();
  let called = 0;
  two.ready(() => called++);
  two.close();
  one.ready(() => {});
  room.onSynced();
  join("a");
  join("b");
  one.reported(() => called++);
  assert.equal(stats.watchers, 1);
  one.close();
  one.close();
  port.advance(10_000);
  assert.deepEqual([called, reported.length, empty.length, stats.watchers], [0, 1, 1, 0]);
  assert.equal(port.timers.size, 0);
});
