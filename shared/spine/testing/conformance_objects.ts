/** Conformance cases of the object stores; see `conformance.ts`. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Bus, bytes, type Case, refusedWith, text } from "./conformance.ts";
import { OBJECT_BYTES_MAX } from "../contract/check.ts";
import type { ObjectStore } from "../contract/spine.ts";

const bucketName = (name: string) => `OBJECTS_${name.toUpperCase().replaceAll("-", "_")}`;
const openBoth = ({ spine, other, name }: Bus): Promise<[ObjectStore, ObjectStore]> =>
  Promise.all([spine.objects(bucketName(name)), other.objects(bucketName(name))]);

/** Bytes that differ from their neighbours, so that a chunk in the wrong place shows. */
function pattern(size_bytes: number, seed: number): Uint8Array {
  const made = new Uint8Array(size_bytes);
  for (let at = 0; at < size_bytes; at++) made[at] = (at * 31 + (at >> 8) * 17 + seed) & 0xff;
  return made;
}

async function storesAndReads(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  assert.equal(await mine.get("a"), undefined);
  const value = pattern(300_000, 1);
  const storing = mine.put("a", value);
  value.fill(9);
  await storing;
  assert.deepEqual(await theirs.get("a"), pattern(300_000, 1));
  await theirs.put("a", bytes("shorter"));
  assert.equal(text(await mine.get("a") ?? bytes("")), "shorter");
  await mine.put("empty", new Uint8Array(0));
  assert.deepEqual(await theirs.get("empty"), new Uint8Array(0));
  const read = await theirs.get("a");
  read?.fill(0);
  assert.equal(text(await theirs.get("a") ?? bytes("")), "shorter");
}

async function deletes(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  await mine.delete("never-there");
  await mine.put("a", bytes("1"));
  await theirs.delete("a");
  assert.equal(await mine.get("a"), undefined);
  await mine.delete("a");
  await mine.put("a", bytes("2"));
  assert.equal(text(await theirs.get("a") ?? bytes("")), "2");
}

async function lists(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  assert.deepEqual(await mine.list(), []);
  await mine.put("a", pattern(200_000, 1));
  await mine.put("b=", bytes(""));
  await mine.put("gone", bytes("1"));
  await theirs.delete("gone");
  const listed = (await theirs.list()).sort((a, b) => a.name < b.name ? -1 : 1);
  assert.deepEqual(listed.map(({ name, size_bytes }) => [name, size_bytes]), [["a", 200_000], [
    "b=",
    0,
  ]]);
  const [before] = listed;
  assert.ok(before !== undefined && Math.abs(Date.now() - before.modified_ms) < 60_000);
  const deadline_ms = Date.now() + 20_000;
  // `modified_ms` differs from the previous put's as soon as the clock has advanced.
  for (let later = 0; later <= before.modified_ms;) {
    assert.ok(Date.now() < deadline_ms, "the time of the last put");
    await mine.put("a", bytes("anew"));
    later = (await theirs.list()).find(({ name }) => name === "a")?.modified_ms ?? 0;
  }
}

async function keepsBucketsApart(bus: Bus): Promise<void> {
  const one = await bus.spine.objects(`${bucketName(bus.name)}_1`);
  const two = await bus.spine.objects(`${bucketName(bus.name)}_2`);
  const same_named = await bus.spine.keyValue(`${bucketName(bus.name)}_1`);
  await one.put("a", bytes("1"));
  assert.equal(await two.get("a"), undefined);
  assert.equal(await same_named.get(["a"]), undefined);
  await assert.rejects(async () => await bus.spine.objects("no-bucket"), TypeError);
}

async function checksNames(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const names = ["a.b", "..", "-", "_=", "A", "a", "0", "x".repeat(128)];
  for (const name of names) await mine.put(name, bytes(name));
  for (const name of names) assert.equal(text(await theirs.get(name) ?? bytes("")), name);
  for (const name of ["", " ", "*", ">", "/", "a\n", "é", "\ud800", "x".repeat(129)]) {
    await assert.rejects(mine.put(name, bytes("")), TypeError, name);
    await assert.rejects(mine.get(name), TypeError, name);
    await assert.rejects(mine.delete(name), TypeError, name);
  }
}

async function limitsObjects(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const largest = pattern(OBJECT_BYTES_MAX, 7);
  await mine.put("largest", largest);
  assert.deepEqual(await theirs.get("largest"), largest);
  const over = new Uint8Array(OBJECT_BYTES_MAX + 1);
  await assert.rejects(mine.put("largest", over), refusedWith("message-too-large"));
  assert.deepEqual(await theirs.get("largest"), largest);
}

async function readsWholeObjects(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  await mine.put("a", pattern(200_000, 0));
  let writing = true;
  const written = (async () => {
    for (let seed = 1; seed <= 8; seed++) await mine.put("a", pattern(200_000, seed));
    writing = false;
  })();
  do {
    const read = await theirs.get("a");
    assert.deepEqual(read, pattern(200_000, read?.[0] ?? -1), "a mixture of two objects");
  } while (writing);
  await written;
}

async function agreesWithAMap(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const operation = fc.record({
    name: fc.constantFrom("a", "b"),
    value: fc.option(fc.uint8Array({ maxLength: 64 })),
  });
  const model = new Map<string, Uint8Array>();
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 6 }), async (operations) => {
      for (const { name, value } of operations) {
        if (value === null) {
          await mine.delete(name);
          model.delete(name);
        } else {
          await mine.put(name, value);
          model.set(name, value.slice());
        }
      }
      for (const name of ["a", "b"]) assert.deepEqual(await theirs.get(name), model.get(name));
    }),
    { numRuns: 15 },
  );
}

/** Every case of the object stores. */
export const OBJECT_CASES: readonly Case[] = [
  { behaviour: "an object of many chunks is stored and read as it was", run: storesAndReads },
  { behaviour: "a deleted object is gone and can be stored anew", run: deletes },
  { behaviour: "objects are listed with their sizes and when they were put", run: lists },
  { behaviour: "object stores and buckets of one name are apart", run: keepsBucketsApart },
  {
    behaviour: "objects whose names differ stay apart, and a bad name is refused",
    run: checksNames,
  },
  { behaviour: "an object that does not fit is message-too-large", run: limitsObjects },
  { behaviour: "a reader gets a whole object while others replace it", run: readsWholeObjects },
  { behaviour: "any sequence of object writes agrees with a plain map", run: agreesWithAMap },
];
