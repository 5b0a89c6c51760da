/**
 * The memory of many schemas: each takes only its own part, and compiled ones stay within the limit; an evicted one
 * judges as before.
 */
import assert from "node:assert/strict";
import { deno } from "../../tasks/checkout/programs.ts";
import { testSpine } from "../testing/spine.ts";
import { registerMany } from "./testing/many.ts";
import { refusalOf, type TestSchemas, testSchemas } from "./testing/registry.ts";

const MIB = 1_048_576;
/** `t.Ping` with n = 7, and with n = 1,000. */
const GOOD = new Uint8Array([0x08, 7]);
const BAD = new Uint8Array([0x08, 0xe8, 7]);

/** Bytes of heap in use after each forty schemas, in a process of its own. */
async function heapOf(compiled_bytes: number): Promise<{ used_bytes: number[]; held: number }> {
  const script = new URL("testing/memory_child.ts", import.meta.url).pathname;
  const flags = ["--no-prompt", "-A", "--v8-flags=--expose-gc"];
  return JSON.parse((await deno(["run", ...flags, script, String(compiled_bytes)])).stdout);
}

/** The refusal's reason and text; undefined: it may pass. */
const check = (t: TestSchemas, at: number, data: Uint8Array) => refusalOf(t, data, `t-${at}`);

/** The bytes that each of the last eighty schemas added. */
async function eachBytes(compiled_bytes: number): Promise<number> {
  const { used_bytes, held } = await heapOf(compiled_bytes);
  assert.equal(held, 120);
  const [first = 0, , last = 0] = used_bytes;
  return (last - first) / 80;
}

Deno.test("a compiled schema takes memory only for its own part, not for the half megabyte that all import", async () => {
  // The standard rules of one type, which its validator compiles, are about 160 KB of it.
  const each_bytes = await eachBytes(1_024 * MIB);
  assert.ok(each_bytes < 400_000, `${Math.round(each_bytes)} bytes a schema`);
});

Deno.test("beyond the limit a schema takes little more than its gzipped set", async () => {
  // Some twenty of them are compiled.
  const each_bytes = await eachBytes(4 * MIB);
  assert.ok(each_bytes < 60_000, `${Math.round(each_bytes)} bytes a schema`);
});

Deno.test("schemas beyond the limit are evicted, and judge their next event as before", async () => {
  await using engine = testSpine();
  const more = { compiled_bytes: MIB, restore_ms: 1_000 };
  // A stopped clock, so that recompiling uses none of its share.
  using t = await testSchemas(engine.spine, { mappings: [], more, monotonic_ms: () => 1 });
  await registerMany(t, 0, 12);
  assert.equal(await t.metric("shield_schema_cache_schemas"), 12);
  const compiled = await t.metric("shield_schema_compiled_messages") ?? 0;
  assert.ok(compiled > 1 && compiled < 12, `${compiled} compiled`);
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < 12; at++) {
      assert.equal(check(t, at, GOOD), undefined);
      assert.match(check(t, at, BAD)?.message ?? "", /^Schema violation: n: int32\.lt/);
    }
  }
  assert.ok((await t.metric("shield_schema_compiled_bytes") ?? 0) <= MIB);
  assert.ok((await t.metric("shield_schema_packed_bytes") ?? 0) > 12 * 1_000);
  assert.ok((await t.metric("shield_schema_put_away_total") ?? 0) >= 24);
  const restored = 'shield_schema_restores_total{outcome="restored"}';
  assert.ok((await t.metric(restored) ?? 0) >= 24 - compiled);
  assert.equal(await t.metric('shield_schema_cache_total{outcome="miss"}'), 0);
});

Deno.test("recompiling beyond its time budget is refused by name, and compiled schemas are not affected", async () => {
  await using engine = testSpine();
  const clock = { now_ms: 1, step_ms: 0 };
  const monotonic_ms = () => clock.now_ms += clock.step_ms;
  const more = { compiled_bytes: MIB, restore_ms: 10 };
  using t = await testSchemas(engine.spine, { mappings: [], more, monotonic_ms });
  await registerMany(t, 0, 12);
  await registerMany(t, 12, 24, "observe");
  clock.step_ms = 100;
  assert.equal(check(t, 0, GOOD), undefined, "the budget is not used up");
  const refused = check(t, 1, GOOD);
  assert.equal(refused?.reason, "schema-unavailable");
  assert.equal(refused.retry_after_ms, 1_000);
  assert.match(refused.message, /s-1: it is evicted, and too many others/);
  assert.equal(check(t, 0, GOOD), undefined, "a compiled schema");
  assert.equal(check(t, 12, BAD), undefined, "a mapping that never refuses");
  assert.equal(await t.metric('shield_schema_restores_total{outcome="refused"}'), 2);
  clock.now_ms += 60_000;
  assert.equal(check(t, 1, BAD)?.reason, "schema-violation");
});
