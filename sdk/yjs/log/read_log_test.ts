// The choice of the snapshot: the newest one with a valid mark and all parts.
import assert from "node:assert/strict";
import * as Y from "yjs";
import { documentOf } from "../edits/writer.ts";
import { SimulatedLog, SimulatedWay } from "../testing/simulated_room.ts";
import { type LogPlace, publishSnapshot, publishUpdate } from "./records.ts";
import { readLog } from "./read_log.ts";

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
