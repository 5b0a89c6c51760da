/** Schemas of the bus are activated all or none: with a Shield that dies at every step, and with concurrent writers. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { BUS_KEY, type StagedSchema } from "../../shared/records/bus_schemas.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { ping } from "../schema/testing/schemas.ts";
import { promote, register, stage, stagedBytes } from "../schema/registry/register.ts";
import { SetWorker } from "../schema/registry/set_work.ts";
import { openSchemaStore } from "../schema/registry/store.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { BusApplies } from "./bus_applies.ts";

const IDS = ["fleet", "ship", "train"];

async function partsOn(spine: Spine) {
  const bucket = await spine.keyValue(TENANTS_BUCKET);
  const store = await openSchemaStore(spine, "ARQON_SCHEMAS");
  const { work } = new SetWorker();
  return {
    bucket,
    store,
    /** Stores the next version of each, with a field of that name. */
    staged: async (name: string): Promise<StagedSchema[]> => {
      const all = [];
      for (const schema_id of IDS) {
        const bytes = ping([name, 50 + name.length, "int32"]);
        const request = { schema_id, bytes, compatibility: "NONE" as const };
        const { version, sha256 } = await stage({ store, work }, request);
        all.push({ schema_id, version, sha256 });
      }
      return all;
    },
    registered: async (schema_id: string, name: string) => {
      const bytes = ping([name, 90, "int32"]);
      const by = { by: "hand", now_ms: 1, versions_max: 10, compatibility: "NONE" as const };
      await register({ store, work }, { schema_id, bytes, ...by });
    },
    /** The applies that activated the versions of each schema. */
    applied: async () => {
      const of = IDS.map(async (id) => (await store.read(id))?.head.versions ?? []);
      return (await Promise.all(of)).map((all) => all.map(({ apply }) => apply ?? "hand"));
    },
  };
}
type Parts = Awaited<ReturnType<typeof partsOn>>;

/** Applies of one Shield; `onStep` runs before each read or write, and may refuse it. */
function shieldOn({ bucket, store }: Parts, watches: boolean, onStep = () => {}): BusApplies {
  const idle = { ready: Promise.resolve(), stop: () => {} };
  return new BusApplies({
    bucket: {
      get: async (key) => (onStep(), await bucket.get(key)),
      update: async (...given) => (onStep(), await bucket.update(...given)),
      watch: (...given) => watches ? bucket.watch(...given) : idle,
    },
    async promote(schema, decided) {
      onStep();
      await promote(store, schema, { ...decided, versions_max: 10 });
    },
    async requireStaged(all) {
      for (const one of all) await stagedBytes(store, one);
    },
    log: keptLog().log,
    now: () => SPINE_NOW_MS,
    random: (size_bytes) => crypto.getRandomValues(new Uint8Array(size_bytes)),
  });
}

/** An apply has activated a version of all schemas, or of none. */
function requireWhole(applied: readonly (readonly string[])[]): void {
  assert.equal(new Set(applied.map((versions) => versions.join())).size, 1, applied.join(" | "));
}

Deno.test("schemas of the bus are activated together, each once", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const one = shieldOn(parts, false);
  const first = await one.apply(await parts.staged("a"), "root");
  const second = await one.apply(await parts.staged("bb"), "root");
  assert.deepEqual(await parts.applied(), IDS.map(() => [first, second]));
  one.close();
});

Deno.test("a Shield that dies at any step leaves the whole apply to another one, or nothing", async () => {
  let made = 0;
  let kept = 0;
  for (let step = 1; step <= 9; step++) {
    await using engine = testSpine();
    const parts = await partsOn(engine.spine);
    const other = shieldOn(parts, true);
    let steps = 0;
    const dying = shieldOn(parts, false, () => {
      if (++steps >= step) throw new ArqonError("spine-unavailable", "it is dead");
    });
    const outcome = await dying.apply(await parts.staged("a"), "root").catch((error) => error);
    dying.close();
    const is_decided = await parts.bucket.get(BUS_KEY) !== undefined;
    if (is_decided) {
      await until("another one finishes it", async () => {
        const entry = await parts.bucket.get(BUS_KEY);
        return !new TextDecoder().decode(entry!.value).includes("pending_schemas");
      });
    }
    const applied = await parts.applied();
    requireWhole(applied);
    assert.equal(applied[0]!.length, is_decided ? 1 : 0, `step ${step}`);
    if (typeof outcome !== "string") assert.equal(outcome.reason, "spine-unavailable");
    if (is_decided) made++;
    else kept++;
    other.close();
  }
  assert.ok(made >= 4 && kept >= 2, `${made} made, ${kept} kept`);
});

Deno.test("one of several concurrent applies is made, and a plan is stale after a manual registration", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const shields = [1, 2, 3].map(() => shieldOn(parts, true));
  const plans: StagedSchema[][] = [];
  for (const name of ["a", "bb", "ccc"]) plans.push(await parts.staged(name));
  const outcomes = await Promise.all(
    shields.map((shield, at) => shield.apply(plans[at]!, "root").catch((error) => error)),
  );
  assert.equal(outcomes.filter((one) => typeof one === "string").length, 1, outcomes.join());
  for (const one of outcomes) {
    if (typeof one !== "string") assert.equal(one.reason, "settings-conflict", String(one));
  }
  requireWhole(await parts.applied());
  const late = await parts.staged("dddd");
  await parts.registered("ship", "hand");
  await assert.rejects(shields[0]!.apply(late, "root"), {
    reason: "settings-conflict",
    message: /nothing was changed: schema ship is at version 2/,
  });
  assert.deepEqual((await parts.applied()).map(({ length }) => length), [1, 2, 1]);
  for (const shield of shields) shield.close();
});

Deno.test("an unreadable document of the bus is not overwritten", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const one = shieldOn(parts, false);
  await parts.bucket.put(BUS_KEY, new TextEncoder().encode('{"format":2}'));
  await assert.rejects(one.apply(await parts.staged("a"), "root"), {
    reason: "settings-conflict",
    message: /the stored document of the bus cannot be read: .*format/,
  });
  one.close();
});
