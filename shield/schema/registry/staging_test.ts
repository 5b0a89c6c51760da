/** Staged versions: stored before it is decided whether they are activated, and activated once. */
import assert from "node:assert/strict";
import { testSpine } from "../../testing/spine.ts";
import { incompatiblePing, ping } from "../testing/schemas.ts";
import { deleteSchema, IncompatibleError, promote, register } from "./register.ts";
import { rollBack, stage, stagedBytes } from "./register.ts";
import { latestOf, openSchemaStore, type SchemaStore, sha256Of } from "./store.ts";
import { SetWorker } from "./set_work.ts";

const APPLY = "a".repeat(32);
const BY = { by: "root", now_ms: 1_000, versions_max: 1_000 };
const DECIDED = { apply: APPLY, by: "root", at_ms: 2_000, versions_max: 1_000 };
const worker = new SetWorker();
const tools = (store: SchemaStore) => ({ store, work: worker.work });

const push = (store: SchemaStore, bytes: Uint8Array) =>
  register(tools(store), { ...BY, schema_id: "ping", bytes });
const staged = async (store: SchemaStore, bytes: Uint8Array, compatibility?: "FULL") => {
  const request = { schema_id: "ping", bytes, compatibility };
  const { version, sha256, after } = await stage(tools(store), request);
  const named = { schema_id: "ping", version, sha256 };
  return { after, named: compatibility === undefined ? named : { ...named, compatibility } };
};
const versionsOf = async (store: SchemaStore) =>
  (await store.read("ping"))?.head.versions.map(({ version, sha256 }) => [version, sha256]) ?? [];

function onStore(what: string, run: (store: SchemaStore) => Promise<void>): void {
  Deno.test(what, async () => {
    await using engine = testSpine();
    await run(await openSchemaStore(engine.spine, "ARQON_SCHEMAS"));
  });
}

onStore("a staged version is in force after its promotion, and only once", async (store) => {
  const one = ping();
  const two = ping(["more", 7, "int32"]);
  const first = await staged(store, one);
  assert.deepEqual([first.after, first.named.version], [0, 1]);
  assert.deepEqual([await store.read("ping"), await store.set("ping")], [undefined, undefined]);
  await promote(store, first.named, DECIDED);
  assert.deepEqual(await versionsOf(store), [[1, sha256Of(one)]]);
  assert.deepEqual((await store.set("ping"))?.bytes, one, "other tools read it");
  const second = await staged(store, two, "FULL");
  assert.deepEqual([second.after, second.named.version], [1, 2]);
  assert.deepEqual(await versionsOf(store), [[1, sha256Of(one)]], "it is not in force");
  const again = { ...DECIDED, apply: "b".repeat(32) };
  await Promise.all([1, 2, 3].map(() => promote(store, second.named, again)));
  const { head } = await store.require("ping");
  assert.deepEqual(await versionsOf(store), [[1, sha256Of(one)], [2, sha256Of(two)]]);
  const { apply, by, registered_ms } = latestOf(head);
  assert.deepEqual([head.compatibility, apply], ["FULL", again.apply]);
  assert.deepEqual([by, registered_ms], ["root", 2_000]);
  // A set that is already in force keeps its version.
  const { version, sha256 } = (await staged(store, two)).named;
  assert.deepEqual([version, sha256], [2, sha256Of(two)]);
});

onStore("a late Shield's promotion does not change later versions", async (store) => {
  await push(store, ping());
  const { named } = await staged(store, ping(["more", 7, "int32"]));
  await promote(store, named, DECIDED);
  await rollBack(store, { ...BY, schema_id: "ping", version: 1 });
  const before = await versionsOf(store);
  assert.equal(before.length, 3);
  await promote(store, named, DECIDED);
  assert.deepEqual(await versionsOf(store), before);
});

onStore(
  "a version registered after the staging makes a check stale, and precedes the staged one once that is decided",
  async (store) => {
    await push(store, ping());
    const theirs = ping(["theirs", 8, "int32"]);
    const ours = ping(["ours", 9, "int32"]);
    const { named } = await staged(store, ours);
    assert.deepEqual(await stagedBytes(store, named), ours);
    await push(store, theirs);
    await assert.rejects(stagedBytes(store, named), {
      reason: "settings-conflict",
      message: /nothing was changed: schema ping is at version 2/,
    });
    await promote(store, named, DECIDED);
    await promote(store, named, DECIDED);
    const all = [[1, sha256Of(ping())], [2, sha256Of(theirs)], [3, sha256Of(ours)]];
    assert.deepEqual(await versionsOf(store), all);
    assert.deepEqual((await store.set("ping"))?.bytes, ours);
  },
);

onStore(
  "a set that may not be registered is not staged, and numbers of deleted versions are not reused",
  async (store) => {
    await push(store, ping());
    await assert.rejects(staged(store, incompatiblePing()), IncompatibleError);
    await assert.rejects(staged(store, new Uint8Array([1])), { reason: "invalid-schema" });
    await deleteSchema(store, { ...BY, schema_id: "ping", mapped: () => [] });
    const { after, named } = await staged(store, ping());
    assert.deepEqual([after, named.version], [0, 2]);
    const nobodys = { ...named, sha256: "0".repeat(64) };
    await assert.rejects(stagedBytes(store, nobodys), { reason: "schema-unavailable" });
    await promote(store, named, DECIDED);
    assert.deepEqual(await versionsOf(store), [[2, sha256Of(ping())]]);
  },
);
