/**
 * Versions that no history names are swept, and no others. Every case runs on the embedded engine and on a real NATS
 * server.
 */
import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { sampleOf } from "../../../shared/testing/sample_of.ts";
import { encodeRollout, type Rollout } from "../../../shared/rollout/rollout.ts";
import { rolloutOf } from "../../../shared/rollout/testing/rollouts.ts";
import { ROLLOUTS_BUCKET } from "../../../shared/records/buckets.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { keptLog } from "../../testing/spine.ts";
import { openSchemaStore, sha256Of, versionKey, versionsBucket } from "./store.ts";
import { deleteSchema, register } from "./register.ts";
import { SetWorker } from "./set_work.ts";
import { UNNAMED_MS, VersionSweep } from "./sweep.ts";
import { onBoth } from "../testing/bucket_tool.ts";
import { ping } from "../testing/schemas.ts";

const BUCKET = "ARQON_SCHEMAS";

async function stageOf(spine: Spine) {
  const store = await openSchemaStore(spine, BUCKET);
  const versions = await spine.keyValue(versionsBucket(BUCKET));
  const rollouts = await spine.keyValue(ROLLOUTS_BUCKET);
  const registry = new Registry();
  const clock = { now_ms: 1_000 };
  const monotonic_ms = () => clock.now_ms;
  const { log, lines } = keptLog();
  const parts = { versions, rollouts, log, registry, monotonic_ms };
  const sweep = new VersionSweep({ ...parts, random: () => 0 });
  return {
    store,
    versions,
    rollouts,
    sweep,
    clock,
    lines,
    push: (bytes: Uint8Array) => {
      const request = { schema_id: "ping", bytes, by: "ops", now_ms: 1, versions_max: 10 };
      return register({ store, work: new SetWorker().work }, request);
    },
    /** The remains of a Shield that died before it wrote the history. */
    async leave(version: number, bytes: Uint8Array, schema_id = "ping") {
      const key = versionKey(schema_id, { version, sha256: sha256Of(bytes) });
      await versions.put(key, bytes);
      return key;
    },
    metric: (name: string) => sampleOf(registry, name),
  };
}

type Stage = Awaited<ReturnType<typeof stageOf>>;

const onStage = (what: string, run: (stage: Stage) => Promise<void>) =>
  onBoth(what, async ({ spine }) => await run(await stageOf(spine)));

onStage("remains of a crash are deleted after ten minutes, and no version with them", async (t) => {
  await t.push(ping());
  await t.push(ping(["extra", 99, "int32"]));
  const left = await t.leave(3, ping(["lost", 100, "int32"]));
  const first = await t.leave(1, ping(), "never");
  assert.equal(await t.sweep.pass(), 0);
  t.clock.now_ms += UNNAMED_MS - 1;
  assert.equal(await t.sweep.pass(), 0, "it may still be named");
  assert.equal(await t.metric("shield_schema_unnamed_versions"), 2);
  const size_bytes = ping(["lost", 100, "int32"]).length + ping().length;
  assert.equal(await t.metric("shield_schema_unnamed_bytes"), size_bytes);
  t.clock.now_ms += 1;
  assert.equal(await t.sweep.pass(), 2);
  for (const key of [left, first]) assert.equal(await t.versions.get(key), undefined);
  assert.equal(await t.metric("shield_schema_versions_swept_total"), 2);
  assert.equal(await t.metric("shield_schema_unnamed_bytes"), 0);
  assert.match(
    t.lines.join(""),
    /schema=ping version=3 .*a version that no history names was deleted/,
  );
  const { head } = await t.store.require("ping");
  assert.equal(head.versions.length, 2);
  for (const version of head.versions) await t.store.bytes("ping", version);
});

/** A rollout that will activate that version. */
const activating = (state: Rollout["state"], version: number, bytes: Uint8Array) =>
  encodeRollout(
    rolloutOf({ state, schemas: [{ schema_id: "ping", version, sha256: sha256Of(bytes) }] }),
  );

onStage("a version that a running rollout names stays, for any time", async (t) => {
  await t.push(ping());
  const bytes = ping(["extra", 99, "int32"]);
  const key = await t.leave(2, bytes);
  const put = (rollout: Uint8Array) => t.rollouts.put(["acme"], rollout);
  await put(activating("paused", 2, bytes));
  for (let pass = 0; pass < 3; pass++) {
    assert.equal(await t.sweep.pass(), 0);
    t.clock.now_ms += UNNAMED_MS;
  }
  // The versions of an unreadable one are unknown.
  await put(new Uint8Array([1]));
  await assert.rejects(t.sweep.pass(), /rollout of acme/);
  await put(activating("returned", 2, bytes));
  assert.equal(await t.sweep.pass(), 0, "its time counts from now on");
  t.clock.now_ms += UNNAMED_MS;
  assert.equal(await t.sweep.pass(), 1);
  assert.equal(await t.versions.get(key), undefined);
});

onStage("a registration of unnamed bytes keeps them", async (t) => {
  await t.push(ping());
  const lost = ping(["lost", 100, "int32"]);
  const key = await t.leave(2, lost);
  await t.sweep.pass();
  t.clock.now_ms += UNNAMED_MS;
  // It has written its bytes, and not yet the history that names them.
  const remove = t.versions.delete.bind(t.versions);
  t.versions.delete = async (...args) => {
    // Once: registering deletes something, too.
    t.versions.delete = remove;
    await t.push(lost);
    await remove(...args);
  };
  assert.equal(await t.sweep.pass(), 0);
  assert.deepEqual((await t.versions.get(key))?.value, new Uint8Array(lost));
  const { head } = await t.store.require("ping");
  assert.deepEqual(head.versions.map(({ version }) => version), [1, 2]);
});

onStage(
  "remains of a deletion are deleted, and nothing while a history is unreadable",
  async (t) => {
    await t.push(ping());
    const request = { schema_id: "ping", by: "ops", now_ms: 1, mapped: () => [] };
    await deleteSchema(t.store, request);
    await t.leave(1, ping());
    await t.versions.put(["bad"], new TextEncoder().encode("{"));
    const kept = await t.leave(1, ping(), "bad");
    await t.sweep.pass();
    t.clock.now_ms += UNNAMED_MS;
    assert.equal(await t.sweep.pass(), 1);
    assert.ok(await t.versions.get(kept));
    assert.equal((await t.push(ping())).head.versions[0]?.version, 2, "the tombstone stays");
  },
);
