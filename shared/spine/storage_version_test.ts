/** Which releases may run on which storage: each pair of releases in the order in which they start. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { atEnd } from "../testing/at_end.ts";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "./embedded/embedded.ts";
import { STORAGE_BUCKET } from "./contract/storage_plan.ts";
import { requireStorageVersion, type StorageVersions } from "./storage_version.ts";

const release = (by: string, storage: number, oldest = 1, reads = 1): StorageVersions => ({
  by,
  storage,
  oldest,
  reads,
});
const OLD = release("1.0", 1);
const NEXT = release("1.1", 2);
const CLOSED = release("2.0", 3, 3);
const LATE = release("3.0", 4, 3, 3);

const log = QUIET;

/** Releases that start on one storage, one after another; the last may be refused, with this text. */
const CASES: readonly [name: string, starts: readonly StorageVersions[], refused?: RegExp][] = [
  ["a new storage", [OLD]],
  ["an upgrade", [OLD, NEXT]],
  ["a rollback that loses nothing", [OLD, NEXT, OLD]],
  ["both at once, again and again", [OLD, NEXT, OLD, NEXT, OLD]],
  [
    "a rollback from what the old one cannot read",
    [OLD, NEXT, CLOSED, NEXT],
    /Incompatible version: the storage has version 3 and runs with 3 or newer, this is ArqonBus 1\.1 with version 2: start ArqonBus 2\.0 or newer, or restore a backup from before the upgrade/,
  ],
  [
    "an upgrade that leaves a step out",
    [OLD, LATE],
    /Incompatible version: the storage has version 1, this is ArqonBus 3\.0, which reads 3 or newer: start a release between ArqonBus 1\.0 and this one first/,
  ],
  ["the same in steps", [OLD, NEXT, CLOSED, LATE]],
];

for (const [name, starts, refused] of CASES) {
  Deno.test(`storage version: ${name}`, async () => {
    const spine = openEmbedded({ log, now: Date.now });
    await using _end = atEnd(() => spine.drain());
    const last = starts.at(-1)!;
    for (const one of starts.slice(0, -1)) await requireStorageVersion(spine, 0, one);
    const before = await (await spine.keyValue(STORAGE_BUCKET)).get(["version"]);
    const done = requireStorageVersion(spine, 0, last);
    if (refused === undefined) return await done;
    await assert.rejects(done, refused);
    const after = await (await spine.keyValue(STORAGE_BUCKET)).get(["version"]);
    assert.deepEqual(after, before, "who is refused writes nothing");
  });
}

/** A storage whose first `times` reads fail. */
function failing(times: number) {
  const spine = openEmbedded({ log, now: Date.now });
  let left = times;
  const keyValue: typeof spine.keyValue = async (...args) => {
    const bucket = await spine.keyValue(...args);
    const get: typeof bucket.get = (key) => {
      if (left-- > 0) throw new ArqonError("spine-unavailable", "no leader");
      return bucket.get(key);
    };
    return { ...bucket, get, update: bucket.update.bind(bucket) };
  };
  return { spine: { keyValue }, [Symbol.asyncDispose]: () => spine.drain() };
}

Deno.test("an unreadable storage is retried, and its version is checked then", async () => {
  await using world = failing(2);
  await requireStorageVersion(world.spine, 30_000, NEXT);
  await requireStorageVersion(world.spine, 0, CLOSED);
  await assert.rejects(requireStorageVersion(world.spine, 0, OLD), /Incompatible version/);
});

Deno.test("a process does not start if the storage cannot be read, and reports the reason", async () => {
  await using world = failing(Infinity);
  await assert.rejects(
    requireStorageVersion(world.spine, 0),
    /Spine unavailable: the storage's version cannot be read: .*no leader/,
  );
});

Deno.test("a version that cannot be read is refused at once", async () => {
  await using world = failing(0);
  const bucket = await world.spine.keyValue(STORAGE_BUCKET);
  for (const [at, text] of ["{", '{"storage":"2"}'].entries()) {
    await bucket.update(["version"], new TextEncoder().encode(text), at);
    await assert.rejects(
      requireStorageVersion(world.spine, 30_000),
      /Incompatible version: the record of the storage's version is unknown/,
    );
  }
});
