/** A bucket that an earlier build has written is taken over, and its entries go a day later. Real NATS. */
import assert from "node:assert/strict";
import { ENCODED_KEYS } from "../../../shared/spine/contract/kv_key.ts";
import { until } from "../../../shared/testing/until.ts";
import { encodeSchemaRecord, sha256Of, versionKey } from "./schema_record.ts";
import { OLD_KEPT_MS, oldSchemaId } from "./old_layout.ts";
import { embeddedStage, natsStage } from "../testing/bucket_tool.ts";
import type { BucketTool } from "../testing/bucket_tool.ts";
import { OLD_BUCKET, oldBytes } from "../testing/old_bucket.ts";
import { testSchemas } from "../testing/registry.ts";
import type { TestSchemas } from "../testing/registry.ts";
import { ping } from "../testing/schemas.ts";

const ID = "v1.events.user_created";
const MAPPED = { mappings: [{ schema_id: ID }] };
const storedKey = (...tokens: string[]) => ENCODED_KEYS.encode(tokens);

async function fill(tool: BucketTool): Promise<void> {
  for (const [key, base64] of OLD_BUCKET) await tool.put(key, oldBytes(base64));
}

async function historyOf({ store }: TestSchemas, id: string): Promise<unknown[]> {
  const stored = await store.require(id);
  const { compatibility, versions } = stored.head;
  for (const version of versions) {
    const bytes = await store.bytes(id, version);
    assert.equal(sha256Of(bytes), version.sha256);
  }
  return [compatibility, ...versions.map(({ version, by }) => `${version} ${by}`)];
}

Deno.test("every schema of an earlier build is there with its history before a Shield is ready", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await fill(tool);
  using t = await testSchemas(stage.spine, MAPPED);
  assert.equal(await t.metric('shield_schema_cache_messages{state="current"}'), 1);
  assert.deepEqual(await historyOf(t, ID), ["BACKWARD", "1 ops", "2 ops"]);
  assert.deepEqual(await historyOf(t, "fleet"), ["FULL", "1 ops"]);
  assert.deepEqual(await historyOf(t, "alone"), ["BACKWARD", "1 "]);
  const [latest] = (await t.store.require(ID)).head.versions.slice(-1);
  assert.ok(latest);
  assert.equal(sha256Of(await tool.get(ID) ?? new Uint8Array(0)), latest.sha256, "bare");
  const old = OLD_BUCKET.map(([key]) => key);
  assert.deepEqual(await tool.keys(), [...old, ID, "fleet", "alone"].sort(), "for those behind");
  assert.equal(await t.metric("shield_schema_refused"), 0);
  assert.equal(await t.metric('shield_schema_puts_total{outcome="registered"}'), 0);
});

Deno.test("many Shields that take it over at once come to one history", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await fill(tool);
  const spines = [stage.spine, await stage.connect(), await stage.connect()];
  const all = await Promise.all(spines.map((spine) => testSchemas(spine, MAPPED)));
  try {
    for (const t of all) {
      assert.deepEqual(await historyOf(t, ID), ["BACKWARD", "1 ops", "2 ops"]);
      assert.equal(await t.metric("shield_schema_refused"), 0);
    }
  } finally {
    for (const t of all) t[Symbol.dispose]();
  }
});

/** What an earlier build writes when somebody registers by it: the version first, then the history. */
async function registerAsBefore(tool: BucketTool, version: number, bytes: Uint8Array) {
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const framed = (value: Uint8Array) => new Uint8Array([...nonce, ...value]);
  const base = { size_bytes: bytes.length, registered_ms: 5, by: "before" };
  const latest = { version, sha256: sha256Of(bytes), ...base };
  const first = { version: 1, sha256: "0".repeat(64), ...base };
  const head = {
    format: 1 as const,
    compatibility: "BACKWARD" as const,
    versions: [first, latest],
  };
  await tool.put(storedKey(...versionKey(ID, latest)), framed(bytes));
  await tool.put(storedKey(ID), framed(encodeSchemaRecord(head)));
}

Deno.test("what a node of an earlier build registers meanwhile is held to the same check", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await fill(tool);
  using t = await testSchemas(stage.spine, MAPPED);
  await t.store.change(ID, ({ stored }) => {
    assert.ok(stored);
    return Promise.resolve({ head: { ...stored.head, compatibility: "NONE" } });
  });
  await registerAsBefore(tool, 3, ping());
  await until("version 3", async () => (await historyOf(t, ID)).length === 4);
  assert.deepEqual((await historyOf(t, ID)).at(-1), "3 before");
  await t.push(ID, ping(["own", 50, "int32"]));
  await registerAsBefore(tool, 3, ping());
  using again = await testSchemas(await stage.connect(), MAPPED);
  assert.equal((await historyOf(again, ID)).length, 5, "what was taken over is not taken again");
  assert.ok(t.lines.some((line) => line.includes('msg="a version of an earlier build is taken')));
});

Deno.test("a day later the entries of the earlier build are gone, and nothing else is", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await fill(tool);
  const clock = { now_ms: 1_800_000_000_000 };
  const now = () => clock.now_ms;
  const seen = await stage.spine.keyValue("ARQON_SCHEMAS_VERSIONS");
  {
    using _ = await testSchemas(stage.spine, { ...MAPPED, now });
    await until("the first look", async () => await seen.get(["$migrated"]) !== undefined);
    clock.now_ms += OLD_KEPT_MS - 1;
  }
  {
    using _ = await testSchemas(stage.spine, { ...MAPPED, now });
    assert.equal((await tool.keys()).length, OLD_BUCKET.length + 3);
    clock.now_ms += 1;
  }
  using t = await testSchemas(stage.spine, { ...MAPPED, now });
  await until("the end of the old entries", async () => (await tool.keys()).length === 3);
  assert.deepEqual(await tool.keys(), ["alone", "fleet", ID]);
  assert.deepEqual(await historyOf(t, ID), ["BACKWARD", "1 ops", "2 ops"]);
  assert.equal(await t.metric("shield_schema_refused"), 0);
});

Deno.test("an embedded bucket of an earlier build opens too: it has no nonces", async () => {
  await using stage = await embeddedStage();
  const tool = await stage.tool();
  for (const [key, base64] of OLD_BUCKET) await tool.put(key, oldBytes(base64).subarray(16));
  using t = await testSchemas(stage.spine, MAPPED);
  assert.deepEqual(await historyOf(t, ID), ["BACKWARD", "1 ops", "2 ops"]);
  assert.deepEqual(await historyOf(t, "fleet"), ["FULL", "1 ops"]);
});

Deno.test("entries of tools are told from those of earlier builds, whatever their keys look like", () => {
  for (const [key, base64] of OLD_BUCKET) assert.ok(oldSchemaId(key, oldBytes(base64)), key);
  // "cGluZw" is base64url of "ping", and a schema id too.
  for (const key of ["cGluZw", "ping", ID]) {
    assert.equal(oldSchemaId(key, ping()), undefined);
    assert.equal(oldSchemaId(key, new TextEncoder().encode("neither")), undefined);
    assert.equal(oldSchemaId(key, new Uint8Array(0)), undefined);
  }
});
