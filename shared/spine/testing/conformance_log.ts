/**
 * Conformance cases of the durable logs: appends and their delivery to subscribers; see `conformance.ts`. How they are
 * read and trimmed is in `conformance_log_read.ts`.
 */
import assert from "node:assert/strict";
import { ORIGIN_HEADER } from "../../records/caller_headers.ts";
import { roomSubject } from "../../subjects/subject.ts";
import { type Bus, bytes, type Case, collect, refusedWith, text, within } from "./conformance.ts";
import { openLogs, RETENTION } from "./conformance_log_read.ts";
import {
  LOG_OFFSET_HEADER,
  LOG_PREVIOUS_HEADER,
  LOG_STREAM_HEADER,
  LOG_TIME_HEADER,
} from "../contract/durable_log.ts";
import type { Appended } from "../contract/durable_log.ts";
import type { SpineMessage } from "../contract/spine_message.ts";

const EVERYTHING = { after: 0, limit: 10_000, max_bytes: 10_000_000 };
const ORIGIN = ORIGIN_HEADER;

const collectRoom = ({ other, name }: Bus, room: string) =>
  collect(other, roomSubject("in", name, room));
const offsetOf = ({ headers }: SpineMessage) => Number(headers[LOG_OFFSET_HEADER]);
const previousOf = ({ headers }: SpineMessage) => headers[LOG_PREVIOUS_HEADER];
/** The message, and the one that it claims to follow. */
const shown = (message: SpineMessage) => `${text(message.payload)} after ${previousOf(message)}`;

async function opens(bus: Bus): Promise<void> {
  const { spine, other, name, neighbours = 0 } = bus;
  const is_shared = neighbours > 0;
  const [mine, theirs] = await openLogs(bus);
  assert.equal(mine.tenant_id, name);
  const stream = is_shared ? /^LOGS_00_[A-Za-z0-9]+$/ : new RegExp(`^LOG_${name}_[A-Za-z0-9]+$`);
  assert.match(mine.stream, stream);
  assert.equal(theirs.stream, mine.stream);
  const [again, once_more] = await Promise.all([
    spine.log(name, { ...RETENTION, history_size: 50 }),
    spine.log(name, { ...RETENTION, history_size: 200 }),
  ]);
  assert.equal(again, mine);
  assert.equal(once_more, mine, "one object a tenant");
  assert.equal((await mine.status()).history_size, 200, "opening again grows what is kept");
  const elsewhere = await other.log(`${name}-2`, RETENTION);
  assert.equal(elsewhere.stream === mine.stream, is_shared);
  const status = await elsewhere.status();
  assert.equal(status.stream, elsewhere.stream);
  assert.equal(status.history_size, RETENTION.history_size);
  assert.equal(status.history_ttl_seconds, RETENTION.history_ttl_seconds);
  assert.deepEqual([status.messages, status.log_offset], [neighbours, neighbours]);
  await assert.rejects(spine.log("no tenant", RETENTION), refusedWith("tenant-mismatch"));
  await assert.rejects(mine.append("no room", bytes("x")), refusedWith("invalid-room"));
  await assert.rejects(mine.append("a", bytes("x"), { headers: { "a:b": "c" } }), TypeError);
}

async function appends(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  let last = 0;
  for (let n = 0; n < 20; n++) {
    const log = n % 3 === 0 ? theirs : mine;
    const { offset, duplicate, stream } = await within(log.append(`r${n % 2}`, bytes("x")), "it");
    assert.ok(offset > last, "one running number for all rooms");
    assert.deepEqual([duplicate, stream], [false, mine.stream]);
    last = offset;
    const head = await (n % 2 === 0 ? mine : theirs).head(`r${n % 2}`);
    assert.deepEqual([head.last?.offset, head.log_offset], [offset, offset]);
    assert.equal(head.stream, mine.stream);
  }
  const status = await mine.status();
  assert.deepEqual([status.messages - (bus.neighbours ?? 0), status.log_offset], [20, last]);
  assert.ok(status.bytes >= 20);
}

async function delivers(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  const received = await collectRoom(bus, "orders");
  const before_ms = mine.now();
  const first = await mine.append("orders", bytes("one"), { headers: { [ORIGIN]: "c-1" } });
  const second = await mine.append("orders", bytes("two"));
  const messages = await received.count(2);
  assert.deepEqual(messages.map(offsetOf), [first.offset, second.offset]);
  assert.deepEqual(messages.map(shown), ["one after 0", `two after ${first.offset}`]);
  for (const { headers, subject } of messages) {
    assert.equal(headers[LOG_STREAM_HEADER], mine.stream);
    assert.equal(subject, roomSubject("in", bus.name, "orders"));
    // A NATS server may be another machine: its clock is near, not equal.
    const time_ms = Date.parse(headers[LOG_TIME_HEADER] ?? "");
    assert.ok(Math.abs(time_ms - before_ms) < 60_000, headers[LOG_TIME_HEADER]);
  }
  assert.deepEqual(messages.map(({ headers }) => headers[ORIGIN]), ["c-1", undefined]);
  const { messages: stored } = await mine.read("orders", EVERYTHING);
  assert.deepEqual(stored.map(({ headers }) => headers[ORIGIN]), ["c-1", undefined]);
  stored.forEach(({ offset, time_ms }, at) => {
    assert.equal(offset, offsetOf(messages[at] ?? assert.fail()));
    const sent_ms = Date.parse(messages[at]?.headers[LOG_TIME_HEADER] ?? "");
    assert.ok(Math.abs(time_ms - sent_ms) <= 1, "the same time, live and read");
  });
}

async function interleaves(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  const all = await Promise.all(["a", "b"].map((room) => collectRoom(bus, room)));
  const appended = await within(
    Promise.all(
      Array.from({ length: 60 }, (_, n) => mine.append(n % 3 === 0 ? "a" : "b", bytes(String(n)))),
    ),
    "the appends",
  );
  for (const [at, room] of ["a", "b"].entries()) {
    const numbers = appended.flatMap((_, n) => (n % 3 === 0) === (room === "a") ? [n] : []);
    const messages = await all[at]?.count(numbers.length) ?? [];
    let previous = 0;
    messages.forEach((message, index) => {
      const number = numbers[index] ?? -1;
      assert.equal(shown(message), `${number} after ${previous}`, room);
      assert.equal(offsetOf(message), appended[number]?.offset);
      previous = offsetOf(message);
    });
  }
}

async function keepsOrder(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus, RETENTION);
  const received = await collectRoom(bus, "busy");
  const appended: Promise<Appended>[] = [];
  for (let n = 0; n < 300; n++) {
    appended.push(mine.append("busy", bytes(String(n))));
    if (n % 50 === 49) await appended.at(-1);
  }
  const offsets = (await within(Promise.all(appended), "the appends")).map(({ offset }) => offset);
  assert.deepEqual(offsets, offsets.toSorted((left, right) => left - right));
  const expected = Array.from({ length: 300 }, (_, n) => String(n));
  const { messages } = await mine.read("busy", { ...EVERYTHING, limit: 300 });
  assert.deepEqual(messages.map(({ payload }) => text(payload)), expected);
  const live = await received.count(300);
  assert.deepEqual(live.map(({ payload }) => text(payload)), expected);
  assert.deepEqual(live.map(offsetOf), offsets);
}

async function deduplicates(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const received = await collectRoom(bus, "a");
  const first = await mine.append("a", bytes("one"), { key: "a/k" });
  const again = await theirs.append("a", bytes("one"), { key: "a/k" });
  assert.deepEqual(again, { ...first, duplicate: true });
  const elsewhere = await mine.append("b", bytes("one"), { key: "a/k" });
  assert.equal(elsewhere.duplicate, false, "another room, another message");
  const [left, right, other] = await Promise.all([
    mine.append("a", bytes("two"), { key: "twice" }),
    mine.append("a", bytes("two"), { key: "twice" }),
    mine.append("a", bytes("two")),
  ]);
  assert.equal(left.duplicate, false);
  assert.deepEqual(right, { ...left, duplicate: true });
  assert.equal(other.duplicate, false, "without a key nothing is compared");
  const odd = `a/${"é😀 ".repeat(40)}/\u0000\r\n`;
  const third = await mine.append("a", bytes("three"), { key: odd });
  assert.deepEqual(await mine.append("a", bytes("x"), { key: odd }), { ...third, duplicate: true });
  const offsets = [first, left, other, third].map(({ offset }) => offset);
  const { messages } = await mine.read("a", EVERYTHING);
  assert.deepEqual(messages.map(({ offset }) => offset), offsets);
  await mine.append("a", bytes("last"));
  const live = await received.until(
    (items) => text(items.at(-1)?.payload ?? bytes("")) === "last",
    "the last message",
  );
  assert.deepEqual(live.slice(0, -1).map(offsetOf), offsets, "delivered once as well");
  await mine.trim("b", 0);
  await mine.forgetNames();
  const next = await mine.append("c", bytes("one"), { key: "a/k" });
  assert.equal(next.duplicate, false, "a room that is made after another was forgotten");
}

async function comparesLast(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const received = await collectRoom(bus, "a");
  const moved = refusedWith("version-conflict");
  const first = await mine.append("a", bytes("1"), { expected_last: 0, key: "first" });
  await mine.append("b", bytes("other room"), { expected_last: 0 });
  await assert.rejects(theirs.append("a", bytes("x"), { expected_last: 0 }), moved);
  await assert.rejects(mine.append("a", bytes("x"), { expected_last: first.offset + 1 }), moved);
  const again = theirs.append("a", bytes("1"), { expected_last: 0, key: "first" });
  await assert.rejects(again, moved, "a repetition, too");
  const contest = await Promise.allSettled(
    [mine, theirs, mine].map((log, at) =>
      log.append("a", bytes(`second ${at}`), { expected_last: first.offset })
    ),
  );
  const lost = contest.filter(({ status }) => status === "rejected");
  for (const { reason } of lost as PromiseRejectedResult[]) moved(reason);
  assert.equal(lost.length, 2, "of several who follow one message one is stored");
  await mine.append("a", bytes("3"), { expected_last: (await mine.head("a")).last?.offset ?? 0 });
  assert.equal((await received.count(3)).length, 3);
  await mine.trim("a", 0);
  await mine.append("a", bytes("4"), { expected_last: 0 });
}

async function appendsAll(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus, RETENTION);
  const received = await collectRoom(bus, "a");
  const moved = refusedWith("version-conflict");
  const some = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => {
      const headers: Record<string, string> = { [ORIGIN]: `c-${from + at}` };
      return { payload: bytes(String(from + at)), headers };
    });
  await mine.append("b", bytes("other room"));
  const first = await mine.appendAll("a", some(1, 5), 0);
  assert.deepEqual([first.duplicate, first.stream], [false, mine.stream]);
  assert.equal((await theirs.head("a")).last?.offset, first.offset, "the last one's");
  await assert.rejects(theirs.appendAll("a", some(6, 3), 0), moved);
  await assert.rejects(theirs.appendAll("a", some(6, 3), first.offset - 1), moved);
  // Of two writers that follow the same message, one stores its messages, and none of the other's are in between.
  const contest = await Promise.allSettled(
    [mine, theirs].map((log) => log.appendAll("a", some(6, 300), first.offset)),
  );
  assert.deepEqual(contest.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const { offset } = await mine.append("a", bytes("306"));
  const live = await received.count(306);
  assert.deepEqual(live.map(({ payload }) => text(payload)), live.map((_, at) => String(at + 1)));
  for (const [at, message] of live.entries()) {
    assert.equal(previousOf(message), String(at === 0 ? 0 : offsetOf(live[at - 1]!)));
  }
  const { messages } = await theirs.read("a", EVERYTHING);
  assert.deepEqual(messages.map((one) => one.offset), live.map(offsetOf));
  assert.deepEqual(messages.slice(0, 2).map(({ headers }) => ({ ...headers })), [
    ...[{ [ORIGIN]: "c-1" }, { [ORIGIN]: "c-2" }],
  ]);
  assert.equal(messages.at(-1)?.offset, offset);
  const large = { payload: new Uint8Array(bus.spine.payload_bytes_max + 1) };
  const sized = [...some(307, 2), large, ...some(310, 2)];
  await assert.rejects(mine.appendAll("a", sized, offset), refusedWith("message-too-large"));
  const { messages: rest } = await mine.read("a", { ...EVERYTHING, after: offset });
  const texts = rest.map(({ payload }) => text(payload));
  assert.deepEqual(texts, ["307", "308"].slice(0, texts.length), "nothing behind what was refused");
}

async function copies(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  const received = await collectRoom(bus, "a");
  const payload = new Uint8Array([0, 1, 255]);
  const headers: Record<string, string> = { [ORIGIN]: "é as it was" };
  const appending = mine.append("a", payload, { headers });
  payload.fill(9);
  headers[ORIGIN] = "changed";
  await appending;
  const [live] = await received.count(1);
  assert.deepEqual(live?.payload, new Uint8Array([0, 1, 255]));
  assert.equal(live?.headers[ORIGIN], "é as it was");
  const { messages: [read] } = await mine.read("a", EVERYTHING);
  assert.deepEqual(read?.payload, new Uint8Array([0, 1, 255]));
  assert.equal(read?.headers[ORIGIN], "é as it was");
  read?.payload.fill(7);
  const { messages: [again] } = await mine.read("a", EVERYTHING);
  assert.deepEqual(again?.payload, new Uint8Array([0, 1, 255]));
  await mine.append("a", new Uint8Array(0));
  assert.deepEqual((await mine.head("a")).last?.payload, new Uint8Array(0));
  assert.deepEqual((await received.count(2))[1]?.payload, new Uint8Array(0));
}

async function limitsSize(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  const received = await collectRoom(bus, "a");
  const max = bus.spine.payload_bytes_max;
  const tooLarge = refusedWith("message-too-large");
  await assert.rejects(mine.append("a", new Uint8Array(max + 1)), tooLarge);
  const headers = { [ORIGIN]: "x".repeat(2_000) };
  await assert.rejects(mine.append("a", new Uint8Array(max - 2_000), { headers }), tooLarge);
  assert.equal((await mine.head("a")).log_offset, bus.neighbours ?? 0, "nothing was stored");
  // A message has at least this much room beside the envelope's own numbers and the engine's headers.
  const large = new Uint8Array(max - 4_096).map((_, at) => at * 7);
  const { offset } = await mine.append("a", large, { key: "large" });
  assert.deepEqual((await received.count(1))[0]?.payload, large);
  assert.deepEqual((await mine.head("a")).last?.payload, large);
  const { messages } = await mine.read("a", { after: 0, limit: 5, max_bytes: 10 });
  assert.deepEqual(messages.map((message) => message.offset), [offset]);
}

async function isSeenByAll(bus: Bus): Promise<void> {
  const [mine, theirs] = await openLogs(bus);
  const log_offset = bus.neighbours ?? 0;
  const empty = { stream: mine.stream, last: undefined, log_offset, erased: 0 };
  assert.deepEqual({ erased: 0, ...await mine.head("a") }, empty);
  for (let n = 0; n < 30; n++) {
    const { offset } = await mine.append("a", bytes(String(n)), { headers: { [ORIGIN]: `c${n}` } });
    const { last } = await theirs.head("a");
    assert.equal(last?.offset, offset);
    assert.equal(text(last?.payload ?? bytes("")), String(n));
    assert.equal(last?.headers[ORIGIN], `c${n}`);
  }
  assert.equal((await theirs.head("b")).last, undefined);
}

async function refusesAfterDrain(bus: Bus): Promise<void> {
  const [mine] = await openLogs(bus);
  await mine.append("a", bytes("1"));
  const under_way = [mine.append("a", bytes("2")), mine.append("b", bytes("3"))];
  const settled = Promise.allSettled(under_way);
  await within(bus.spine.drain(), "the drain");
  for (const outcome of await within(settled, "the appends under way")) {
    if (outcome.status === "rejected") refusedWith("spine-unavailable")(outcome.reason);
  }
  const refused = refusedWith("spine-unavailable");
  await assert.rejects(mine.append("a", bytes("4")), refused);
  await assert.rejects(mine.head("a"), refused);
  await assert.rejects(mine.heads(["a"]), refused);
  await assert.rejects(mine.read("a", EVERYTHING), refused);
  await assert.rejects(mine.readBack("a", { before: 0, limit: 1, max_bytes: 1 }), refused);
  await assert.rejects(mine.trim("a", 0), refused);
  await assert.rejects(mine.retain(RETENTION), refused);
  await assert.rejects(mine.status(), refused);
  await assert.rejects(bus.spine.log(bus.name, RETENTION), refused);
}

async function findsExisting(bus: Bus): Promise<void> {
  const { spine, other, name } = bus;
  assert.equal(await spine.existingLog(`${name}-none`), undefined);
  assert.equal(await other.existingLog(`${name}-none`), undefined, "the question makes none");
  const [mine] = await openLogs(bus);
  await mine.append("a", bytes("1"));
  const { history_size, history_ttl_seconds } = await mine.status();
  const found = await other.existingLog(name) ?? assert.fail("it exists");
  assert.equal(found.stream, mine.stream);
  const status = await found.status();
  assert.deepEqual([status.history_size, status.history_ttl_seconds], [
    history_size,
    history_ttl_seconds,
  ]);
  assert.equal((await found.head("a")).last?.offset, (await mine.head("a")).last?.offset);
}

/** Every case of appending and delivery. */
export const LOG_CASES: readonly Case[] = [
  { behaviour: "a tenant has one log, and opening it again grows what it keeps", run: opens },
  { behaviour: "a log is found if it exists, and is not made", run: findsExisting },
  { behaviour: "appends get growing offsets over all rooms of the tenant", run: appends },
  { behaviour: "what is stored comes on `in` with its offset, time and headers", run: delivers },
  { behaviour: "each message names the one before it in its own room", run: interleaves },
  { behaviour: "appends of one caller keep their order", run: keepsOrder },
  { behaviour: "a repeated key is stored once in its room and says so", run: deduplicates },
  { behaviour: "an append behind a message that is not the newest is refused", run: comparesLast },
  { behaviour: "messages that are appended together stand together", run: appendsAll },
  { behaviour: "the log holds copies, its readers own theirs", run: copies },
  { behaviour: "an append that does not fit is message-too-large", run: limitsSize },
  { behaviour: "the head has every append that was acknowledged", run: isSeenByAll },
  { behaviour: "a drained engine settles its appends and refuses others", run: refusesAfterDrain },
];
