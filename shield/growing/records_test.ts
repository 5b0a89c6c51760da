/**
 * The cost of a piece, in bytes written and read in the bucket: its own size, for any length of the text. The text is
 * complete with concurrent producers, and nothing is left over.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { testSpine } from "../testing/spine.ts";
import {
  decodeRecord,
  encodeRecord,
  releasedText,
  withEnding,
  withPiece,
  withSealed,
} from "./record.ts";
import type { GrowingRecord } from "./record.ts";
import { type GrowingContext, requirePlace } from "./places.ts";
import { GrowingRecords } from "./records.ts";

const KEY = { tenant_id: "acme", room_id: "lobby", id: "a1" };
const BOUNDS = { message_bytes: 200_000, pieces: 100_000 };

const started = (): GrowingRecord => ({
  format: 1,
  type: "answer",
  content_type: "text/plain",
  text: "",
  seq: 0,
  producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
  started_ms: 1,
  active_ms: 1,
  ending: null,
});

/** An engine whose buckets count the bytes of values. */
function counting(spine: Spine) {
  const counted = { bytes: 0, lists: 0 };
  const through = (bucket: KeyValue): KeyValue => {
    const get: KeyValue["get"] = async (key) => {
      const entry = await bucket.get(key);
      counted.bytes += entry?.value.length ?? 0;
      return entry;
    };
    const put: KeyValue["put"] = (key, value) => {
      counted.bytes += value.length;
      return bucket.put(key, value);
    };
    const update: KeyValue["update"] = (key, value, revision) => {
      counted.bytes += value.length;
      return bucket.update(key, value, revision);
    };
    const keys: KeyValue["keys"] = (prefix) => {
      counted.lists++;
      return bucket.keys(prefix);
    };
    const remove: KeyValue["delete"] = (key, revision) => bucket.delete(key, revision);
    return { get, put, update, keys, delete: remove } as KeyValue;
  };
  const keyValue: Spine["keyValue"] = async (...args) => through(await spine.keyValue(...args));
  return { counted, records: new GrowingRecords({ keyValue }) };
}

/** Adds a piece, unless another writer has added it. */
const add = (records: GrowingRecords, seq: number, text: string) =>
  records.change(KEY, (found) =>
    Promise.resolve(
      found!.record.seq >= seq ? undefined : withPiece(found!.record, { seq, text }, BOUNDS, 2),
    ));

Deno.test("a text keeps a byte order mark, wherever its parts are split", async () => {
  await using engine = testSpine();
  const { records } = counting(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  const pieces = Array.from({ length: 4 }, () => "\uFEFF".repeat(5_000));
  for (const [at, piece] of pieces.entries()) await add(records, at + 1, piece);
  const { record } = (await records.get(KEY))!;
  assert.ok(await records.textOf(KEY, record) === pieces.join(""));
});

Deno.test("a piece of one character costs as much in a text of 180 KB as in one of 6", async () => {
  await using engine = testSpine();
  const { counted, records } = counting(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  let seq = 0;
  const costs: number[] = [];
  for (const size of [6_000, 180_000]) {
    const { record } = (await records.get(KEY))!;
    const there = (await records.textOf(KEY, record))!.length;
    for (let left = size - there; left > 0; left -= 3_000) {
      await add(records, ++seq, "x".repeat(Math.min(3_000, left)));
    }
    counted.bytes = 0;
    const pieces = 5_000;
    for (let piece = 0; piece < pieces; piece++) await add(records, ++seq, "y");
    costs.push(counted.bytes / pieces);
  }
  assert.ok(Math.max(...costs) < 15_000, `${costs} bytes a piece`);
  assert.ok(Math.max(...costs) < 1.5 * Math.min(...costs), `${costs} bytes a piece`);
});

Deno.test("a start does not list what its tenant has, and the limits hold all the same", async () => {
  await using engine = testSpine();
  const { counted, records } = counting(engine.spine);
  const limits = { room_messages: 2, tenant_messages: 60 };
  const stats = { bound: () => {} };
  const context = { records, stats, bounds: () => limits } as unknown as GrowingContext;
  const start = (room_id: string, id: string) => {
    const key = { tenant_id: "acme", room_id, id };
    return records.change(key, async () => {
      await requirePlace(context, key);
      return started();
    });
  };
  for (let at = 0; at < 60; at++) await start(`r${at >> 1}`, `m${at}`);
  assert.ok(counted.lists < 10, `${counted.lists} lists for 60 starts`);
  await assert.rejects(start("r0", "more"), /2 messages grow in r0/);
  await assert.rejects(start("other", "more"), /60 messages of the tenant grow/);
  const key = { tenant_id: "acme", room_id: "r0", id: "m0" };
  await records.delete(key, (await records.get(key))!);
  await start("r0", "more");
});

Deno.test("with concurrent writers the text is that of the pieces, and no parts remain", async () => {
  const piece = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.nat(6_000).map((length) => "🦊".repeat(length)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      await using engine = testSpine();
      const bucket = await engine.spine.keyValue("ARQON_GROWING");
      const writers = [1, 2, 3].map(() => new GrowingRecords(engine.spine));
      await writers[0]!.change(KEY, () => Promise.resolve(started()));
      let whole = "";
      for (const [at, text] of pieces.entries()) {
        whole += text;
        if (new TextEncoder().encode(whole).length > BOUNDS.message_bytes) return;
        await Promise.all(writers.map((records) => add(records, at + 1, text)));
        const found = (await writers[at % 3]!.get(KEY))!;
        assert.equal(await writers[0]!.textOf(KEY, found.record), whole);
        // A repetition of the last piece is recognized.
        assert.equal(releasedText(found.record, { seq: at + 1, text }), text);
        assert.ok(whole.length < 256 || found.record.text.length >= 255);
      }
      const found = (await writers[1]!.get(KEY))!;
      assert.deepEqual(decodeRecord(encodeRecord(found.record)), found.record);
      await writers[2]!.delete(KEY, found);
      assert.deepEqual(await bucket.keys(), []);
    }),
    { numRuns: 40 },
  );
});

Deno.test("a message counts all its parts against its limit, and ends with all of them", () => {
  let record = withPiece(started(), { seq: 1, text: "é".repeat(5_000) }, BOUNDS, 2);
  const { record: next, part } = withSealed(
    record,
    withPiece(record, { seq: 2, text: "!" }, BOUNDS, 2),
  );
  assert.equal((part?.text ?? "") + next.text, `${"é".repeat(5_000)}!`);
  record = next;
  const bounds = { ...BOUNDS, message_bytes: 10_002 };
  const refused = { reason: "message-too-large" };
  assert.throws(() => withPiece(record, { seq: 3, text: "ab" }, bounds, 2), refused);
  assert.equal(withPiece(record, { seq: 3, text: "a" }, bounds, 2).seq, 3);
  const ending = { outcome: "finished", reason: "", by: "ann", is_kept: true, at_ms: 3 } as const;
  assert.deepEqual(withSealed(record, withEnding(record, ending)).record.sealed, record.sealed);
});

Deno.test("remaining parts of an ended message are deleted, those of others are not", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue("ARQON_GROWING");
  const records = new GrowingRecords(engine.spine);
  await records.change(KEY, () => Promise.resolve(started()));
  await add(records, 1, "x".repeat(5_000));
  await add(records, 2, "y");
  const left = ["acme", "lobby", "gone", "1", "0"];
  await bucket.put(left, new Uint8Array(9));
  assert.deepEqual(await records.list("acme", "lobby"), [KEY]);
  assert.deepEqual(await records.sweep(), [KEY]);
  assert.equal(await bucket.get(left), undefined);
  const { record } = (await records.get(KEY))!;
  assert.equal(await records.textOf(KEY, record), `${"x".repeat(5_000)}y`);
});
