/**
 * Schemas of an apply are active if the apply is made, and never before: with faults at every step, and concurrent
 * writers.
 */
import assert from "node:assert/strict";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { StagedSchema } from "../../shared/records/bus_schemas.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { seeded } from "../../shared/testing/seeded.ts";
import { withPolicy } from "../policy/chain/chain.ts";
import { openPolicyStore } from "../policy/chain/store.ts";
import { promote } from "../schema/registry/register.ts";
import { latestOf, openSchemaStore, sha256Of } from "../schema/registry/store.ts";
import { openSettings } from "../settings/settings.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { Applies, type AppliesOptions } from "./applies.ts";
import { faultyBy } from "./testing/faulty.ts";
import { wanted } from "./testing/wanted.ts";

const IDS = ["fleet", "ship"];
const RUNS = 100;

async function partsOn(spine: Spine) {
  const registry = createMetrics({ node_id: "s", version: "0" });
  const { log } = keptLog();
  const settings = await openSettings({ spine, log, registry, now: () => SPINE_NOW_MS });
  await settings.ready;
  const schemas = await openSchemaStore(spine, "ARQON_SCHEMAS");
  const promoting: Required<Pick<AppliesOptions, "promote">> = {
    promote: (staged, decided) => promote(schemas, staged, { ...decided, versions_max: 1_000 }),
  };
  return { settings, policies: await openPolicyStore(spine), schemas, ...promoting };
}
type Parts = Awaited<ReturnType<typeof partsOn>>;
type Acting = Pick<AppliesOptions, "policies" | "promote"> & {
  readonly settings: Pick<AppliesOptions["settings"], "read" | "replace">;
};

function appliesOn({ settings, policies, promote }: Acting, { settings: known }: Parts): Applies {
  return new Applies({
    settings: {
      read: (tenant) => settings.read(tenant),
      replace: (...given) => settings.replace(...given),
      get: (tenant) => known.get(tenant),
      onChange: () => () => {},
    },
    policies: {
      read: (tenant) => policies.read(tenant),
      replace: (...given) => policies.replace(...given),
    },
    ...(promote === undefined ? {} : { promote }),
    log: keptLog().log,
    now: () => SPINE_NOW_MS,
    random: (size_bytes) => crypto.getRandomValues(new Uint8Array(size_bytes)),
  });
}

/**
 * Versions that belong to a number, stored but not active. Their bytes are not valid descriptors, as these tests do not
 * read them.
 */
async function stagedFor({ schemas }: Parts, number: number): Promise<StagedSchema[]> {
  return await Promise.all(IDS.map(async (schema_id) => {
    const bytes = new TextEncoder().encode(`${schema_id} ${number}`);
    const staged = { schema_id, version: 1, sha256: sha256Of(bytes) };
    await schemas.stage(schema_id, staged, bytes);
    return staged;
  }));
}

/** The active numbers of each schema (0: none), of the rule and of the policy. */
async function numbersOf({ schemas, settings, policies }: Parts) {
  const of_schemas = await Promise.all(IDS.map(async (schema_id) => {
    const stored = await schemas.read(schema_id);
    if (stored === undefined) return 0;
    assert.equal(stored.head.versions.length, 1, "once");
    const text = new TextDecoder().decode(await schemas.bytes(schema_id, latestOf(stored.head)));
    return Number(text.split(" ")[1]);
  }));
  const { settings: { mirror, pending } } = await settings.read("acme");
  const { document: { current } } = await policies.read("acme");
  const rule = Math.round((mirror.rules[0]?.percent ?? 0) * 1_000);
  return { schemas: of_schemas, rule, policy: current.policies[0]?.order ?? 0, pending };
}

const basisOf = async (applies: Applies) => {
  const { settings, policies } = await applies.read("acme");
  return { settings: settings.revision, policies: policies.revision };
};

Deno.test("a schema is activated after the decision and before the mappings; never if the apply loses", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const seen: string[] = [];
  const watched: Acting = {
    settings: {
      read: (tenant) => parts.settings.read(tenant),
      async replace(tenant, next, revision) {
        seen.push(next.pending === undefined ? "finish" : "prepare");
        return await parts.settings.replace(tenant, next, revision);
      },
    },
    policies: {
      read: (tenant) => parts.policies.read(tenant),
      async replace(...given) {
        assert.deepEqual((await numbersOf(parts)).schemas, [0, 0], "not before it is decided");
        seen.push("decide");
        return await parts.policies.replace(...given);
      },
    },
    async promote(staged, decided) {
      seen.push(staged.schema_id);
      await parts.promote(staged, decided);
    },
  };
  const applies = appliesOn(watched, parts);
  // An apply with only schemas needs the decision, too.
  const schemas = await stagedFor(parts, 7);
  const { policies } = await applies.apply("acme", await basisOf(applies), { schemas }, "root");
  assert.deepEqual(seen, ["prepare", "decide", "fleet", "ship", "finish"]);
  assert.deepEqual([policies.document.current.version, (await numbersOf(parts)).schemas], [
    1,
    [7, 7],
  ]);
  parts.settings.close();
});

Deno.test("a concurrent deployment of a policy keeps the schemas inactive", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const [binding] = wanted(1).policies as [Parameters<typeof withPolicy>[1]];
  const applies = appliesOn({
    ...parts,
    policies: {
      read: (tenant) => parts.policies.read(tenant),
      async replace(...given) {
        const author = { by: "ann", at_ms: 0 };
        await parts.policies.change("acme", (document) => withPolicy(document, binding, author));
        return await parts.policies.replace(...given);
      },
    },
  }, parts);
  const schemas = await stagedFor(parts, 5);
  const refused = applies.apply("acme", await basisOf(applies), { ...wanted(5), schemas }, "root");
  await assert.rejects(refused, { reason: "settings-conflict" });
  const expected = { schemas: [0, 0], rule: 0, policy: 1, pending: undefined };
  assert.deepEqual(await numbersOf(parts), expected);
  parts.settings.close();
});

Deno.test("a Shield without schemas leaves their apply to others; lost bytes block nothing", async () => {
  await using engine = testSpine();
  const parts = await partsOn(engine.spine);
  const { promote: _, ...without } = parts;
  const applies = appliesOn(without, parts);
  const schemas = await stagedFor(parts, 3);
  const basis = await basisOf(applies);
  await assert.rejects(applies.apply("acme", basis, { ...wanted(3), schemas }, "root"), {
    reason: "schema-unavailable",
  });
  assert.notEqual((await numbersOf(parts)).pending, undefined);
  await parts.schemas.forget("ship", schemas[1]!);
  await appliesOn(parts, parts).finish("acme");
  const expected = { schemas: [3, 0], rule: 3, policy: 3, pending: undefined };
  assert.deepEqual(await numbersOf(parts), expected);
  parts.settings.close();
});

/** The same parts, with calls that may fail before they are made, or lose their answer. */
function faulty({ settings, policies, promote }: Parts, random: () => number): Acting {
  const wrap = faultyBy(random);
  return {
    settings: {
      read: wrap((tenant: string) => settings.read(tenant)),
      replace: wrap((...given: Parameters<Parts["settings"]["replace"]>) =>
        settings.replace(...given)
      ),
    },
    policies: {
      read: wrap((tenant: string) => policies.read(tenant)),
      replace: wrap((...given: Parameters<Parts["policies"]["replace"]>) =>
        policies.replace(...given)
      ),
    },
    promote: wrap((...given: Parameters<Parts["promote"]>) => promote(...given)),
  };
}

Deno.test(`with faults at any step and concurrent writers, only schemas of made applies are active (${RUNS} runs)`, async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = seeded(seed);
    await using engine = testSpine();
    const parts = await partsOn(engine.spine);
    const calm = appliesOn(parts, parts);
    const basis = await basisOf(calm);
    const rivals = await Promise.all([1, 2].map((number) => stagedFor(parts, number)));
    const made = rivals.map((schemas, at) => {
      const applies = appliesOn(faulty(parts, random), parts);
      return applies.apply("acme", basis, { ...wanted(at + 1), schemas }, "root");
    });
    const helpers = [1, 2].map(() => appliesOn(faulty(parts, random), parts).finish("acme"));
    await Promise.allSettled([...made, ...helpers]);
    const halfway = (await numbersOf(parts)).pending !== undefined;
    await calm.finish("acme");
    const { schemas, rule, policy, pending } = await numbersOf(parts);
    const about = `seed ${seed}: schemas ${schemas} rule ${rule} policy ${policy}`;
    assert.equal(pending, undefined, about);
    assert.deepEqual([...schemas, policy], [rule, rule, rule], `${about}: nothing is partial`);
    const kind = `${halfway ? "halfway " : ""}${rule === 0 ? "nothing" : "made"}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    parts.settings.close();
  }
  // The runs covered every case.
  for (const kind of ["made", "halfway made", "nothing"]) {
    assert.ok((seen.get(kind) ?? 0) > 3, `${kind}: ${JSON.stringify([...seen])}`);
  }
});
