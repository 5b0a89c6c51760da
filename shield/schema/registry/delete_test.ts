/**
 * A deleted schema: its bytes are removed, its tombstone stays, and nothing restores it. Every case runs on the
 * embedded engine and on a real NATS server.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { adminRequest, askJson, operator } from "../../admin/routing/testing/admin.ts";
import { SCHEMA_ROUTES } from "../capability.ts";
import { deleteSchema } from "./register.ts";
import { sha256Of, tombstoneOf, versionsBucket } from "./store.ts";
import { onBoth, type ToolStage } from "../testing/bucket_tool.ts";
import { type TestSchemas, testSchemas } from "../testing/registry.ts";
import { incompatiblePing, ping } from "../testing/schemas.ts";

const ID = "fleet";
const BUCKET = "ARQON_SCHEMAS";

// deno-lint-ignore no-explicit-any
async function ask(t: TestSchemas, method: string, body?: Uint8Array): Promise<any> {
  const request = adminRequest(method, `/v1/schemas/${ID}`, body, "application/gzip");
  const answer = await askJson(SCHEMA_ROUTES, t.schemas.admin, request);
  return { status: answer.status, ...answer.body };
}

/** Keys that are stored under the id: the history or a tombstone, and versions. */
async function keysOf({ spine }: ToolStage): Promise<number> {
  return (await (await spine.keyValue(versionsBucket(BUCKET))).keys([ID])).length;
}

onBoth(
  "a deleted schema leaves no bytes, the next push has the next number",
  async (stage, tool) => {
    using t = await testSchemas(stage.spine, { mappings: [] });
    await ask(t, "PUT", ping());
    await ask(t, "PUT", ping(["extra", 99, "int32"]));
    assert.equal(await keysOf(stage), 3);
    const gone = await ask(t, "DELETE");
    assert.deepEqual([gone.status, gone.deleted, gone.version, gone.versions], [200, true, 2, 2]);
    assert.deepEqual([await tool.keys(), await keysOf(stage)], [[], 1], "only the tombstone");
    for (const method of ["GET", "DELETE"]) {
      const { status, reason, detail } = await ask(t, method);
      assert.deepEqual([status, reason], [404, "schema-unknown"]);
      assert.match(detail, /"fleet", which .+ deleted at version 2 \(\d{4}-/);
    }
    assert.deepEqual(await t.store.list(), []);
    // It is not compared: under BACKWARD it would be refused.
    const anew = await ask(t, "PUT", incompatiblePing());
    assert.deepEqual([anew.status, anew.registered, anew.version], [200, true, 3]);
    const { versions, deleted } = await ask(t, "GET");
    assert.deepEqual(versions.map(({ version }: { version: number }) => version), [3]);
    assert.deepEqual([deleted.version, deleted.by], [2, operator().by]);
    const same = await ask(t, "PUT", ping());
    assert.equal(same.status, 409, "compared with earlier versions again");
  },
);

onBoth("a mapped schema is not deleted, and the mappings are named", async (stage) => {
  using t = await testSchemas(stage.spine, { mappings: [{ schema_id: ID }] });
  const about = { schema_id: ID, message: "t.Ping", unknown_fields: "allow" } as const;
  const own = { ...about, subject: "in.t.acme.r.own*", mode: "enforce" } as const;
  await t.settings.change("acme", "ops", (before) => ({
    ...before,
    mappings: [own],
  }));
  await ask(t, "PUT", ping());
  await until("both mappings", async () => (await ask(t, "DELETE")).mappings?.length === 2);
  const refused = await ask(t, "DELETE");
  assert.deepEqual([refused.status, refused.reason], [409, "settings-conflict"]);
  assert.match(refused.detail, /in\.t\.acme\.r\.\* to t\.Ping, in\.t\.acme\.r\.own\* to t\.Ping/);
  const subjects = refused.mappings.map(({ subject }: { subject: string }) => subject);
  assert.deepEqual(subjects, ["in.t.acme.r.*", "in.t.acme.r.own*"]);
  assert.equal((await ask(t, "GET")).versions.length, 1);
});

onBoth("remains of a deleted schema after a crash are not registered", async (stage, tool) => {
  {
    using t = await testSchemas(stage.spine, { mappings: [] });
    await ask(t, "PUT", ping());
    const standing = await t.store.standing(ID);
    assert.ok(standing.stored !== undefined);
    // The Shield dies after writing the tombstone, and no other Shield runs.
    t.schemas.close();
    const tombstone = tombstoneOf(standing, { by: "ops", deleted_ms: 1 });
    await t.store.bury(ID, standing.stored, tombstone);
  }
  assert.deepEqual(await tool.keys(), [ID]);
  using later = await testSchemas(stage.spine, { mappings: [] });
  await until("the remains are cleared", async () => (await tool.keys()).length === 0);
  assert.equal((await ask(later, "GET")).status, 404);
  assert.equal(await later.metric('shield_schema_puts_total{outcome="refused"}'), 0);
});

onBoth(
  "the bucket restores no deleted bytes, other bytes start a new schema",
  async (stage, tool) => {
    using t = await testSchemas(stage.spine, { mappings: [] });
    await ask(t, "PUT", ping());
    await ask(t, "DELETE");
    await tool.put(ID, ping());
    await until("it is removed again", async () => (await tool.keys()).length === 0);
    assert.equal((await ask(t, "GET")).status, 404);
    assert.match(t.lines.join(""), /the schema was deleted with these bytes/);
    const other = ping(["extra", 99, "int32"]);
    await tool.put(ID, other);
    await until("another set", async () => (await ask(t, "GET")).status === 200);
    const { versions: [only] } = await ask(t, "GET");
    assert.deepEqual([only.version, only.sha256], [2, sha256Of(other)]);
    await ask(t, "DELETE");
    const pushed = await ask(t, "PUT", ping());
    assert.deepEqual([pushed.status, pushed.version], [200, 3], "the same bytes, by a push");
  },
);

onBoth("a concurrent deletion and pushes are serialized", async (stage) => {
  using t = await testSchemas(stage.spine, { mappings: [] });
  await t.push(ID, ping());
  const request = { schema_id: ID, by: "ops", now_ms: 1, mapped: () => [] };
  const names = ["f0", "f1", "f2", "f3", "f4", "f5"];
  const pushes = names.map((name, at) => t.push(ID, ping([name, 100 + at, "int32"])));
  await Promise.all([deleteSchema(t.store, request), ...pushes]);
  const stored = await t.store.read(ID);
  const versions = stored?.head.versions ?? [];
  if (stored !== undefined) assert.equal(versions.at(-1)?.version, 7, "no number twice");
  for (const version of versions) await t.store.bytes(ID, version);
  await until("the bucket agrees", async () => {
    const { set } = await t.store.standing(ID);
    return set?.sha256 === versions.at(-1)?.sha256;
  });
});
