/** Puts of other tools that several Shields see, with a Shield that dies in between, or that puts as well. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { KeyValue } from "../../../shared/spine/contract/spine.ts";
import { until } from "../../../shared/testing/until.ts";
import { SchemaStore, sha256Of } from "./store.ts";
import { register } from "./register.ts";
import { SetWorker } from "./set_work.ts";
import { type BucketTool, natsStage, onBoth, type ToolStage } from "../testing/bucket_tool.ts";
import { type TestSchemas, testSchemas } from "../testing/registry.ts";
import { incompatiblePing, ping } from "../testing/schemas.ts";
import { overriding } from "../../../shared/testing/overriding.ts";

const ID = "v1.events.user_created";
const MAPPED = { mappings: [{ schema_id: ID }] };
const OUTCOMES = ["registered", "refused", "restored"] as const;

const numbers = async ({ store }: TestSchemas): Promise<number[]> =>
  (await store.read(ID))?.head.versions.map(({ version }) => version) ?? [];

/** The sum of an outcome over all of them. */
async function counted(all: readonly TestSchemas[], outcome: typeof OUTCOMES[number]) {
  const counts = await Promise.all(
    all.map((t) => t.metric(`shield_schema_puts_total{outcome="${outcome}"}`)),
  );
  return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}

const compatibilityIs = ({ store }: TestSchemas, compatibility: "NONE" | "BACKWARD") =>
  store.change(
    ID,
    ({ stored }) => Promise.resolve(stored && { head: { ...stored.head, compatibility } }),
  );

async function inAll(
  stage: ToolStage,
  count: number,
  run: (all: readonly TestSchemas[]) => Promise<void>,
): Promise<void> {
  using stack = new DisposableStack();
  const all: TestSchemas[] = [];
  for (let at = 0; at < count; at++) {
    const spine = at === 0 ? stage.spine : await stage.connect();
    all.push(stack.use(await testSchemas(spine, MAPPED)));
  }
  await run(all);
}

Deno.test("one of five Shields registers a put, one refuses a put, and all of them know it", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await inAll(stage, 5, async (all) => {
    const [first] = all;
    assert.ok(first);
    const sets = Array.from({ length: 6 }, (_, at) => ping([`f${at}`, 50 + at, "int32"]));
    for (const [at, set] of sets.entries()) {
      // The mode includes the previous version: no check may miss a removed field.
      await compatibilityIs(first, "NONE");
      await tool.put(ID, set);
      await until(`version ${at + 1}`, async () => (await numbers(first)).at(-1) === at + 1);
    }
    assert.deepEqual(await numbers(first), [1, 2, 3, 4, 5, 6], "each once");
    assert.ok(await first.store.read(ID));
    await compatibilityIs(first, "BACKWARD");
    await tool.put(ID, incompatiblePing());
    for (const t of all) {
      await until("the refusal", async () => await t.metric("shield_schema_refused") === 1);
      assert.equal(t.lines.filter((line) => line.includes("is refused")).length, 1, "logged once");
    }
    await until("the last known good", async () => await counted(all, "restored") === 1);
    assert.equal(await counted(all, "refused"), 1);
    assert.equal(await counted(all, "registered"), 6);
    assert.deepEqual(await numbers(first), [1, 2, 3, 4, 5, 6]);
  });
});

const { work } = new SetWorker();

/** A bucket whose process dies just before it writes. */
function dying(bucket: KeyValue): KeyValue {
  const killed = () => Promise.reject(new ArqonError("spine-unavailable", "killed"));
  return overriding(bucket, { put: killed, update: killed, replace: killed, delete: killed });
}

const BASE = { schema_id: ID, by: "ops", now_ms: 1, versions_max: 10 };
const SECOND = ping(["extra", 9, "int32"]);

/** The parts of a bucket that no Shield serves; `halfway` dies before it writes a set. */
async function partsOf(stage: ToolStage, tool: BucketTool) {
  const versions = await stage.spine.keyValue("ARQON_SCHEMAS_VERSIONS");
  const sets = await stage.spine.keyValue("ARQON_SCHEMAS", { plain: true });
  const store = new SchemaStore(versions, sets);
  return { stage, tool, versions, sets, store, halfway: new SchemaStore(versions, dying(sets)) };
}

const onBucket = (
  what: string,
  run: (parts: Awaited<ReturnType<typeof partsOf>>) => Promise<void>,
) => onBoth(what, async (...stage) => await run(await partsOf(...stage)));

/** A tool puts the first set, which a Shield registers before it ends. */
async function firstOf(stage: ToolStage, tool: BucketTool): Promise<void> {
  using t = await testSchemas(stage.spine, MAPPED);
  await tool.put(ID, ping());
  await until("version 1", async () => (await numbers(t)).length === 1);
}

/** A Shield that starts now finds the second version in force, and an older set put then is intended. */
async function requireSecond(stage: ToolStage, tool: BucketTool): Promise<void> {
  using t = await testSchemas(stage.spine, MAPPED);
  assert.deepEqual(await tool.get(ID), new Uint8Array(SECOND));
  assert.deepEqual(await numbers(t), [1, 2]);
  await tool.put(ID, ping());
  await until("an intended put of a tool", async () => (await numbers(t)).length === 3);
}

onBucket(
  "an interrupted registration is completed at the next start, and at once on other Shields",
  async (parts) => {
    const { stage, tool, halfway } = parts;
    await assert.rejects(register({ store: halfway, work }, { ...BASE, bytes: ping() }), /killed/);
    assert.equal(await tool.get(ID), undefined);
    using t = await testSchemas(stage.spine, MAPPED);
    assert.deepEqual(await tool.get(ID), new Uint8Array(ping()), "before it is ready");
    await assert.rejects(register({ store: halfway, work }, { ...BASE, bytes: SECOND }), /killed/);
    await until("the repair", async () => (await tool.get(ID))?.length === SECOND.length);
    assert.deepEqual(await tool.get(ID), new Uint8Array(SECOND));
    assert.deepEqual(await numbers(t), [1, 2], "no Shield took it for another tool's");
    assert.equal(await counted([t], "registered") + await counted([t], "refused"), 0);
    await until("both repairs", async () => await counted([t], "restored") === 2);
  },
);

onBucket(
  "a Shield that restores the previous version too late is not taken for a tool",
  async (parts) => {
    const { stage, tool, halfway } = parts;
    await firstOf(stage, tool);
    await tool.put(ID, new TextEncoder().encode("garbage"));
    const { set } = await halfway.standing(ID);
    assert.ok(set);
    const { revision, sha256 } = set;
    const refused = { revision, sha256, size_bytes: 7, refused_ms: 1, problem: "no set" };
    await halfway.refuse(ID, { format: 1, ...refused, serving: 1 });
    const forced = { ...BASE, bytes: SECOND, compatibility: "NONE" as const };
    await assert.rejects(register({ store: halfway, work }, forced), /killed/);
    // A Shield that has read the history before that registration.
    await tool.put(ID, ping());
    await requireSecond(stage, tool);
  },
);

onBucket(
  "nor is one that restores it over an unjudged put that a registration found",
  async (parts) => {
    const { stage, tool, store } = parts;
    await firstOf(stage, tool);
    await tool.put(ID, new TextEncoder().encode("garbage"));
    const { last } = await store.standing(ID);
    await register({ store, work }, { ...BASE, bytes: SECOND, compatibility: "NONE" });
    // A Shield that has refused the put, and has read the history before that registration.
    await store.putBack(ID, last, ping());
    await requireSecond(stage, tool);
  },
);

onBucket(
  "a Shield that found no set puts none back after others have put one and deleted it",
  async (parts) => {
    const { tool, store } = parts;
    await register({ store, work }, { ...BASE, bytes: ping() });
    await tool.delete(ID);
    const { last } = await store.standing(ID);
    await register({ store, work }, { ...BASE, bytes: SECOND });
    await tool.delete(ID);
    assert.equal(await store.putBack(ID, last, ping()), undefined);
    assert.equal(await tool.get(ID), undefined);
  },
);

onBucket(
  "what is stored of a schema is read as of one moment",
  async ({ versions, sets, store }) => {
    await register({ store, work }, { ...BASE, bytes: ping() });
    let is_first = true;
    const slow = overriding(sets, {
      async last(key) {
        if (is_first) {
          is_first = false;
          await register({ store, work }, { ...BASE, bytes: SECOND });
        }
        return await sets.last(key);
      },
    });
    const { stored, set } = await new SchemaStore(versions, slow).standing(ID);
    assert.deepEqual([stored?.head.versions.length, set?.sha256], [2, sha256Of(SECOND)]);
  },
);

onBoth("a concurrent put and registration are both kept, in either order", async (stage, tool) => {
  await inAll(stage, 2, async (all) => {
    const [one, other] = all;
    assert.ok(one && other);
    await one.push(ID, ping());
    for (let round = 0; round < 5; round++) {
      const before = (await numbers(one)).length;
      const theirs = ping([`theirs${round}`, 100 + round, "int32"]);
      const ours = ping([`ours${round}`, 200 + round, "int32"]);
      await Promise.all([tool.put(ID, theirs), other.push(ID, ours)]);
      await until("both", async () => (await numbers(one)).length === before + 2);
      const last = (await one.store.require(ID)).head.versions.at(-1);
      assert.ok(last);
      const bytes = await one.store.bytes(ID, last);
      const isCurrent = async () => Buffer.from(await tool.get(ID) ?? []).equals(bytes);
      await until("the key to be the current set", isCurrent);
    }
    assert.deepEqual(await numbers(one), Array.from({ length: 11 }, (_, at) => at + 1));
  });
});

Deno.test("with any concurrency of Shields and tools, each registration is stored once and the key has the last one", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  await inAll(stage, 3, async (all) => {
    const [first] = all;
    assert.ok(first);
    await first.push(ID, ping());
    const pushed = new Set([sha256Of(ping())]);
    const put = new Set<string>();
    for (let round = 0; round < 12; round++) {
      const ours = all.map((_, at) => ping([`ours${round}_${at}`, 100 + at, "int32"]));
      const theirs = ping([`theirs${round}`, 200, "int32"]);
      for (const set of ours) pushed.add(sha256Of(set));
      put.add(sha256Of(theirs));
      const kinds = [
        () => tool.put(ID, theirs),
        () => tool.put(ID, new TextEncoder().encode(`garbage ${round}`)),
        () => tool.delete(ID),
      ];
      await Promise.all([
        ...all.map((t, at) => t.push(ID, ours[at] ?? ping())),
        ...kinds.slice(0, 1 + round % kinds.length).map((act) => act()),
      ]);
    }
    let last = "";
    await until("the key to be the newest version", async () => {
      const { head } = await first.store.require(ID);
      const latest = head.versions.at(-1)?.sha256 ?? "";
      const found = sha256Of(await tool.get(ID) ?? new Uint8Array(0));
      // Until the history settles it, an older version may be one that a Shield puts late.
      const is_settled = (head.judged?.floor ?? 0) >= (head.versions.at(-1)?.version ?? 0);
      const is_quiet = is_settled && found === latest && last === latest;
      last = latest;
      await new Promise((resolve) => setTimeout(resolve, is_quiet ? 400 : 50));
      return is_quiet && sha256Of(await tool.get(ID) ?? new Uint8Array(0)) === latest;
    });
    const { versions } = (await first.store.require(ID)).head;
    const shas = versions.map(({ sha256 }) => sha256);
    assert.equal(new Set(shas).size, shas.length, "no version twice");
    assert.deepEqual(versions.map(({ version }) => version), shas.map((_, at) => at + 1));
    for (const sha256 of pushed) assert.ok(shas.includes(sha256), "no registration is lost");
    for (const sha256 of shas) assert.ok(pushed.has(sha256) || put.has(sha256));
    const [older] = versions.slice(-2);
    assert.ok(older);
    await tool.put(ID, await first.store.bytes(ID, older));
    const wanted = [shas.length + 1, older.sha256];
    await until("an older set, put on purpose", async () => {
      const latest = (await first.store.require(ID)).head.versions.at(-1);
      return latest?.version === wanted[0] && latest?.sha256 === wanted[1];
    });
  });
});

Deno.test("a silently purged set is restored", async () => {
  await using stage = await natsStage();
  const tool = await stage.tool();
  using t = await testSchemas(stage.spine, { ...MAPPED, more: { cache_ttl_seconds: 1 } });
  await tool.put(ID, ping());
  await until("version 1", async () => (await numbers(t)).length === 1);
  await stage.purgeStream?.("KV_ARQON_SCHEMAS");
  await until("the set", async () => (await tool.keys()).length === 1);
  assert.deepEqual(await tool.get(ID), new Uint8Array(ping()));
  assert.deepEqual(await numbers(t), [1]);
});
