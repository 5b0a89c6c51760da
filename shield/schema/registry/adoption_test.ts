/**
 * Puts of other tools into the bucket of schemas: accepted as the next version, or refused and reported. Every case
 * runs on the embedded engine and on a real NATS server, there with only the client library.
 */
import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { until } from "../../../shared/testing/until.ts";
import { askPart } from "../../admin/routing/testing/admin.ts";
import { SCHEMA_ROUTES } from "../capability.ts";
import { type BucketTool, onBoth } from "../testing/bucket_tool.ts";
import { check, type TestSchemas, testSchemas } from "../testing/registry.ts";
import { BAD_PING, GOOD_PING, incompatiblePing, ping, UNKNOWN_PING } from "../testing/schemas.ts";

const ID = "v1.events.user_created";
const MAPPED = { mappings: [{ schema_id: ID, unknown_fields: "refuse" as const }] };

// deno-lint-ignore no-explicit-any
async function ask({ schemas }: TestSchemas, path: string, init: RequestInit = {}): Promise<any> {
  const headers = { "content-type": "application/gzip" };
  const request = new Request(`http://admin/v1/${path}`, { headers, ...init });
  const response = await askPart(SCHEMA_ROUTES, schemas.admin, request);
  assert.ok(response !== undefined && response.status < 500, `${response?.status} ${path}`);
  return await response.json();
}

const putsOf = (t: TestSchemas, outcome: string) =>
  t.metric(`shield_schema_puts_total{outcome="${outcome}"}`);
const versionsOf = async (t: TestSchemas, id = ID): Promise<number> =>
  (await t.store.read(id))?.head.versions.length ?? 0;
const is = async (tool: BucketTool, key: string, bytes: Uint8Array) => {
  const found = await tool.get(key);
  return found !== undefined && Buffer.from(found).equals(bytes);
};

/** A test on both engines of a tool beside a Shield. */
function onBus(what: string, run: (t: TestSchemas, tool: BucketTool) => Promise<void>): void {
  onBoth(what, async (stage, tool) => {
    using t = await testSchemas(stage.spine, MAPPED);
    await run(t, tool);
  });
}

/** The tool puts the first set, which the Shield registers. */
async function first(t: TestSchemas, tool: BucketTool): Promise<void> {
  await tool.put(ID, ping());
  await until("version 1", () => check(t, GOOD_PING) === undefined);
}

onBus(
  "a set that a tool puts is the next version, and the key is the current set",
  async (t, tool) => {
    assert.equal(check(t, GOOD_PING), "schema-unavailable");
    await tool.put(ID, ping());
    await until("version 1", () => check(t, GOOD_PING) === undefined);
    assert.equal(check(t, BAD_PING), "schema-violation");
    assert.equal(check(t, UNKNOWN_PING), "schema-violation");
    const second = ping(["extra", 99, "int32"]);
    await tool.put(ID, second);
    await until("version 2", () => check(t, UNKNOWN_PING) === undefined);
    const { versions, refused } = await ask(t, `schemas/${ID}`);
    assert.deepEqual(versions.map((one: { version: number }) => one.version), [1, 2]);
    assert.deepEqual([versions[1].by, refused], ["ARQON_SCHEMAS", null]);
    assert.equal(await putsOf(t, "registered"), 2);
    const third = ping(["extra", 99, "int32"], ["more", 100, "int32"]);
    const pushed = await ask(t, `schemas/${ID}`, { method: "PUT", body: third });
    assert.equal(pushed.version, 3);
    assert.ok(await is(tool, ID, third), "bare and gzipped");
    assert.deepEqual(gunzipSync(await tool.get(ID) ?? ""), gunzipSync(third));
    assert.deepEqual(await tool.keys(), [ID], "schema ids only");
    assert.deepEqual(
      await Promise.all(["registered", "refused", "restored"].map((one) => putsOf(t, one))),
      [2, 0, 0],
      "our own put is not taken for another tool's",
    );
  },
);

onBus("an incompatible set is refused, reported everywhere and replaced", async (t, tool) => {
  await first(t, tool);
  await tool.put(ID, incompatiblePing());
  await until("the refusal", async () => await t.metric("shield_schema_refused") === 1);
  await until("the last known good", () => is(tool, ID, ping()));
  await until("the count", async () => await putsOf(t, "restored") === 1);
  assert.equal(check(t, GOOD_PING), undefined);
  assert.equal(await putsOf(t, "refused"), 1);
  const { refused: [put], schemas: [listed] } = await ask(t, "schemas");
  assert.deepEqual([put.schema_id, put.serving, listed.latest.version], [ID, 1, 1]);
  assert.match(put.problem, /^not compatible with version 1 \(BACKWARD\): error field-/);
  assert.equal((await ask(t, `schemas/${ID}`)).refused.problem, put.problem);
  const detail = t.schemas.checks()["schemas"]?.detail ?? "";
  assert.match(detail, /1 refused in the bucket \(v1\.events\.user_created: not compatible/);
  assert.equal(t.schemas.status()["refused"], 1);
  const lines = t.lines.filter((line) => line.includes("is refused"));
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? "",
    /^level=error component=registry error="not compatible .* schema=v1\.events\.user_created bucket=ARQON_SCHEMAS .*serving="version 1"/,
  );
  await ask(t, `schemas/${ID}`, { method: "PUT", body: ping() });
  await until("the pardon", async () => await t.metric("shield_schema_refused") === 0);
  await tool.put(ID, incompatiblePing());
  await until("the next refusal", async () => await t.metric("shield_schema_refused") === 1);
  await tool.put(ID, ping(["extra", 99, "int32"]));
  await until("a good version", async () => await t.metric("shield_schema_refused") === 0);
  assert.equal(await versionsOf(t), 2);
});

const text = (value: string) => new TextEncoder().encode(value);
const GARBAGE: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
  ["text", () => text("neither"), /is not gzip; send a gzipped FileDescriptorSet/],
  ["a bomb", () => new Uint8Array(gzipSync(new Uint8Array(64_000_000))), /more than 16777216/],
  ["an empty set", () => new Uint8Array(gzipSync("")), /holds no file/],
];

onBus(
  "bytes that are not a set are refused with the reason, with and without a version",
  async (t, tool) => {
    await first(t, tool);
    const refusalOf = async (id: string) =>
      (await ask(t, "schemas")).refused.find(({ schema_id }: { schema_id: string }) =>
        schema_id === id
      );
    for (const [at, [what, make, problem]] of GARBAGE.entries()) {
      // Not by a count of refusals: a watch that begins again reports a key twice.
      const isRefused = async (id: string) => problem.test((await refusalOf(id))?.problem ?? "");
      await tool.put(ID, make());
      await until(what, () => isRefused(ID));
      await until(`the last known good after ${what}`, () => is(tool, ID, ping()));
      await tool.put(`new.${at}`, make());
      await until(what, () => isRefused(`new.${at}`));
      const own = await refusalOf(ID);
      const other = await refusalOf(`new.${at}`);
      assert.deepEqual([own.serving, other.serving], [1, null]);
      assert.equal(other.problem, own.problem);
      assert.ok(await is(tool, `new.${at}`, make()), "there is nothing to restore");
      const answer = await ask(t, `schemas/new.${at}`);
      assert.deepEqual([answer.status, answer.reason], [404, "schema-unknown"]);
    }
    assert.equal(check(t, GOOD_PING), undefined);
    assert.equal(await versionsOf(t), 1);
    await tool.delete("new.0");
    await tool.put("new.1", ping());
    const left = GARBAGE.length + 1 - 2;
    await until("a settled refusal", async () => await t.metric("shield_schema_refused") === left);
    assert.equal(await versionsOf(t, "new.1"), 1);
  },
);

onBus(
  "the same set is no new version, in any gzip form; an older one becomes the next",
  async (t, tool) => {
    const second = ping(["extra", 99, "int32"]);
    await first(t, tool);
    await tool.put(ID, ping());
    const other = new Uint8Array(gzipSync(gunzipSync(ping()), { level: 0 }));
    await tool.put(ID, other);
    await until("the set as it was registered", () => is(tool, ID, ping()));
    assert.equal(await versionsOf(t), 1);
    const pushed = await ask(t, `schemas/${ID}`, { method: "PUT", body: other });
    assert.deepEqual([pushed.registered, pushed.version], [false, 1]);
    await tool.put(ID, second);
    await until("version 2", async () => await versionsOf(t) === 2);
    await ask(t, `schemas/${ID}?compatibility=NONE`, { method: "PUT" });
    await tool.put(ID, ping());
    await until("the rollback", async () => await versionsOf(t) === 3);
    await until("the older set", () => check(t, UNKNOWN_PING) === "schema-violation");
    assert.ok(await is(tool, ID, ping()));
    assert.equal(await putsOf(t, "refused"), 0);
  },
);

onBus(
  "deleting a key is reported, and the last known good version is used and restored",
  async (t, tool) => {
    await first(t, tool);
    for (const [at, purge] of [false, true].entries()) {
      await tool.delete(ID, purge);
      await until("the deletion", async () => await putsOf(t, "refused") === at + 1);
      await until("the last known good", () => is(tool, ID, ping()));
      assert.equal(check(t, GOOD_PING), undefined);
      const { refused: [put] } = await ask(t, "schemas");
      assert.deepEqual([put.schema_id, put.sha256, put.serving], [ID, "", 1]);
      assert.match(put.problem, /deleted/);
    }
    assert.equal(await versionsOf(t), 1);
  },
);

onBus("a key that is not a schema id is reported and not changed", async (t, tool) => {
  await tool.put("proto/user=1", ping());
  await until("the refusal", async () => await t.metric("shield_schema_refused") === 1);
  const { refused: [put], schemas } = await ask(t, "schemas");
  assert.deepEqual([put.schema_id, put.serving, schemas], ["proto/user=1", null, []]);
  assert.match(put.problem, /not a schema id: a schema id is 1 to 128/);
  await tool.delete("proto/user=1");
  await until("its end", async () => await t.metric("shield_schema_refused") === 0);
});

onBoth("puts without a running Shield are judged before the next is ready", async (stage, tool) => {
  {
    using t = await testSchemas(stage.spine, MAPPED);
    await first(t, tool);
  }
  await tool.put(ID, ping(["extra", 99, "int32"]));
  await tool.put("other", text("neither"));
  {
    using t = await testSchemas(stage.spine, MAPPED);
    assert.equal(check(t, UNKNOWN_PING), undefined);
    assert.equal(await t.metric("shield_schema_refused"), 1);
  }
  await tool.delete(ID);
  await tool.delete("other");
  using t = await testSchemas(stage.spine, MAPPED);
  assert.ok(await is(tool, ID, ping(["extra", 99, "int32"])));
  assert.equal(await t.metric("shield_schema_refused"), 0);
  assert.equal(check(t, UNKNOWN_PING), undefined);
});

onBoth("kv_bucket names the bucket", async (stage) => {
  const tool = await stage.tool("CONTRACTS");
  using t = await testSchemas(stage.spine, { ...MAPPED, more: { kv_bucket: "CONTRACTS" } });
  await first(t, tool);
  const versions = await stage.spine.keyValue("CONTRACTS_VERSIONS");
  assert.equal((await versions.get([ID]))?.key[0], ID);
  assert.deepEqual(await tool.keys(), [ID]);
});
