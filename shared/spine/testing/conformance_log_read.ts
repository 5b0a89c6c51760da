/** Conformance cases of reading and trimming the durable logs; see `conformance_log.ts`. */
import assert from "node:assert/strict";
import { roomSubject } from "../../subjects/subject.ts";
import { type Bus, bytes, type Case, collect, refusedWith, text, within } from "./conformance.ts";
import { LOG_PREVIOUS_HEADER } from "../contract/durable_log.ts";
import type { DurableLog, LogPage, Retention } from "../contract/durable_log.ts";

/** What the cases keep unless they say otherwise: more than they append. */
export const RETENTION: Retention = {
  history_size: 100_000,
  history_ttl_seconds: 3_600,
  replicas: undefined,
};
const LOTS = { limit: 10_000, max_bytes: 10_000_000 };

/** The tenant's log, as both peers have it. */
export function openLogs(
  { spine, other, name }: Bus,
  retention = { ...RETENTION, history_size: 100 },
): Promise<[DurableLog, DurableLog]> {
  // One after the other: the second peer finds the log that the first one created.
  return spine.log(name, retention).then(async (mine) => [mine, await other.log(name, retention)]);
}

/** Appends `count` messages, named by number, and returns their offsets. */
async function fill(log: DurableLog, room: string, count: number, from = 0): Promise<number[]> {
  const appends = Array.from(
    { length: count },
    (_, n) => log.append(room, bytes(String(from + n))),
  );
  return (await within(Promise.all(appends), "the appends")).map(({ offset }) => offset);
}

const offsets = ({ messages }: LogPage) => messages.map(({ offset }) => offset);
const texts = ({ messages }: LogPage) => messages.map(({ payload }) => text(payload));

async function readsForward(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus, RETENTION);
  const written: number[] = [];
  for (let round = 0; round < 5; round++) {
    written.push(...await fill(mine, "a", 5, round * 5));
    await fill(theirs, "b", 7);
  }
  const seen: string[] = [];
  let after = 0;
  for (let page = 0; page < 4; page++) {
    const read = await theirs.read("a", { after, limit: 7, max_bytes: 1_000_000 });
    assert.equal(read.stream, mine.stream);
    assert.equal(read.complete, true, `page ${page}`);
    assert.equal(read.more, page < 3, `page ${page}`);
    assert.equal(read.messages.length, page < 3 ? 7 : 4);
    seen.push(...texts(read));
    after = read.messages.at(-1)?.offset ?? 0;
  }
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, n) => String(n)));
  const exact = await mine.read("a", { ...LOTS, after: 0, limit: 25 });
  assert.deepEqual(offsets(exact), written);
  assert.equal(exact.more, false, "a page that is just full is the last one");
  // A position between two messages of the room is as good as one at a message.
  const between = await mine.read("a", { ...LOTS, after: (written[4] ?? 0) + 2 });
  assert.deepEqual(offsets(between), written.slice(5));
  const end = await mine.read("a", { ...LOTS, after: written.at(-1) ?? 0 });
  assert.deepEqual([end.messages.length, end.complete, end.more], [0, true, false]);
  const never = await mine.read("never", { ...LOTS, after: 0 });
  assert.deepEqual([never.messages.length, never.complete, never.more], [0, true, false]);
}

async function boundsBytes(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  for (let n = 0; n < 10; n++) await mine.append("a", new Uint8Array(10_000).fill(n));
  const read = await mine.read("a", { after: 0, limit: 100, max_bytes: 35_000 });
  // "About so many": engines may count headers, or stop after the message that passes it.
  assert.ok(read.messages.length >= 2 && read.messages.length <= 4, `${read.messages.length}`);
  assert.equal(read.more, true);
  const tiny = await mine.read("a", { after: 0, limit: 100, max_bytes: 1 });
  assert.deepEqual([tiny.messages.length, tiny.more], [1, true]);
  const back = await mine.readBack("a", { before: 0, limit: 100, max_bytes: 35_000 });
  assert.ok(back.messages.length >= 2 && back.messages.length <= 4, `${back.messages.length}`);
  assert.equal(back.more, true);
  assert.equal(back.messages.at(-1)?.payload[0], 9, "the newest are the ones that come");
  const one = await mine.readBack("a", { before: 0, limit: 100, max_bytes: 1 });
  assert.deepEqual([one.messages.length, one.messages[0]?.payload[0], one.more], [1, 9, true]);
  const last = await mine.readBack("a", { ...LOTS, before: 0, limit: 1 });
  assert.deepEqual([last.messages.length, last.messages[0]?.payload[0]], [1, 9]);
}

async function readsBack(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus, RETENTION);
  const sparse: number[] = [];
  for (let round = 0; round < 4; round++) {
    sparse.push(...await fill(mine, "sparse", 1, round));
    await fill(mine, "busy", 300, round * 300);
  }
  const all = await theirs.readBack("sparse", { ...LOTS, before: 0, limit: 10 });
  assert.deepEqual(offsets(all), sparse, "in the order of their offsets");
  assert.deepEqual([all.complete, all.more], [false, false]);
  const newest = await mine.readBack("sparse", { ...LOTS, before: 0, limit: 2 });
  assert.deepEqual([offsets(newest), newest.more], [sparse.slice(2), true]);
  const older = await mine.readBack("sparse", { ...LOTS, before: sparse[2] ?? 0, limit: 2 });
  assert.deepEqual([offsets(older), older.more], [sparse.slice(0, 2), false]);
  const none = await mine.readBack("sparse", { ...LOTS, before: sparse[0] ?? 0, limit: 2 });
  assert.deepEqual([none.messages.length, none.more], [0, false]);
  const busy = await mine.readBack("busy", { ...LOTS, before: sparse[3] ?? 0, limit: 100 });
  assert.deepEqual(texts(busy), Array.from({ length: 100 }, (_, n) => String(800 + n)));
  assert.equal(busy.more, true);
  const ahead = await mine.readBack("sparse", { ...LOTS, before: 1_000_000, limit: 1 });
  assert.deepEqual(offsets(ahead), sparse.slice(3));
  const never = await mine.readBack("never", { ...LOTS, before: 0, limit: 1 });
  assert.deepEqual([never.messages.length, never.more], [0, false]);
}

async function tellsHeads(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  assert.equal((await mine.heads(["a"])).size, 0);
  const a = await fill(mine, "a", 3);
  const b = await fill(theirs, "b", 2);
  const expected = new Map([["a", a.at(-1)], ["b", b.at(-1)]]);
  assert.deepEqual(new Map(await mine.heads(["a", "never", "b"])), expected);
  const many = Array.from({ length: 3_000 }, (_, n) => `none-${n}`);
  const rooms = [...many.slice(0, 1_500), "a", ...many.slice(1_500), "b"];
  assert.deepEqual(new Map(await theirs.heads(rooms)), expected);
  assert.equal((await theirs.heads([])).size, 0);
}

async function listsRooms(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const all = { prefix: "", after: "", limit: 100 };
  assert.deepEqual(await mine.rooms(all), { rooms: [], more: false });
  // Names with one prefix are adjacent; `~` is the last character of an id.
  const names = ["a", "b-1", "b-10", "b-2", "b-~", "b", "c", "B-1"];
  for (const name of names) await fill(mine, name, 2);
  assert.deepEqual(await theirs.rooms(all), { rooms: names.toSorted(), more: false });
  const of = { prefix: "b-", after: "", limit: 2 };
  const first = await mine.rooms(of);
  assert.deepEqual(first, { rooms: ["b-1", "b-10"], more: true });
  const rest = await mine.rooms({ ...of, after: "b-10" });
  assert.deepEqual(rest, { rooms: ["b-2", "b-~"], more: false });
  assert.deepEqual(await mine.rooms({ ...of, after: "c" }), { rooms: [], more: false });
  assert.deepEqual(await mine.rooms({ ...of, prefix: "x" }), { rooms: [], more: false });
  // A room without messages is not listed.
  await mine.trim("b-2", 0);
  assert.deepEqual((await mine.rooms({ ...of, limit: 9 })).rooms, ["b-1", "b-10", "b-~"]);
  const stranger = await bus.spine.log(`${bus.name}-2`, RETENTION);
  assert.deepEqual((await stranger.rooms(all)).rooms, [], "another tenant's");
}

async function trims(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const received = await collect(bus.other, roomSubject("in", bus.name, "a"));
  const written = await fill(mine, "a", 10);
  const others = await fill(mine, "b", 3);
  await mine.trim("a", 20);
  await mine.trim("a", { through: (written[0] ?? 0) - 1 });
  assert.deepEqual(offsets(await mine.read("a", { ...LOTS, after: 0 })), written);
  await mine.trim("a", { through: written[2] ?? 0 });
  assert.deepEqual(offsets(await theirs.read("a", { ...LOTS, after: 0 })), written.slice(3));
  assert.equal((await mine.read("a", { ...LOTS, after: written[1] ?? 0 })).complete, false);
  await mine.trim("a", 4);
  assert.deepEqual(offsets(await theirs.read("a", { ...LOTS, after: 0 })), written.slice(6));
  assert.deepEqual(offsets(await mine.readBack("a", { ...LOTS, before: 0 })), written.slice(6));
  assert.deepEqual(offsets(await mine.read("b", { ...LOTS, after: 0 })), others);
  assert.equal((await mine.head("a")).last?.offset, written.at(-1));
  assert.equal(await theirs.oldest("a"), written[6]);
  assert.deepEqual([await mine.oldest("b"), await mine.oldest("never")], [others[0], 0]);
  assert.equal(await theirs.count("a", 0), 4);
  assert.equal(await theirs.count("a", written[8] ?? 0), 2);
  assert.equal(await mine.count("a", (written[9] ?? 0) + 1), 0, "others' messages do not count");
  assert.equal(await mine.count("b", 1), 3);
  assert.equal(await mine.count("never", 0), 0);
  await mine.trim("a", { through: others.at(-1) ?? 0 });
  await mine.trim("a", 0);
  assert.deepEqual([await mine.oldest("a"), await mine.count("a", 0)], [0, 0]);
  assert.equal((await mine.read("a", { ...LOTS, after: 0 })).messages.length, 0);
  const head = await theirs.head("a");
  assert.deepEqual([head.last, head.log_offset], [undefined, others.at(-1)]);
  assert.equal((await mine.heads(["a"])).size, 0);
  const { offset } = await mine.append("a", bytes("again"));
  assert.ok(offset > (others.at(-1) ?? 0), "an offset is never used twice");
  const live = await received.count(11);
  assert.equal(live[10]?.headers[LOG_PREVIOUS_HEADER], "0", "the log had none then");
  await mine.trim("never", 0);
  assert.equal((await mine.status()).messages, 4 + (bus.neighbours ?? 0));
}

/** For any offsets: no page across a hole is complete, and the messages around it stay. */
async function erases(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const received = await collect(bus.other, roomSubject("in", bus.name, "a"));
  const written = await fill(mine, "a", 8);
  const others = await fill(mine, "b", 2);
  const at = (index: number) => written[index] ?? assert.fail();
  const stored = async () => offsets(await theirs.read("a", { ...LOTS, after: 0 }));
  const readAfter = async (after: number) => {
    const { complete, erased } = await theirs.read("a", { ...LOTS, after, limit: 3 });
    return complete ? "complete" : erased ? "erased" : "incomplete";
  };
  assert.deepEqual([await mine.erased("a"), (await mine.head("a")).erased ?? 0], [0, 0]);
  // An offset of another room, an unused one, and one that is given twice.
  assert.equal(await mine.erase("a", [others[0]!, at(7) + 100, at(2), at(4), at(4)]), 2);
  assert.deepEqual(
    await stored(),
    written.filter((offset) => offset !== at(2) && offset !== at(4)),
  );
  assert.deepEqual(offsets(await theirs.read("b", { ...LOTS, after: 0 })), others);
  assert.deepEqual([await theirs.erased("a"), await theirs.erased("b")], [at(4), 0]);
  assert.equal((await theirs.head("a")).erased, at(4));
  for (const after of [0, at(0), at(1), at(2), at(3)]) {
    assert.equal(await readAfter(after), "erased", `after ${after}`);
  }
  for (const after of [at(4), at(5), at(7)]) assert.equal(await readAfter(after), "complete");
  assert.equal(await mine.erase("a", [at(2), at(4)]), 0, "a repetition finds nothing");
  assert.equal(await theirs.count("a", 0), 6);
  // The oldest, and the newest.
  assert.equal(await mine.erase("a", [at(0), at(7)]), 2);
  assert.deepEqual([await theirs.oldest("a"), (await theirs.head("a")).last?.offset], [
    at(1),
    at(6),
  ]);
  assert.deepEqual([...await theirs.heads(["a"])], [["a", at(6)]]);
  assert.equal(await readAfter(at(6)), "erased", "the newest is gone");
  assert.equal(await readAfter(at(7)), "complete");
  const { offset } = await mine.append("a", bytes("next"), { expected_last: at(6) });
  assert.ok(offset > others[1]!);
  const live = await received.count(9);
  assert.equal(live[8]?.headers[LOG_PREVIOUS_HEADER], String(at(6)));
  // All of them.
  assert.equal(await mine.erase("a", await stored()), 5);
  assert.deepEqual([await stored(), (await theirs.head("a")).last], [[], undefined]);
  assert.equal(await readAfter(at(7)), "erased");
  assert.equal(await readAfter(offset), "complete");
  assert.equal((await mine.status()).messages, 2 + (bus.neighbours ?? 0));
  // What is trimmed before an erased message does not hide that one.
  const [, second = 0, third = 0, , fifth = 0, last = 0] = await fill(mine, "c", 6);
  assert.equal(await mine.erase("c", [fifth]), 1);
  await mine.trim("c", 3);
  for (const after of [second, third, fifth - 1, fifth, last]) {
    const { complete } = await theirs.read("c", { ...LOTS, after });
    assert.equal(complete, after >= fifth, `after ${after}, with ${fifth} erased`);
  }
  await mine.trim("c", 0);
  await mine.forgetNames();
  assert.ok(await mine.erased("a") >= at(7));
  assert.equal(await readAfter(at(7)), "erased", "also once nobody knows the room's name");
  await assert.rejects(mine.erase("a b", [1]), refusedWith("invalid-room"));
  assert.equal(await mine.erase("never", [1]), 0);
  assert.equal(await mine.erase("a", []), 0);
}

/** `complete` is true only where nothing is missing, and never wrongly so. */
async function provesCompleteness(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const complete = async (room: string, after: number) =>
    (await theirs.read(room, { ...LOTS, after, limit: 3 })).complete;
  const written = await fill(mine, "a", 6);
  const at = (index: number) => written[index] ?? assert.fail();
  assert.equal(await complete("a", 0), true, "a fresh log has lost nothing");
  assert.equal(await complete("a", at(2)), true);
  await mine.trim("a", 3);
  assert.equal(await complete("a", 0), false, "the first three are gone");
  assert.equal(await complete("a", at(0)), false);
  assert.equal(await complete("a", at(1)), false, "the third is gone");
  assert.equal(await complete("a", at(3)), true, "its position is still there");
  assert.equal(await complete("a", at(4)), true);
  assert.equal(await complete("a", at(5)), true);
  await mine.trim("a", 0);
  for (let index = 0; index < 5; index++) assert.equal(await complete("a", at(index)), false);
  assert.equal(await complete("a", 0), false);
  const [next = 0] = await fill(mine, "a", 1);
  assert.equal(await complete("a", 0), false);
  assert.equal(await complete("a", at(4)), false);
  assert.equal(await complete("a", next), true);
}

/** A log keeps at least what was asked for, and not without bound. */
async function retains(bus: Bus): Promise<void> {
  const small = { ...RETENTION, history_size: 5 };
  const [mine, theirs] = await openLogs(bus, small);
  const left = async () => texts(await theirs.read("a", { ...LOTS, after: 0 })).map(Number);
  const newest = (count: number, end: number) =>
    Array.from({ length: count }, (_, n) => end - count + n);
  await fill(mine, "a", 100);
  const kept = await left();
  assert.deepEqual(kept.slice(-5), newest(5, 100));
  assert.ok(kept.length <= 40, `${kept.length} of 5 are kept`);
  await mine.retain({ ...small, history_size: 60, history_ttl_seconds: 7_200 });
  assert.equal((await mine.status()).history_size, 60);
  assert.equal((await mine.status()).history_ttl_seconds, 7_200);
  await fill(mine, "a", 100, 100);
  assert.deepEqual((await left()).slice(-60), newest(60, 200));
  await mine.retain(small);
  assert.equal((await mine.status()).history_size, 60, "without `shrink` it only grows");
  assert.equal((await mine.status()).history_ttl_seconds, 7_200);
  await mine.retain(small, true);
  assert.equal((await mine.status()).history_size, 5);
  assert.equal((await mine.status()).history_ttl_seconds, 3_600);
  await fill(mine, "a", 100, 200);
  const shrunk = await left();
  assert.deepEqual(shrunk.slice(-5), newest(5, 300));
  assert.ok(shrunk.length <= 40, `${shrunk.length} of 5 are kept`);
}

async function checksReads(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  const badRoom = refusedWith("invalid-room");
  await assert.rejects(mine.head("a b"), badRoom);
  await assert.rejects(mine.read("*", { ...LOTS, after: 0 }), badRoom);
  await assert.rejects(mine.readBack(">", { ...LOTS, before: 0 }), badRoom);
  await assert.rejects(mine.trim("", 0), badRoom);
}

async function hasAClock(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  let last_ms = mine.now();
  assert.ok(Math.abs(last_ms - Date.now()) < 60_000);
  for (let n = 0; n < 20; n++) {
    await mine.append("a", bytes("x"));
    assert.ok(mine.now() >= last_ms, "it does not go back");
    last_ms = mine.now();
  }
  const times = (await mine.read("a", { ...LOTS, after: 0 })).messages.map((one) => one.time_ms);
  assert.deepEqual(times, times.toSorted((left, right) => left - right));
}

/** Every case of reading and trimming. */
export const LOG_READ_CASES: readonly Case[] = [
  { behaviour: "a room is read forward in pages, each complete", run: readsForward },
  { behaviour: "a page is bounded in bytes and has one message at least", run: boundsBytes },
  { behaviour: "a room is read backward, also a sparse one among busy ones", run: readsBack },
  { behaviour: "the heads of many rooms are told at once", run: tellsHeads },
  { behaviour: "the rooms with messages are listed by their names, in pages", run: listsRooms },
  { behaviour: "trimming removes all but the newest of one room", run: trims },
  { behaviour: "erasing removes any messages of one room, and no page hides that", run: erases },
  {
    behaviour: "a page is complete only if nothing before it was removed",
    run: provesCompleteness,
  },
  {
    behaviour: "what is kept grows, shrinks when told to, and has an end",
    is_own: true,
    run: retains,
  },
  { behaviour: "a bad room id is refused before the log is asked", run: checksReads },
  { behaviour: "the log's clock and its messages' times do not go back", run: hasAClock },
];
