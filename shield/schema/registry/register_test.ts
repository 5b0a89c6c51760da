/** Registration as it is stored: versions, compatibility, damage, concurrency. */
import assert from "node:assert/strict";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { testSpine } from "../../testing/spine.ts";
import { openSchemaStore, sha256Of, versionKey, versionsBucket } from "./store.ts";
import type { SchemaStore } from "./store.ts";
import { IncompatibleError, register, type RegisterRequest, setCompatibility } from "./register.ts";
import { SetWorker } from "./set_work.ts";
import { incompatiblePing, ping, pong } from "../testing/schemas.ts";

const BUCKET = "ARQON_SCHEMAS";
const open = (spine: Spine) => openSchemaStore(spine, BUCKET);

function push(store: SchemaStore, bytes: Uint8Array, more: Partial<RegisterRequest> = {}) {
  const base = { schema_id: "ping", by: "ops", now_ms: 1_000, versions_max: 1_000 };
  return register({ store, work: new SetWorker().work }, { ...base, bytes, ...more });
}

/** Each registration adds its own field in mode NONE: all must be kept. */
Deno.test("concurrent registrations are all kept, each with its own number", async () => {
  await using engine = testSpine();
  const stores = await Promise.all([engine.spine, engine.spine].map(open));
  const uploads = Array.from({ length: 16 }, (_, at) => ping([`f${at}`, 100 + at, "int32"]));
  await Promise.all(uploads.map((bytes, at) => {
    const store = stores[at % 2];
    assert.ok(store);
    return push(store, bytes, { compatibility: "NONE" });
  }));
  const store = await open(engine.spine);
  const { versions } = (await store.require("ping")).head;
  assert.deepEqual(versions.map(({ version }) => version), uploads.map((_, at) => at + 1));
  assert.deepEqual(
    versions.map(({ sha256 }) => sha256).sort(),
    uploads.map((bytes) => sha256Of(bytes)).sort(),
  );
  for (const version of versions) {
    const bytes = await store.bytes("ping", version);
    assert.equal(bytes.length, version.size_bytes);
  }
  // The loser of a race leaves no bytes: there is one key per version, and the history.
  const keys = await (await engine.spine.keyValue(versionsBucket(BUCKET))).keys(["ping"]);
  assert.equal(keys.length, versions.length + 1, "no unnamed bytes");
});

Deno.test("equal bytes are registered once, also concurrently", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  const all = await Promise.all(Array.from({ length: 8 }, () => push(store, ping())));
  assert.equal(all.filter(({ is_new }) => is_new).length, 1);
  const { head } = await store.require("ping");
  assert.equal(head.versions.length, 1);
  assert.equal(head.compatibility, "BACKWARD", "the default");
  assert.deepEqual(head.versions[0], {
    version: 1,
    sha256: sha256Of(ping()),
    size_bytes: ping().length,
    registered_ms: 1_000,
    by: "ops",
  });
});

Deno.test("a version is compared with the last one in the stored mode, which a registration may change", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  await push(store, ping());
  await assert.rejects(push(store, incompatiblePing()), (error) => {
    assert.ok(error instanceof IncompatibleError);
    assert.deepEqual(error.check.against, [1]);
    assert.match(error.message, /^error field-[a-z-]+: t\.proto: t\.Ping\.n: .*candidate/);
    return true;
  });
  assert.equal((await store.require("ping")).head.versions.length, 1, "nothing was written");
  const forced = await push(store, incompatiblePing(), { compatibility: "NONE" });
  assert.equal(forced.head.compatibility, "NONE");
  assert.equal(forced.head.versions.length, 2);
  await push(store, ping(), {});
  const { head } = await store.require("ping");
  assert.equal(head.versions.length, 3, "NONE stays until it changes");
  const full = await setCompatibility(store, "ping", "FULL_TRANSITIVE");
  assert.equal(full.compatibility, "FULL_TRANSITIVE");
  await assert.rejects(push(store, ping(["extra", 9, "int32"])), (error) => {
    assert.ok(error instanceof IncompatibleError, "version 2 reads another type");
    assert.deepEqual(error.check.against, [3, 2, 1]);
    return true;
  });
  await assert.rejects(setCompatibility(store, "nobody", "NONE"), refusedWith("schema-unknown"));
});

Deno.test("beyond the most stored versions the oldest one is deleted with its bytes", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  for (const number of [10, 11, 12]) {
    await push(store, ping(["extra", number, "int32"]), { compatibility: "NONE", versions_max: 2 });
  }
  const { head } = await store.require("ping");
  assert.deepEqual(head.versions.map(({ version }) => version), [2, 3]);
  const bucket = await engine.spine.keyValue(versionsBucket(BUCKET));
  assert.equal((await bucket.keys(["ping"])).length, 3, "two versions and the history");
});

Deno.test("bytes that are not a descriptor set are invalid-schema, as is an invalid id", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  const invalid = refusedWith("invalid-schema");
  await assert.rejects(push(store, new TextEncoder().encode("hello")), invalid);
  await assert.rejects(push(store, ping().subarray(0, 40)), invalid);
  for (const schema_id of ["", "a b", "a/b", "ä", "x".repeat(129), "*"]) {
    await assert.rejects(push(store, ping(), { schema_id }), invalid);
    await assert.rejects(store.read(schema_id), invalid);
  }
  assert.deepEqual(await store.list(), []);
});

Deno.test("damage is reported, and pushing the same bytes again repairs it", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  const bucket = await engine.spine.keyValue(versionsBucket(BUCKET));
  const sets = await engine.spine.keyValue(BUCKET, { plain: true });
  const { head } = await push(store, ping());
  const [version] = head.versions;
  assert.ok(version);
  await bucket.put(versionKey("ping", version), new TextEncoder().encode("other"));
  assert.deepEqual(await store.bytes("ping", version), ping(), "the current set is the same");
  await sets.delete(["ping"]);
  await assert.rejects(store.bytes("ping", version), refusedWith("schema-unavailable"));
  await bucket.put(["odd"], new TextEncoder().encode("neither"));
  await assert.rejects(store.read("odd"), refusedWith("schema-unavailable"));
  assert.deepEqual((await store.list()).map(({ schema_id }) => schema_id), ["ping"]);
  await bucket.delete(["ping"]);
  await push(store, ping());
  assert.deepEqual(await store.bytes("ping", version), ping());
});

Deno.test("a listing has every schema once, by id, and no versions", async () => {
  await using engine = testSpine();
  const store = await open(engine.spine);
  await push(store, ping(), { schema_id: "b" });
  await push(store, pong(), { schema_id: "a.1" });
  await push(store, ping(["x", 9, "int32"]), { schema_id: "b" });
  const listed = await store.list();
  const counts = listed.map(({ schema_id, head }) => [schema_id, head.versions.length]);
  assert.deepEqual(counts, [["a.1", 1], ["b", 2]]);
});
