/** Conformance cases of the key-value buckets; see `conformance.ts`. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Bus, bytes, type Case, Collected, refusedWith, text, within } from "./conformance.ts";
import type { KeyValue, KvChange, KvKey } from "../contract/spine.ts";

const ODD_KEYS: readonly KvKey[] = [
  ["plain"],
  ["plain", "below"],
  ["plain", "below", "deeper"],
  ["plainer"],
  ["plain.below"],
  ["a b", "*", ">", "$KV", ".."],
  ["\u0000\r\n", "é", "😀", "_", "-", "="],
  [" "],
  ["x".repeat(200)],
];
/** One bucket per test, named after it. */
const bucketName = (name: string) => name.toUpperCase().replaceAll("-", "_");

const open = ({ spine, name, view }: Bus): Promise<KeyValue> =>
  spine.keyValue(bucketName(name), view);
const openBoth = ({ spine, other, name, view }: Bus): Promise<[KeyValue, KeyValue]> =>
  Promise.all([spine.keyValue(bucketName(name), view), other.keyValue(bucketName(name), view)]);
const sorted = (keys: readonly KvKey[]) => keys.map((key) => JSON.stringify(key)).sort();

async function storesAndReads(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  assert.equal(await mine.get(["a"]), undefined);
  const value = new Uint8Array([0, 1, 255]);
  const first = await mine.put(["a"], value);
  value.fill(9);
  const second = await theirs.put(["b"], new Uint8Array(0));
  assert.ok(first > 0 && second > first, "revisions grow within the bucket");
  const { age_ms = 0, ...found } = await theirs.get(["a"]) ?? {};
  assert.deepEqual(found, { key: ["a"], value: new Uint8Array([0, 1, 255]), revision: first });
  assert.ok(age_ms >= 0 && age_ms < 60_000, `${age_ms}`);
  assert.deepEqual((await mine.get(["b"]))?.value, new Uint8Array(0));
  const third = await theirs.put(["a"], bytes("again"));
  assert.ok(third > second);
  assert.equal((await mine.get(["a"]))?.revision, third);
  const elsewhere = await bus.spine.keyValue(`${bucketName(bus.name)}_2`, bus.view);
  assert.equal(await elsewhere.get(["a"]), undefined);
}

async function comparesAndSets(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const conflict = refusedWith("version-conflict");
  await assert.rejects(mine.update(["k"], bytes("x"), 5), conflict);
  const born = await mine.update(["k"], bytes("one"), 0);
  await assert.rejects(theirs.update(["k"], bytes("x"), 0), conflict);
  const next = await theirs.update(["k"], bytes("two"), born);
  await assert.rejects(mine.update(["k"], bytes("x"), born), conflict);
  assert.equal(text((await mine.get(["k"]))?.value ?? bytes("")), "two");
  // Writing another key changes nothing about this one's revision.
  await mine.put(["other"], bytes(""));
  await mine.update(["k"], bytes("three"), next);
}

async function updatesSeveral(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const conflict = refusedWith("version-conflict");
  const updates = (value: string, revisions: readonly number[]) =>
    ["a", "b", "head"].map((key, at) => (
      { key: [key], value: bytes(value), expected_revision: revisions[at]! }
    ));
  const entryOf = async (key: string) => (await theirs.get([key]))!;
  const first = await mine.updateAll(updates("one", [0, 0, 0]));
  for (const [at, key] of ["a", "b", "head"].entries()) {
    const { value, revision } = await entryOf(key);
    assert.deepEqual([text(value), revision], ["one", first[at]]);
  }
  assert.ok(first[2]! > Math.max(first[0]!, first[1]!), "the last one is written last");
  const [a = 0, b = 0, head = 0] = first;
  await assert.rejects(mine.updateAll(updates("two", [a, b + 1, head])), conflict);
  assert.equal(text((await entryOf("head")).value), "one", "it waits for the others");
  const present = await Promise.all(["a", "b"].map(async (key) => (await entryOf(key)).revision));
  await assert.rejects(mine.updateAll(updates("three", [...present, head + 1])), conflict);
  assert.equal(text((await entryOf("head")).value), "one");
}

async function hasOneWinner(bus: Bus): Promise<void> {
  const both = await openBoth(bus);
  const revision = await both[0].put(["k"], bytes("start"));
  const outcomes = await Promise.allSettled(
    Array.from(
      { length: 40 },
      (_, n) => (n % 2 === 0 ? both[0] : both[1]).update(["k"], bytes(String(n)), revision),
    ),
  );
  const won = outcomes.flatMap((outcome, n) => outcome.status === "fulfilled" ? [n] : []);
  assert.equal(won.length, 1);
  assert.equal(text((await both[0].get(["k"]))?.value ?? bytes("")), String(won[0]));
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") refusedWith("version-conflict")(outcome.reason);
  }
}

async function deletes(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  const conflict = refusedWith("version-conflict");
  await bucket.delete(["never"]);
  await assert.rejects(bucket.delete(["never"], 3), conflict);
  const first = await bucket.put(["k"], bytes("one"));
  await assert.rejects(bucket.delete(["k"], first + 1), conflict);
  await bucket.delete(["k"], first);
  assert.equal(await bucket.get(["k"]), undefined);
  assert.deepEqual(await bucket.keys(), []);
  await assert.rejects(bucket.update(["k"], bytes("x"), first), conflict);
  await bucket.delete(["k"]);
  const again = await bucket.update(["k"], bytes("two"), 0);
  assert.ok(again > first, "a revision is never used twice");
  await bucket.delete(["k"]);
  await bucket.put(["k"], bytes("three"));
  assert.equal(text((await bucket.get(["k"]))?.value ?? bytes("")), "three");
}

async function replacesTheLastWrite(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const conflict = refusedWith("version-conflict");
  assert.equal(await mine.last(["k"]), undefined);
  const first = await mine.replace(["k"], bytes("one"), undefined);
  await assert.rejects(theirs.replace(["k"], bytes("x"), undefined), conflict);
  const written = await theirs.last(["k"]);
  assert.deepEqual([written?.type, written?.revision], ["put", first]);
  await mine.delete(["k"]);
  await assert.rejects(theirs.replace(["k"], bytes("x"), undefined), conflict, "never written");
  await assert.rejects(theirs.replace(["k"], bytes("x"), written), conflict);
  const deleted = await theirs.last(["k"]);
  assert.equal(deleted?.type, "delete");
  await mine.replace(["k"], bytes("two"), deleted);
  await mine.delete(["k"]);
  await assert.rejects(theirs.replace(["k"], bytes("x"), deleted), conflict, "another deletion");
  await theirs.replace(["k"], bytes("three"), await theirs.last(["k"]));
  assert.equal(text((await mine.get(["k"]))?.value ?? bytes("")), "three");
}

async function keepsKeysApart(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  for (const key of ODD_KEYS) await bucket.put(key, bytes(JSON.stringify(key)));
  for (const key of ODD_KEYS) {
    const entry = await bucket.get(key);
    assert.deepEqual(entry?.key, key);
    assert.equal(text(entry?.value ?? bytes("")), JSON.stringify(key));
  }
  assert.deepEqual(sorted(await bucket.keys()), sorted(ODD_KEYS));
  const below = [["plain"], ["plain", "below"], ["plain", "below", "deeper"]];
  assert.deepEqual(sorted(await bucket.keys(["plain"])), sorted(below));
  assert.deepEqual(await bucket.keys(["absent"]), []);
  const bad = [[], [""], ["a", ""], ["\ud800"], ["x".repeat(2_000)], Array<string>(20).fill("a")];
  await refusesKeys(bucket, bad);
  for (const name of ["", "lower", "A.B", "A B", "A>"]) {
    await assert.rejects(bus.spine.keyValue(name), TypeError);
  }
}

async function refusesKeys(bucket: KeyValue, bad: readonly KvKey[]): Promise<void> {
  for (const key of bad) {
    await assert.rejects(bucket.get(key), TypeError);
    await assert.rejects(bucket.put(key, bytes("")), TypeError);
    await assert.rejects(bucket.update(key, bytes(""), 0), TypeError);
    await assert.rejects(bucket.delete(key), TypeError);
  }
}

async function tellsSizes(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const about = async (prefix?: KvKey) => {
    const sizes = await theirs.sizes(prefix);
    return Object.fromEntries(sizes.map(({ key, size_bytes }) => [key.join(" "), size_bytes]));
  };
  assert.deepEqual(await about(), {});
  await mine.put(["a"], new Uint8Array(0));
  const [frame_bytes = NaN] = Object.values(await about());
  assert.ok(frame_bytes >= 0 && frame_bytes < 64, `${frame_bytes} bytes beside a value`);
  await mine.put(["a", "b"], new Uint8Array(100));
  await mine.put(["c"], new Uint8Array(60_000));
  await mine.put(["c"], new Uint8Array(20_000));
  const [a, b, c] = [0, 100, 20_000].map((bytes) => bytes + frame_bytes);
  assert.deepEqual(await about(), { a, "a b": b, c });
  assert.deepEqual(await about(["a"]), { a, "a b": b });
  await mine.delete(["a", "b"]);
  assert.deepEqual(await about(["a"]), { a });
  const { limit_bytes } = theirs;
  assert.ok(limit_bytes === undefined || limit_bytes > 20_000, `at most ${limit_bytes} bytes`);
}

async function keepsPlainKeysApart(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  const keys = [["v1", "events", "made"], ["v1"], ["v1", "events"], ["v10"], ["a_b-c/d=e"], [
    "~$!",
  ]];
  for (const key of keys) await bucket.put(key, bytes(key.join(".")));
  for (const key of keys) {
    const entry = await bucket.get(key);
    assert.deepEqual([entry?.key, text(entry?.value ?? bytes(""))], [key, key.join(".")]);
  }
  assert.deepEqual(sorted(await bucket.keys()), sorted(keys));
  assert.deepEqual(
    sorted(await bucket.keys(["v1"])),
    sorted([["v1"], ["v1", "events"], ["v1", "events", "made"]]),
  );
  const odd = ["", "a.b", "a b", "*", ">", "é", "\n", "x".repeat(2_000)].map((token) => [token]);
  await refusesKeys(bucket, [...odd, [], ["a", ""], Array<string>(65).fill("a")]);
}

/** A plain value is stored unchanged, so a bucket's other view can read it. */
async function hasTwoViews(bus: Bus): Promise<void> {
  const plain = await open(bus);
  const encoded = await bus.other.keyValue(bucketName(bus.name));
  const received = new Collected<KvChange>();
  const watch = plain.watch([], received.add);
  await within(watch.ready, "the state of an empty bucket");
  await plain.put(["p", "q"], bytes("plain"));
  await encoded.put(["kept"], bytes("encoded"));
  const changes = await received.count(2);
  watch.stop();
  const keys = changes.map(({ key }) => key);
  assert.deepEqual(keys, [["p", "q"], ["a2VwdA"]], "base64url of the other view's key");
  assert.equal(text((await encoded.get(["kept"]))?.value ?? bytes("")), "encoded");
  assert.equal(await encoded.get(["p"]), undefined);
  assert.deepEqual(sorted(await encoded.keys()), sorted([["kept"]]));
}

const shown = ({ key, value, revision }: KvChange): string =>
  value === undefined
    ? `${key.join("/")}@${revision} gone`
    : `${key.join("/")}=${text(value)}@${revision}`;

async function watches(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const a = await mine.put(["w", "a"], bytes("1"));
  const b = await mine.put(["w", "b"], bytes("2"));
  await mine.put(["x"], bytes("not below"));
  await mine.put(["w", "gone"], bytes("3"));
  await mine.delete(["w", "gone"]);
  const changes = new Collected<KvChange>();
  const watch = theirs.watch(["w"], changes.add);
  assert.equal(changes.items.length, 0, "delivery is asynchronous");
  await within(watch.ready, "the present state");
  assert.deepEqual(changes.items.map(shown), [`w/a=1@${a}`, `w/b=2@${b}`]);
  const c = await mine.put(["w", "c"], bytes("4"));
  await mine.put(["wx"], bytes("not below"));
  await mine.delete(["w", "a"]);
  const d = await mine.put(["w"], bytes("5"));
  const after = (await changes.count(5)).slice(2);
  const gone = after[1];
  assert.ok(gone?.type === "delete" && gone.revision > c && gone.revision < d);
  assert.deepEqual(after.map(shown), [`w/c=4@${c}`, `w/a@${gone.revision} gone`, `w=5@${d}`]);
  watch.stop();
  watch.stop();
  const all = new Collected<KvChange>();
  const second = theirs.watch([], all.add);
  await mine.put(["w", "last"], bytes("6"));
  await all.until(
    (items) => items.some((change) => shown(change).startsWith("w/last=")),
    "the put",
  );
  second.stop();
  assert.equal(changes.items.length, 5, "a stopped watch hears nothing");
}

async function watchesNothing(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  const changes = new Collected<KvChange>();
  const throwing = bucket.watch([], () => {
    throw new Error("thrown by the test's watcher");
  });
  const watch = bucket.watch([], changes.add);
  await within(Promise.all([watch.ready, throwing.ready]), "the state of an empty bucket");
  assert.deepEqual(changes.items, []);
  await bucket.put(["a"], bytes("1"));
  await bucket.put(["b"], bytes("2"));
  await changes.count(2);
  watch.stop();
  throwing.stop();
  const stopped = bucket.watch([], changes.add);
  stopped.stop();
  await assert.rejects(stopped.ready, refusedWith("spine-unavailable"));
}

async function watchesToADepth(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  for (const key of [["a"], ["a", "b"], ["a", "b", "c"], ["d"]]) await mine.put(key, bytes("1"));
  const top = new Collected<KvChange>();
  const children = new Collected<KvChange>();
  const watching = [
    theirs.watch([], top.add, { depth: 1 }),
    theirs.watch(["a"], children.add, { depth: 1 }),
  ];
  await within(Promise.all(watching.map(({ ready }) => ready)), "the present state");
  await mine.put(["a", "b", "c"], bytes("2"));
  await mine.delete(["a", "b"]);
  await mine.delete(["a"]);
  await mine.put(["last"], bytes("3"));
  const keys = ({ items }: Collected<KvChange>) =>
    items.map((change) => shown(change).replace(/@\d+/, ""));
  await top.count(4);
  assert.deepEqual(keys(top), ["a=1", "d=1", "a gone", "last=3"]);
  await children.count(4);
  assert.deepEqual(keys(children), ["a=1", "a/b=1", "a/b gone", "a gone"]);
  for (const watch of watching) watch.stop();
}

async function limitsValues(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  const value = new Uint8Array(786_432).fill(3);
  await bucket.put(["k"], value);
  assert.deepEqual((await bucket.get(["k"]))?.value, value);
  const tooLarge = new Uint8Array(bus.spine.payload_bytes_max);
  await assert.rejects(bucket.put(["k"], tooLarge), refusedWith("message-too-large"));
  await assert.rejects(bucket.update(["k2"], tooLarge, 0), refusedWith("message-too-large"));
}

/** After any sequence of writes a bucket equals a plain map, revisions included. */
async function agreesWithAMap(bus: Bus): Promise<void> {
  const bucket = await open(bus);
  const key = fc.constantFrom("a", "b", "c");
  const operation = fc.oneof(
    fc.record({ op: fc.constant("put"), key, right: fc.boolean() }),
    fc.record({ op: fc.constant("update"), key, right: fc.boolean() }),
    fc.record({ op: fc.constant("delete"), key, right: fc.boolean() }),
  );
  const model = new Map<string, { value: string; revision: number }>();
  let written = 0;
  let last = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
      for (const { op, key, right } of operations) {
        const current = model.get(key)?.revision ?? 0;
        const expected = right ? current : current + 1;
        const value = `v${++written}`;
        const change = op === "delete"
          ? bucket.delete([key], expected)
          : op === "put"
          ? bucket.put([key], bytes(value))
          : bucket.update([key], bytes(value), expected);
        if (op !== "put" && !right) {
          await assert.rejects(change, refusedWith("version-conflict"));
          continue;
        }
        const revision = await change;
        if (revision === undefined) {
          model.delete(key);
          continue;
        }
        assert.ok(revision > last);
        last = revision;
        model.set(key, { value, revision });
      }
      assert.deepEqual(sorted(await bucket.keys()), sorted([...model.keys()].map((one) => [one])));
      for (const one of ["a", "b", "c"]) {
        const entry = await bucket.get([one]);
        const held = entry && { value: text(entry.value), revision: entry.revision };
        assert.deepEqual(held, model.get(one));
      }
    }),
    { numRuns: 40 },
  );
}

const EVERY_VIEW: readonly Case[] = [
  { behaviour: "a value is stored and read with its revision", run: storesAndReads },
  { behaviour: "an update holds only at the expected revision", run: comparesAndSets },
  { behaviour: "of several updates the last one is stored after the others", run: updatesSeveral },
  { behaviour: "of many updates at one revision exactly one wins", run: hasOneWinner },
  {
    behaviour: "a replacement holds only for the last write, a deletion too",
    run: replacesTheLastWrite,
  },
  { behaviour: "a deleted key is gone and can be created anew", run: deletes },
  { behaviour: "the sizes of values are told without them", run: tellsSizes },
  { behaviour: "a watch tells the present, then every change in order", run: watches },
  { behaviour: "a watch of nothing is ready, and one that throws goes on", run: watchesNothing },
  { behaviour: "a watch may stop at a depth", run: watchesToADepth },
  { behaviour: "a value that does not fit is message-too-large", run: limitsValues },
  { behaviour: "any sequence of writes agrees with a plain map", run: agreesWithAMap },
];

const PLAIN: readonly Case[] = [
  ...EVERY_VIEW,
  { behaviour: "plain keys stay apart, and prefixes end at tokens", run: keepsPlainKeysApart },
  { behaviour: "what is put plainly is stored as it is", run: hasTwoViews },
];

const plainly = ({ behaviour, run }: Case): Case => ({
  behaviour: `in a plain bucket: ${behaviour}`,
  run: (bus) => run({ ...bus, name: `${bus.name}-plain`, view: { plain: true } }),
});

/** Every case of the key-value buckets. */
export const KV_CASES: readonly Case[] = [
  ...EVERY_VIEW,
  { behaviour: "keys of any text stay apart, and prefixes end at tokens", run: keepsKeysApart },
  ...PLAIN.map(plainly),
];
