/** Schemas in memory: loaded, replaced, kept if the registry has no better version, limited. */
import assert from "node:assert/strict";
import { keptLog } from "../../../shared/testing/logs.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { until } from "../../../shared/testing/until.ts";
import { testSpine } from "../../testing/spine.ts";
import { type LoadOutcome, SchemaCache } from "./cache.ts";
import { encodeSchemaRecord, SchemaStore, sha256Of, versionKey, versionsBucket } from "./store.ts";
import { register } from "./register.ts";
import { SetWorker } from "./set_work.ts";
import { BAD_PING, ping, pong, ruledPing, UNKNOWN_PING } from "../testing/schemas.ts";
import { WorkingSet } from "./working_set.ts";

const BUCKET = "ARQON_SCHEMAS";
const ACME = { tenant_id: "acme" };
const PING = { ...ACME, schema_id: "ping", message: "t.Ping" };
const inner = { ...ACME, schema_id: "ping", message: "t.Inner" };
const pongs = { ...ACME, schema_id: "ping", message: "t.Pong" };
const REFUSE = { unknown_fields: "refuse" } as const;

async function testCache(
  spine: Spine,
  options: { deaf?: boolean; schemas_max?: number; ttl_ms?: number } = {},
) {
  const bucket = await spine.keyValue(versionsBucket(BUCKET));
  const sets = await spine.keyValue(BUCKET, { plain: true });
  const store = new SchemaStore(bucket, sets);
  const clock = { now_ms: 1_000_000 };
  const now = () => clock.now_ms;
  const { log, lines } = keptLog({ level: "info", component: "registry", now });
  const loads: LoadOutcome[] = [];
  const { schemas_max = 100, ttl_ms = 300_000 } = options;
  const onLoaded = (outcome: LoadOutcome) => void loads.push(outcome);
  const space = { compiled_bytes: 1_073_741_824, restore_ms: 1_000 };
  const working = new WorkingSet({ ...space, monotonic_ms: now });
  const { work } = new SetWorker();
  const tools = { work, message_parts: 5_000 };
  const base = { store, log, monotonic_ms: now, ttl_ms, schemas_max, working, tools, onLoaded };
  const cache = new SchemaCache(base);
  // Without the watch only the age triggers a read.
  const watch = options.deaf === true
    ? undefined
    : store.watchHistories(({ key }) => cache.refresh(key[0] ?? ""));
  const push = async (schema_id: string, bytes: Uint8Array) => {
    const request = { schema_id, bytes, by: "ops", now_ms: 1, versions_max: 1_000 };
    await register({ store, work }, { ...request, compatibility: "NONE" });
  };
  /** Wants these messages, and waits until they are read. */
  const want = async (...wanted: typeof PING[]) => {
    cache.want(wanted);
    await cache.settled();
  };
  const inForce = () => cache.get("ping", "t.Ping")?.compiled?.message;
  const version = (one = PING) => cache.get(one.schema_id, one.message)?.compiled?.version;
  return {
    bucket,
    store,
    cache,
    lines,
    clock,
    loads,
    push,
    want,
    inForce,
    version,
    [Symbol.dispose]() {
      watch?.stop();
      cache.close();
    },
  };
}

Deno.test("wanted messages are loaded, and a new version replaces the old one", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine);
  await t.push("ping", ping());
  await t.want(PING);
  assert.equal(t.version(), 1);
  const old = t.inForce();
  assert.equal(old?.validate(UNKNOWN_PING, REFUSE).total, 1);
  await t.push("ping", ping(["extra", 99, "int32"]));
  await until("version 2", () => t.version() === 2);
  assert.equal(t.inForce()?.validate(UNKNOWN_PING, REFUSE).total, 0);
  assert.equal(old?.validate(UNKNOWN_PING, REFUSE).total, 1, "the old one is unchanged");
  await t.push("other", ping());
  await t.cache.settled();
  assert.deepEqual([...t.cache.schemas.keys()], ["ping"], "unwanted messages are dropped");
  t.cache.want([]);
  assert.equal(t.cache.get("ping", "t.Ping"), undefined);
});

Deno.test("an unusable version leaves the old one in force, message by message", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine);
  await t.push("ping", ping());
  await t.want(PING, inner);
  await t.push("ping", pong());
  await until("the read of version 2", () => t.loads.includes("invalid"));
  assert.deepEqual([t.version(), t.version(inner)], [1, 1]);
  const [line, ...more] = t.lines.filter((one) => one.includes("t.Inner"));
  const start = /^level=warn component=registry error="version 2: .*no message.*t\.Inner/;
  for (const words of [start, /serving="version 1"/]) assert.match(line ?? "", words);
  assert.equal(more.length, 0, "said once");
  await t.want(PING, pongs);
  assert.equal(t.version(pongs), 2, "messages of the new version are served from it");
  assert.equal(t.version(), 1);
  await t.push("ping", ping(["again", 50, "int32"]));
  await until("a valid version again", () => t.version() === 3);
  assert.equal(t.version(pongs), 2, "now this version lacks it");
});

Deno.test("a newly started process serves the same version as all others, message by message", async () => {
  await using engine = testSpine();
  using old = await testCache(engine.spine);
  const nobody = { ...PING, message: "t.Nobody" };
  const all = [PING, inner, pongs, nobody];
  const served = (t: Awaited<ReturnType<typeof testCache>>) => all.map((one) => t.version(one));
  await old.push("ping", ping());
  await old.want(...all);
  for (const bytes of [ping(["two", 50, "int32"]), pong(), ruledPing()]) {
    await old.push("ping", bytes);
  }
  await until("version 4", () => old.version() === 4);
  await old.cache.settled();
  assert.deepEqual(served(old), [4, 2, 3, undefined]);
  using fresh = await testCache(engine.spine);
  await fresh.want(...all);
  assert.deepEqual(served(fresh), served(old));
  assert.match(fresh.cache.get("ping", "t.Inner")?.problem ?? "", /^version 4: .*t\.Inner/);
  // Mapped only now, to a message that the newest version lacks.
  using later = await testCache(engine.spine);
  await later.want(PING);
  later.cache.want([PING, inner]);
  await until("the version that has it", () => later.version(inner) === 2);
  // One that cannot be unpacked is skipped in the same way.
  const bytes = new Uint8Array([0x1f, 0x8b, 1, 2, 3]);
  const broken = { version: 5, sha256: sha256Of(bytes), size_bytes: 5, registered_ms: 1, by: "x" };
  const { head } = await fresh.store.require("ping");
  await fresh.bucket.put(versionKey("ping", broken), bytes);
  const versions = [...head.versions, broken];
  await fresh.bucket.put(["ping"], encodeSchemaRecord({ ...head, versions }));
  await until("the look", () => fresh.loads.at(-1) === "invalid" && fresh.loads.length > 1);
  using last = await testCache(engine.spine);
  await last.want(...all);
  assert.deepEqual([served(fresh), served(last)], [[4, 2, 3, undefined], [4, 2, 3, undefined]]);
});

Deno.test("unreadable bytes leave the old version in force and are read again", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine, { ttl_ms: 60_000 });
  await t.push("ping", ping());
  await t.want(PING);
  const head = JSON.stringify({
    format: 1,
    compatibility: "NONE",
    versions: [{ version: 9, sha256: "0".repeat(64), size_bytes: 1, registered_ms: 1, by: "x" }],
  });
  await t.bucket.put(["ping"], new TextEncoder().encode(head));
  await until("the look", () => t.loads.includes("failed"));
  assert.equal(t.version(), 1);
  assert.equal(t.cache.schemas.get("ping")?.isStale, true);
  assert.ok(t.lines.some((line) => line.includes("version 9 is missing")));
  await t.bucket.put(["ping"], new TextEncoder().encode("neither"));
  const isRead = () => t.lines.some((line) => line.includes("cannot be read: it is not JSON"));
  await until("the look", isRead);
  await t.bucket.delete(["ping"]);
  await until("the look", () => t.loads.includes("absent"));
  assert.equal(t.version(), 1, "also if it is missing: the bus never deletes it like this");
  assert.equal(t.cache.schemas.get("ping")?.isStale, true);
  await t.push("ping", ping(["extra", 9, "int32"]));
  await until("the repair", () => t.version() === 1 && t.loads.at(-1) === "loaded");
  assert.equal(t.cache.schemas.get("ping")?.isStale, false);
});

Deno.test("stored bytes that are not a descriptor set are not unpacked repeatedly", async () => {
  await using engine = testSpine();
  // A watch may report the record after the first read has begun, which repeats it.
  using t = await testCache(engine.spine, { deaf: true });
  const bytes = new Uint8Array([0x1f, 0x8b, 1, 2, 3]);
  const version = { version: 1, sha256: sha256Of(bytes), size_bytes: 5, registered_ms: 1, by: "x" };
  const head = { format: 1 as const, compatibility: "NONE" as const, versions: [version] };
  await t.bucket.put(versionKey("ping", version), bytes);
  await t.bucket.put(["ping"], encodeSchemaRecord(head));
  await t.want(PING);
  assert.deepEqual(t.loads, ["invalid"]);
  assert.match(t.cache.get("ping", "t.Ping")?.problem ?? "", /^version 1: .*gzip/);
  t.cache.refresh("ping");
  await t.cache.settled();
  assert.equal(t.loads.at(-1), "invalid");
  assert.equal(t.lines.length, 1);
});

Deno.test("a schema is read at its maximum age although no change was reported", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine, { deaf: true, ttl_ms: 300_000 });
  await t.push("ping", ping());
  await t.want(PING);
  await t.push("ping", ping(["extra", 99, "int32"]));
  t.clock.now_ms += 299_999;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(t.version(), 1, "not before");
  assert.equal(t.cache.schemas.get("ping")?.confirmed_ms, 1_000_000);
  t.clock.now_ms += 1;
  await until("the read at its age", () => t.version() === 2);
  assert.equal(t.cache.schemas.get("ping")?.confirmed_ms, 1_300_000);
});

Deno.test("a tenant that wants too many schemas loses its own, and no other tenant its few", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine, { schemas_max: 4 });
  const of = (tenant_id: string, names: string) =>
    [...names].map((schema_id) => ({ ...PING, tenant_id, schema_id }));
  for (const schema_id of "abcdexo") await t.push(schema_id, ping());
  const greedy = of("greedy", "abcdex");
  await t.want(...of("", "o"), ...greedy, ...of("calm", "x"));
  const known = (all: readonly typeof PING[]) => all.map((one) => t.version(one) ?? 0).join("");
  assert.deepEqual([known(of("", "o")), known(greedy), known(of("calm", "x"))], [
    "1",
    "110001",
    "1",
  ]);
});

Deno.test("messages beyond the limit are omitted by name, and are included when others are dropped", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine, { schemas_max: 2 });
  const all = ["a", "b", "c"].map((schema_id) => ({ ...PING, schema_id }));
  for (const { schema_id } of all) await t.push(schema_id, ping());
  await t.want(...all);
  assert.deepEqual(all.map((one) => t.version(one)), [1, 1, undefined]);
  assert.match(t.lines.join(), /level=error component=registry schemas_max=2 omitted=1/);
  await t.want(...all.slice(1));
  assert.deepEqual(all.map((one) => t.version(one)), [undefined, 1, 1]);
});

Deno.test("versions are distinguished by their bytes, also after a schema was deleted", async () => {
  await using engine = testSpine();
  using t = await testCache(engine.spine);
  await t.push("ping", ping());
  await t.want(PING);
  const violations = () => t.inForce()?.validate(BAD_PING, REFUSE).total;
  assert.equal(violations(), 1);
  for (const key of await t.bucket.keys()) await t.bucket.delete(key);
  await t.push("ping", ruledPing());
  await until("the other version 1", () => violations() === 0);
});
