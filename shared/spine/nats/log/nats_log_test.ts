/**
 * The NATS logs when their stream is lost, full, foreign or unreachable. Real servers. Also messages that are appended
 * together.
 */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { ArqonError } from "@arqon/proto";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { atEnd } from "../../../testing/at_end.ts";
import { insist, until } from "../../../testing/until.ts";
import { bytes, refusedWith, text, within } from "../../testing/conformance.ts";
import type { DurableLog } from "../../contract/durable_log.ts";
import {
  ALL,
  appendUntil,
  logEngine,
  numbers,
  offsetsOf,
  operator,
  readAll,
  RETENTION,
} from "../testing/nats_log_harness.ts";
import { takesBatches } from "./nats_log_append.ts";

const unavailable = refusedWith("log-unavailable");
const small = { ...RETENTION, history_size: 10 };

Deno.test("a stream deleted during appends is recreated, in order, and the log reports it", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  await using other = await logEngine([server.url]);
  await using outside = await operator(server.url);
  const log = await one.spine.log("acme", RETENTION);
  const theirs = await other.spine.log("acme", RETENTION);
  const first = log.stream;
  const { promise: stop, resolve } = Promise.withResolvers<void>();
  const appending = appendUntil(log, "a", stop);
  await log.append("b", bytes("before"));
  await outside.streams.delete(first);
  await one.reported("acme", 1);
  // The server's advisory may be lost under load; then the next request detects it.
  await theirs.status();
  await other.reported("acme", 1);
  while (log.stream === first) await log.append("b", bytes("after")).catch(unavailable);
  await log.append("b", bytes("after"));
  resolve();
  const { acknowledged, refused } = await appending;
  assert.notEqual(log.stream, first);
  for (const error of refused.values()) unavailable(error);
  const stored = await readAll(log, "a");
  const kept = [...acknowledged].filter(([, { stream }]) => stream === log.stream);
  const byNumber = offsetsOf(stored);
  for (const [number, { offset }] of kept) assert.equal(byNumber.get(number), offset);
  assert.deepEqual(numbers(stored), numbers(stored).toSorted((left, right) => left - right));
  assert.equal(byNumber.size, stored.length, "each number once");
  assert.deepEqual((await theirs.read("a", ALL)).stream, log.stream);
  assert.equal(theirs.stream, log.stream);
});

Deno.test("a read notices that the stream is deleted, and reads the new one", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  await using outside = await operator(server.url);
  const log = await one.spine.log("acme", RETENTION);
  const asks = [
    () => log.head("a"),
    () => log.read("a", ALL),
    () => log.heads(["a"]).then(() => log),
    () => log.readBack("a", { ...ALL, before: 0 }),
    () => log.status(),
  ];
  for (const ask of asks) {
    const before = log.stream;
    await log.append("a", bytes("x"));
    await outside.streams.delete(before);
    const { stream } = await within<{ stream: string }>(ask(), "the answer");
    assert.notEqual(stream, before);
    assert.equal(stream, log.stream);
    assert.equal((await log.head("a")).last, undefined);
  }
});

Deno.test("a full log refuses appends, acknowledges none of them, and is still read", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url], { log_bytes: 65_536 });
  const log = await one.spine.log("acme", RETENTION);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 40 }, (_, n) => log.append(`r${n % 2}`, new Uint8Array(4_000).fill(n))),
  );
  const stored = outcomes.flatMap((one) => one.status === "fulfilled" ? [one.value.offset] : []);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") {
      unavailable(outcome.reason);
      assert.match(String(outcome.reason), /maximum bytes exceeded/);
    }
  }
  assert.ok(stored.length >= 10 && stored.length < 17, `${stored.length} fit`);
  const { messages, log_offset } = await log.status();
  assert.deepEqual([messages, log_offset], [stored.length, stored.at(-1)]);
  const read = (await Promise.all(["r0", "r1"].map((room) => log.read(room, ALL)))).flatMap((
    page,
  ) => page.messages.map(({ offset }) => offset));
  assert.deepEqual(read.toSorted((left, right) => left - right), stored);
  await log.trim("r0", 1);
  await log.append("r0", new Uint8Array(4_000));
});

Deno.test("appends under way when the server dies are refused, nothing acknowledged is lost", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  const log = await one.spine.log("acme", RETENTION);
  for (let round = 1; round <= 3; round++) {
    const room = `r${round}`;
    const { promise: stop, resolve } = Promise.withResolvers<void>();
    const appending = appendUntil(log, room, stop);
    await log.append(room, bytes("-1"));
    await server.restart();
    await one.reported("acme", round);
    await within(log.append(room, bytes("-2")), "an append after it");
    resolve();
    const { acknowledged, refused } = await within(appending, "the appends");
    assert.ok(refused.size > 0);
    const stored = await readAll(log, room);
    const offsets = offsetsOf(stored);
    assert.equal(offsets.size, stored.length, "each number once");
    for (const [number, { offset }] of acknowledged) assert.equal(offsets.get(number), offset);
    for (const number of refused.keys()) {
      const again = await log.append(room, bytes(String(number)), { key: String(number) });
      assert.equal(again.duplicate, offsets.has(number), "what was stored is known as such");
    }
  }
});

Deno.test("an unanswered append is refused in time, and its key shows whether it was stored", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url], {}, { request_timeout_ms: 300 });
  const log = await one.spine.log("acme", RETENTION);
  await server.freeze();
  const appending = [1, 2, 3].map((n) => log.append("a", bytes(String(n)), { key: String(n) }));
  for (const append of appending) {
    await assert.rejects(within(append, "the refusal"), unavailable);
    await assert.rejects(append, /no answer in 300 ms; it may have been stored/);
  }
  await assert.rejects(within(log.head("a"), "the refusal of a read"), unavailable);
  server.resume();
  // Until NATS has confirmed something again, appends are refused at once.
  const append = () => log.append("a", bytes("2"), { key: "2" });
  const isRefused = (error: unknown) => error instanceof ArqonError && error.code === 503;
  const again = await insist("an answer after the pause", append, isRefused);
  assert.equal(again.duplicate, true, "the server took it when it woke up");
  assert.deepEqual(numbers(await readAll(log, "a")), [1, 2, 3]);
});

Deno.test("appends above a tenant's share are refused at once, and another tenant's are not", async () => {
  await using server = await startNats({ jetstream: true });
  const limits = { pending_messages: 10, pending_bytes: 1_000 };
  await using one = await logEngine([server.url], limits, { request_timeout_ms: 60_000 });
  const log = await one.spine.log("acme", RETENTION);
  const other = await one.spine.log("other", RETENTION);
  await server.freeze();
  const few = Array.from({ length: 8 }, () => log.append("a", bytes("x")));
  await assert.rejects(log.append("b", bytes("x")), unavailable);
  few.push(other.append("a", bytes("x")));
  server.resume();
  await within(Promise.all(few), "the appends");
  await server.freeze();
  const large = log.append("a", new Uint8Array(800));
  await assert.rejects(log.append("b", new Uint8Array(101)), unavailable);
  await assert.rejects(log.append("b", new Uint8Array(101)), /1 publishes of this tenant wait/);
  const fits = [log.append("b", new Uint8Array(80)), other.append("a", new Uint8Array(90))];
  server.resume();
  await within(Promise.all([large, ...fits]), "the appends");
});

Deno.test("a foreign stream on the log's subjects is named, with what to do", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  await using outside = await operator(server.url);
  await outside.streams.add({ name: "EVERYTHING", subjects: ["log.>"] });
  const opening = one.spine.log("acme", RETENTION);
  await assert.rejects(opening, unavailable);
  await assert.rejects(
    opening,
    /EVERYTHING takes log\.t\.acme\.r\.\* .* change its subjects or delete/,
  );
  await outside.streams.delete("EVERYTHING");
  const log = await one.spine.log("acme", RETENTION);
  await log.append("a", bytes("now it works"));
});

Deno.test("many that open one log at once get one stream", async () => {
  await using server = await startNats({ jetstream: true });
  const engines = await Promise.all(Array.from({ length: 6 }, () => logEngine([server.url])));
  await using _end = atEnd(() =>
    Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()))
  );
  const logs = await Promise.all(engines.map(({ spine }) => spine.log("acme", RETENTION)));
  assert.equal(new Set(logs.map(({ stream }) => stream)).size, 1);
  await using outside = await operator(server.url);
  const streams = await outside.streams.list().next();
  assert.equal(streams.filter(({ config }) => config.name.startsWith("LOG_")).length, 1);
});

Deno.test("what others delete counts as erased in every room, and an older stream erases nothing", async () => {
  await using server = await startNats({ jetstream: true });
  await using outside = await operator(server.url);
  await using one = await logEngine([server.url]);
  const log = await one.spine.log("acme", RETENTION);
  const offsets: number[] = [];
  for (let n = 0; n < 6; n++) offsets.push((await log.append(`r${n % 2}`, bytes("x"))).offset);
  const { stream } = await log.status();
  await outside.streams.deleteMessage(stream, offsets[2]!);
  await until("the hole is recorded", async () => await log.erased("r1") === offsets[2]);
  const erasedAfter = async (after: number) => (await log.read("r0", { ...ALL, after })).erased;
  assert.deepEqual([await erasedAfter(offsets[0]!), await erasedAfter(offsets[2]!)], [
    offsets[2],
    undefined,
  ]);
  const { config } = await outside.streams.info(stream);
  await outside.streams.update(stream, { ...config, deny_delete: true });
  await assert.rejects(log.erase("r0", [offsets[4]!]), /lets nobody remove single messages/);
  assert.equal((await log.read("r0", { ...ALL, after: offsets[3]! })).messages.length, 1);
});

Deno.test("replicas that one server cannot have are refused with the key that requests them", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  const opening = one.spine.log("acme", { ...RETENTION, replicas: 3 });
  await assert.rejects(opening, unavailable);
  await assert.rejects(opening, /replicas = 3 of \[\[rooms\]\]: replicas > 1 not supported/);
  const log = await one.spine.log("acme", { ...RETENTION, replicas: 1 });
  assert.equal((await log.status()).replicas, 1);
});

/** The final state of a room: everything that was ever appended, and how it is read. */
async function checkRoom(log: DurableLog, room: string, ever: readonly number[]): Promise<number> {
  const present = (await readAll(log, room)).map(({ offset }) => offset);
  assert.deepEqual(present, ever.slice(ever.length - present.length), "only the oldest go");
  const gone = ever.at(-present.length - 1) ?? 0;
  const newestGone = present.length === ever.length ? 0 : gone;
  let proven = 0;
  for (const after of [0, ...ever, ...ever.map((offset) => offset + 1)]) {
    const page = await log.read(room, { ...ALL, after });
    assert.deepEqual(
      page.messages.map(({ offset }) => offset),
      present.filter((one) => one > after),
    );
    if (!page.complete) continue;
    proven++;
    assert.ok(after >= newestGone, `complete after ${after}, but ${newestGone} is gone`);
  }
  return proven;
}

Deno.test("no page is called complete when something is missing, whatever took it", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  const rooms = ["a", "b", "c"];
  let proven = 0;
  for (
    const [tenant, script] of ["abcabcab5aaaab", "aabbbb2accc9a", "aaaaaaaab0ccA", "bbbbCbab3b"]
      .entries()
  ) {
    const log = await one.spine.log(`t${tenant}`, { ...RETENTION, history_size: 3 });
    const ever = new Map(rooms.map((room) => [room, [] as number[]]));
    for (const step of script) {
      if (rooms.includes(step)) {
        ever.get(step)?.push((await log.append(step, bytes(step))).offset);
      } else if (rooms.includes(step.toLowerCase())) {
        await log.trim(step.toLowerCase(), 1);
      } else {
        await log.retain({ ...RETENTION, history_size: Number(step) }, true);
      }
      for (const room of rooms) proven += await checkRoom(log, room, ever.get(room) ?? []);
    }
  }
  assert.ok(proven > 500, `${proven} were proven`);
});

Deno.test("a reader that waits between a busy tenant's messages gets no loss report", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  const log = await one.spine.log("acme", small);
  await Promise.all(Array.from({ length: 100 }, () => log.append("busy", bytes("x"))));
  const { log_offset: place, last } = await log.head("quiet");
  assert.equal(last, undefined);
  await Promise.all(Array.from({ length: 100 }, () => log.append("busy", bytes("x"))));
  const written = await Promise.all([1, 2].map((n) => log.append("quiet", bytes(String(n)))));
  const page = await log.read("quiet", { ...ALL, after: place });
  assert.deepEqual(page.messages.map(({ offset }) => offset), written.map(({ offset }) => offset));
  assert.equal(page.complete, true);
});

// Messages that are appended together on a real server, also when it no longer accepts batches.

const COUNT = 40;

const some = (from: number) =>
  Array.from({ length: COUNT }, (_, at) => ({ payload: bytes(String(from + at)) }));

Deno.test("a stream accepts batches once enabled, and one that no longer does gets single messages", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], {}, { request_timeout_ms: 60_000 });
  await using seen = await operator(nats.url);
  const log = await one.spine.log("acme", RETENTION);
  const { streams } = seen;
  const configOf = async () => (await streams.info(log.stream)).config;
  await log.append("a", bytes("0"));
  assert.notEqual((await configOf()).allow_atomic, true, "nobody has asked for it");
  const single = await log.appendAll("b", some(0).slice(0, 1), 0);
  assert.notEqual((await configOf()).allow_atomic, true, "one message is no batch");
  let { offset } = await log.appendAll("b", some(1), single.offset);
  assert.equal((await configOf()).allow_atomic, true);
  // Another process may have changed the stream based on an earlier read.
  await streams.update(log.stream, { ...await configOf(), allow_atomic: false });
  ({ offset } = await log.appendAll("b", some(COUNT + 1), offset));
  ({ offset } = await log.appendAll("b", some(2 * COUNT + 1), offset));
  assert.equal((await configOf()).allow_atomic, true, "asked for anew");
  const { messages } = await log.read("b", ALL);
  assert.deepEqual(messages.map(({ payload }) => text(payload)), messages.map((_, at) => `${at}`));
  assert.equal(messages.length, 3 * COUNT + 1);
  assert.equal(messages.at(-1)?.offset, offset);
});

Deno.test("a server older than 2.12 gets no batches", () => {
  assert.equal(takesBatches(undefined), false);
  assert.equal(takesBatches({}), false);
  assert.equal(takesBatches({ api_lvl: 1 }), false);
  assert.equal(takesBatches({ api_lvl: 2 }), true);
});

Deno.test("purges by an operator are detected by every reader; losses of others are not reported", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  await using other = await logEngine([server.url]);
  await using outside = await operator(server.url);
  const logs = [await one.spine.log("acme", small), await other.spine.log("acme", small)];
  const [log] = logs as [DurableLog, DurableLog];
  const fill = (room: string, count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => log.append(room, bytes(String(n)))))
      .then((all) => all.map(({ offset }) => offset));
  const purges = [{}, { keep: 2 }, { seq: 3 }];
  for (const [at, purge] of purges.entries()) {
    const room = `r${at}`;
    await fill("busy", 50);
    const { log_offset: place } = await log.head(room);
    const offsets = await fill(room, 5);
    await fill("busy", 50);
    const quiet = await fill(`quiet${at}`, 2);
    const options = "seq" in purge ? { seq: offsets[3] as number } : purge;
    await outside.streams.purge(log.stream, { filter: `log.t.acme.r.${room}`, ...options });
    for (const reader of logs) {
      const complete = async (room: string, after: number) =>
        (await reader.read(room, { ...ALL, after })).complete;
      await until("the purge is known", async () => !await complete(room, place));
      for (const after of [place, offsets[0] as number]) {
        assert.equal(await complete(room, after), false, `${JSON.stringify(purge)} after ${after}`);
      }
      if (at > 0) assert.equal(await complete(room, offsets[3] as number), true);
      assert.deepEqual(
        [await complete(`quiet${at}`, place), await complete(`quiet${at}`, quiet[0] as number)],
        [true, true],
      );
    }
  }
  await using late = await logEngine([server.url]);
  const theirs = await late.spine.log("acme", small);
  const { complete } = await theirs.read("r0", { ...ALL, after: 1 });
  assert.equal(complete, false, "who comes later cannot know");
});

Deno.test("purges that a reload hides from a process are detected again once a later one permits it", async () => {
  const permitting = (denied: string) =>
    `authorization { users: [{ user: u, password: p, permissions: { ${denied} } }] }`;
  await using server = await startNats({ jetstream: true, config: permitting("") });
  const url = `nats://u:p@127.0.0.1:${server.port}`;
  await using one = await logEngine([url]);
  const outside = await connect({ servers: server.url, user: "u", pass: "p" });
  await using _end = atEnd(() => outside.close());
  const { streams } = await jetstreamManager(outside);
  const purge = (room: string) => streams.purge(log.stream, { filter: `log.t.acme.r.${room}` });
  const log = await one.spine.log("acme", small);
  const { offset: place } = await log.append("a", bytes("0"));
  await log.append("hole", bytes("1"));
  await log.append("a", bytes("1"));
  await purge("hole");
  const complete = async (room: string, after: number) =>
    (await log.read(room, { ...ALL, after })).complete;
  assert.equal(await complete("b", place), true);
  await server.reload(permitting('subscribe: { deny: ["$JS.API.STREAM.PURGE.*"] }'));
  await until("it is denied", async () => !await complete("b", place));
  await server.reload(permitting(""));
  await until("it is permitted", () => one.lines.some((line) => line.includes("accepts")));
  const { offset } = await log.append("a", bytes("2"));
  await log.append("a", bytes("3"));
  await until("later positions are sure", () => complete("b", offset));
  assert.equal(await complete("b", place), false, "earlier ones are not");
  await log.append("b", bytes("4"));
  await purge("b");
  await until("a purge is known", async () => !await complete("b", offset));
});
