/** Applies over two documents are atomic: with faults at every step, concurrent writers, and a Shield that dies. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { seeded } from "../../shared/testing/seeded.ts";
import { until } from "../../shared/testing/until.ts";
import { withPolicy } from "../policy/chain/chain.ts";
import { openPolicyStore, type PolicyStore } from "../policy/chain/store.ts";
import { openSettings, type Settings } from "../settings/settings.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { Applies, type AppliesOptions } from "./applies.ts";
import { limitsOf, type Wanted } from "./decision.ts";
import { faultyBy } from "./testing/faulty.ts";
import { wanted } from "./testing/wanted.ts";

const bytes = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));

async function storesOn(spine: Spine) {
  const registry = createMetrics({ node_id: "s", version: "0" });
  const settings = await openSettings({
    spine,
    log: keptLog().log,
    registry,
    now: () => SPINE_NOW_MS,
  });
  await settings.ready;
  return { settings, policies: await openPolicyStore(spine) };
}

type Stores = { readonly settings: Settings; readonly policies: PolicyStore };

/** Applies on these stores, which do not watch unless `watches` says so. */
function appliesOn(
  stores: Pick<AppliesOptions, "settings" | "policies">,
  watches = false,
): Applies {
  const settings = watches ? stores.settings : {
    read: (tenant: string) => stores.settings.read(tenant),
    replace: (...given: Parameters<Settings["replace"]>) => stores.settings.replace(...given),
    get: (tenant: string) => stores.settings.get(tenant),
    onChange: () => () => {},
  };
  const now = () => SPINE_NOW_MS;
  return new Applies({ ...stores, settings, log: keptLog().log, now, random: bytes });
}

async function numbersOf({ settings, policies }: Stores) {
  const { settings: { mirror, pending } } = await settings.read("acme");
  const { document: { current } } = await policies.read("acme");
  return {
    rule: Math.round((mirror.rules[0]?.percent ?? 0) * 1_000),
    policy: current.policies[0]?.order ?? 0,
    pending,
  };
}

async function limitsThere({ settings }: Stores) {
  return limitsOf((await settings.read("acme")).settings);
}

const basisOf = async (applies: Applies) => {
  const { settings, policies } = await applies.read("acme");
  return { settings: settings.revision, policies: policies.revision };
};

Deno.test("both documents change in one step, and the same plan is then stale", async () => {
  await using engine = testSpine();
  const stores = await storesOn(engine.spine);
  const applies = appliesOn(stores);
  const basis = await basisOf(applies);
  const { settings, policies } = await applies.apply("acme", basis, wanted(7), "root");
  assert.equal(policies.document.current.change, `apply ${settings.settings.applied?.id}`);
  assert.equal(settings.settings.applied?.policies_version, 1);
  assert.deepEqual(await numbersOf(stores), { rule: 7, policy: 7, pending: undefined });
  await assert.rejects(applies.apply("acme", basis, wanted(8), "root"), {
    reason: "settings-conflict",
    message: /the plan is stale, nothing was changed: the settings are at version 1, by "root"/,
  });
  assert.deepEqual(await numbersOf(stores), { rule: 7, policy: 7, pending: undefined });
  stores.settings.close();
});

Deno.test("without policies one write is enough; absent kinds are unchanged", async () => {
  await using engine = testSpine();
  const stores = await storesOn(engine.spine);
  const applies = appliesOn(stores);
  await applies.apply("acme", await basisOf(applies), wanted(7), "root");
  const rooms: Wanted["rooms"] = [];
  const { mirror } = wanted(9);
  await applies.apply("acme", await basisOf(applies), { mirror, rooms }, "root");
  assert.deepEqual(await numbersOf(stores), { rule: 9, policy: 7, pending: undefined });
  assert.deepEqual(await limitsThere(stores), limitsOf(wanted(7)));
  await applies.apply("acme", await basisOf(applies), { quotas: [] }, "root");
  assert.deepEqual(await limitsThere(stores), { ...limitsOf(wanted(7)), quotas: [] });
  assert.equal((await stores.policies.read("acme")).document.current.version, 1);
  stores.settings.close();
});

Deno.test("a manual change is refused during an apply, and another Shield finishes the apply", async () => {
  await using engine = testSpine();
  const stores = await storesOn(engine.spine);
  const dead = appliesOn({
    settings: stores.settings,
    policies: {
      read: (tenant) => stores.policies.read(tenant),
      replace: () => Promise.reject(new ArqonError("spine-unavailable", "")),
    },
  });
  const basis = await basisOf(dead);
  await assert.rejects(dead.apply("acme", basis, wanted(3), "root"), {
    reason: "spine-unavailable",
  });
  await assert.rejects(stores.settings.change("acme", "ann", (all) => ({ ...all, rooms: [] })), {
    reason: "settings-conflict",
    message: /apply [0-9a-f]{32} is under way/,
  });
  await until("it is known", () => stores.settings.get("acme").pending !== undefined);
  const other = appliesOn(stores, true);
  await until("it is finished", () => stores.settings.get("acme").applied !== undefined);
  assert.deepEqual(await numbersOf(stores), { rule: 3, policy: 3, pending: undefined });
  other.close();
  stores.settings.close();
});

Deno.test("a concurrent deployment of a policy wins, and nothing of the apply remains", async () => {
  await using engine = testSpine();
  const stores = await storesOn(engine.spine);
  const author = { by: "ann", at_ms: 0 };
  const [binding] = wanted(1).policies as [Parameters<typeof withPolicy>[1]];
  const applies = appliesOn({
    settings: stores.settings,
    policies: {
      read: (tenant) => stores.policies.read(tenant),
      async replace(...given) {
        await stores.policies.change("acme", (document) => withPolicy(document, binding, author));
        return await stores.policies.replace(...given);
      },
    },
  });
  await assert.rejects(applies.apply("acme", await basisOf(applies), wanted(5), "root"), {
    reason: "settings-conflict",
    message: /nothing was changed: the policies were changed concurrently/,
  });
  assert.deepEqual(await numbersOf(stores), { rule: 0, policy: 1, pending: undefined });
  stores.settings.close();
});

/** Stores whose every call may be slow, fail before it is made, or lose its answer. */
function faulty({ settings, policies }: Stores, random: () => number) {
  const wrap = faultyBy(random);
  return {
    settings: {
      read: wrap((tenant: string) => settings.read(tenant)),
      replace: wrap((...given: Parameters<Settings["replace"]>) => settings.replace(...given)),
      onChange: () => () => {},
      get: (tenant: string) => settings.get(tenant),
    },
    policies: {
      read: wrap((tenant: string) => policies.read(tenant)),
      replace: wrap((...given: Parameters<PolicyStore["replace"]>) => policies.replace(...given)),
    },
  };
}

type Outcome = "made" | "refused" | "unknown";

async function outcome(made: Promise<unknown>): Promise<Outcome> {
  try {
    await made;
    return "made";
  } catch (error) {
    assert.ok(error instanceof ArqonError, String(error));
    return error.reason === "settings-conflict" ? "refused" : "unknown";
  }
}

Deno.test("with faults at any step and concurrent writers, an apply is atomic (150 runs)", async () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 150; seed++) {
    const random = seeded(seed);
    await using engine = testSpine();
    const stores = await storesOn(engine.spine);
    const calm = appliesOn(stores);
    const basis = await basisOf(calm);
    const rivals = [1, 2, 3].map((number) =>
      outcome(appliesOn(faulty(stores, random)).apply("acme", basis, wanted(number), "root"))
    );
    // Other Shields help, with the same faults.
    const helpers = [1, 2].map(() => outcome(appliesOn(faulty(stores, random)).finish("acme")));
    const outcomes = await Promise.all(rivals);
    await Promise.all(helpers);
    const halfway = (await numbersOf(stores)).pending !== undefined;
    await calm.finish("acme");
    const { rule, policy, pending } = await numbersOf(stores);
    const about = `seed ${seed}: ${outcomes.join()} rule ${rule} policy ${policy}`;
    assert.equal(pending, undefined, about);
    assert.equal(rule, policy, `${about}: nothing is partial`);
    const limits = rule === 0 ? {} : limitsOf(wanted(rule));
    assert.deepEqual(await limitsThere(stores), limits, about);
    assert.ok(outcomes.filter((one) => one === "made").length <= 1, about);
    outcomes.forEach((one, index) => {
      if (one === "made") assert.equal(rule, index + 1, about);
      if (one === "refused") assert.notEqual(rule, index + 1, about);
    });
    const { document: { current } } = await stores.policies.read("acme");
    assert.equal(current.version, rule === 0 ? 0 : 1, `${about}: once`);
    const kind = `${halfway ? "halfway " : ""}${rule === 0 ? "nothing" : "made"}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    stores.settings.close();
  }
  // The runs covered every case.
  for (const kind of ["made", "halfway made", "nothing"]) {
    assert.ok((seen.get(kind) ?? 0) > 5, kind);
  }
});
