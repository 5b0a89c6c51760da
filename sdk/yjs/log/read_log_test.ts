// The choice of the snapshot, the newest one with a valid mark and all parts; which updates in several parts are
// complete, and up to which offset a snapshot may claim to have everything; and who makes the next one, determined only
// by the order of the log.
import assert from "node:assert/strict";
import type { Message } from "@arqon/sdk";
import * as Y from "yjs";
import { documentOf } from "../edits/writer.ts";
import { SimulatedLog, SimulatedWay } from "../testing/simulated_room.ts";
import { Assembler, Compaction, readLog } from "./read_log.ts";
import { type LogPlace, partOf, publishSnapshot, publishUpdate, split } from "./records.ts";

const { signal } = new AbortController();

/** A room, and a document whose changes are published there. */
class Written {
  readonly log: SimulatedLog = new SimulatedLog();
  readonly room = new SimulatedWay(this.log).room;
  readonly doc: Y.Doc = new Y.Doc();
  #sets = 0;

  async write(text: string): Promise<LogPlace> {
    const before = Y.encodeStateVector(this.doc);
    this.doc.getText("t").insert(this.doc.getText("t").length, text);
    const update = Y.encodeStateAsUpdate(this.doc, before);
    await publishUpdate(this.room, update, { set: `s.${this.#sets++}`, part_bytes: 1_000, signal });
    const { offset, id } = this.log.entries.at(-1)!;
    return { offset, id };
  }

  async snapshot(upto: LogPlace, of: Y.Doc = this.doc): Promise<void> {
    const state = Y.encodeStateAsUpdate(of);
    await publishSnapshot(this.room, state, upto, { part_bytes: 30, signal });
  }

  /** A late reader's text, and the number of updates that it read after the snapshot. */
  async read(): Promise<[string, number]> {
    const { updates, loose } = await readLog(this.room, signal);
    return [documentOf(updates).getText("t").toString(), loose.length];
  }
}

Deno.test("a late reader has the newest snapshot and later updates, over many pages", async () => {
  const written = new Written();
  assert.deepEqual(await written.read(), ["", 0]);
  for (let at = 0; at < 20; at += 1) await written.write(`${at} `);
  const all = written.doc.getText("t").toString();
  assert.deepEqual(await written.read(), [all, 20]);
  await written.snapshot(await written.write("first "));
  for (let at = 0; at < 12; at += 1) await written.write(`${at} `);
  const upto = await written.write("second ");
  await written.snapshot(upto);
  await written.write("end");
  assert.deepEqual(await written.read(), [
    `${all}first ${"0 1 2 3 4 5 6 7 8 9 10 11 "}second end`,
    1,
  ]);
  // Everything in the snapshot may be trimmed.
  written.log.trim();
  assert.deepEqual((await written.read())[1], 1);
  assert.match((await written.read())[0], /^0 1 .*second end$/);
});

Deno.test("a snapshot without all parts and its mark does not count", async () => {
  const written = new Written();
  const first = await written.write("one ");
  await written.snapshot(first);
  const second = await written.write("two ");
  await written.snapshot(second);
  const parts = written.log.entries.filter(({ type }) => type === "yjs.snapshot");
  written.log.entries = written.log.entries.filter((entry) => entry !== parts.at(-1));
  assert.deepEqual(await written.read(), ["one two ", 1]);
  written.log.entries = written.log.entries.filter(({ type }) => type !== "yjs.mark");
  assert.deepEqual(await written.read(), ["one two ", 2]);
});

Deno.test("a mark is invalid if another message is at its offset", async () => {
  const written = new Written();
  await written.write("one ");
  const gone = await written.write("two ");
  const old = documentOf([Y.encodeStateAsUpdate(written.doc)]);
  written.log.powerCut(1);
  // Another editor writes at the lost offset; the earlier snapshot does not contain it.
  const other = new Y.Doc();
  other.getMap("m").set("new", true);
  const update = Y.encodeStateAsUpdate(other);
  await publishUpdate(written.room, update, { set: "o.0", part_bytes: 1_000, signal });
  assert.equal(written.log.entries.at(-1)!.offset, gone.offset);
  await written.snapshot(gone, old);
  const { updates } = await readLog(written.room, signal);
  assert.deepEqual(documentOf(updates).getMap("m").toJSON(), { new: true });
});

Deno.test("an impossible mark is ignored", async () => {
  const written = new Written();
  await written.write("one ");
  for (const upto of [{ offset: 99, id: "m99" }, { offset: 0, id: "" }]) {
    await written.snapshot(upto);
  }
  await written.room.publish("yjs.mark", "no JSON", { message_id: "x" });
  await written.room.publish("yjs.mark", { upto: null }, { message_id: "y" });
  assert.deepEqual(await written.read(), ["one ", 1]);
});

Deno.test("of two concurrent snapshots the one with more content is read", async () => {
  const written = new Written();
  const first = await written.write("one ");
  const little = documentOf([Y.encodeStateAsUpdate(written.doc)]);
  await written.snapshot(await written.write("two "));
  // The first one's content is trimmed; the second, which began earlier, arrives late.
  written.log.trim();
  await written.snapshot(first, little);
  assert.deepEqual(await written.read(), ["one two ", 0]);
});

function message(offset: number, text: string, part?: [string, string], timestamp_ms = 0): Message {
  const headers = part === undefined ? {} : { "x-yjs-set": part[0], "x-yjs-part": part[1] };
  const data = new TextEncoder().encode(text);
  const stored = { offset, id: `m${offset}`, type: "yjs.update", data, headers, timestamp_ms };
  return stored as unknown as Message;
}

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);

Deno.test("an update in parts counts with its last part, in any order and with other messages in between", () => {
  const assembler = new Assembler();
  assert.equal(text(assembler.take(message(3, "one"))), "one");
  assert.equal(assembler.take(message(5, "C", ["s", "2/3"])), undefined);
  assert.equal(text(assembler.take(message(6, "two"))), "two");
  assert.equal(assembler.take(message(7, "A", ["s", "0/3"])), undefined);
  assert.equal(assembler.take(message(8, "A", ["s", "0/3"])), undefined, "sent twice");
  assert.equal(text(assembler.take(message(9, "B", ["s", "1/3"]))), "ABC");
  assert.deepEqual(assembler.floor, { offset: 9, id: "m9" });
});

Deno.test("a snapshot contains nothing after the first part of an incomplete update", () => {
  const assembler = new Assembler();
  assert.equal(assembler.floor, undefined);
  assembler.take(message(3, "one"));
  assembler.take(message(5, "A", ["s", "0/2"]));
  assembler.take(message(6, "two"));
  assembler.take(message(7, "A", ["t", "0/2"]));
  assert.deepEqual(assembler.floor, { offset: 3, id: "m3" });
  assembler.take(message(8, "B", ["s", "1/2"]));
  assert.deepEqual(assembler.floor, { offset: 6, id: "m6" });
  assert.deepEqual(assembler.last, { offset: 8, id: "m8" });
});

Deno.test("late parts make no update, and do not delay a snapshot forever", () => {
  const assembler = new Assembler();
  assembler.take(message(1, "one"));
  assembler.take(message(2, "A", ["s", "0/2"], 0));
  assert.equal(assembler.take(message(3, "B", ["s", "1/2"], 300_001)), undefined);
  assert.deepEqual(assembler.floor, { offset: 1, id: "m1" });
  assembler.take(message(4, "two", undefined, 600_001));
  assert.deepEqual(assembler.floor, { offset: 4, id: "m4" });
});

Deno.test("a message with invalid headers counts as a complete one", () => {
  for (const part of ["3/3", "0/0", "0/9999", "-1/2", "a/b", "0/2/3"]) {
    assert.equal(partOf(message(1, "x", ["s", part])), undefined, part);
  }
  assert.deepEqual(split(new Uint8Array(0), 4).length, 1);
  assert.deepEqual(split(new Uint8Array(9), 4).map(({ length }) => length), [4, 4, 1]);
});

const update = (offset: number, size_bytes = 10) => ({ offset, size_bytes });
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

Deno.test("the author of each update that reaches the limit makes a snapshot", () => {
  const compaction = new Compaction({ updates: 5, bytes: 1_000 });
  const due = range(1, 18).filter((offset) => compaction.count(update(offset)));
  assert.deepEqual(due, [5, 10, 15]);
  compaction.held(15);
  assert.deepEqual(range(18, 25).filter((offset) => compaction.count(update(offset))), [20]);
});

Deno.test("bytes count, too, and messages from the history count like live ones", () => {
  const compaction = new Compaction({ updates: 100, bytes: 1_000 });
  compaction.begin([update(1, 500), update(2, 400)]);
  assert.equal(compaction.count(update(3, 99)), false);
  assert.equal(compaction.count(update(4, 1)), true);
  assert.equal(compaction.count(update(5, 5_000)), true, "several at once are one turn");
  compaction.held(4);
  assert.equal(compaction.count(update(6, 1)), false);
});
