/** Applies over two documents are atomic: with faults at every step, concurrent writers, and a Shield that dies. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { overriding } from "../../shared/testing/overriding.ts";
import { seeded } from "../../shared/testing/seeded.ts";
import { until } from "../../shared/testing/until.ts";
import { withPolicy } from "../policy/chain/chain.ts";
import type { AppliesOptions } from "./applies.ts";
import { limitsOf, type Wanted } from "./decision.ts";
import {
  appliesOn,
  basisOf,
  faulty,
  numbers,
  numbersOf,
  stagedFor,
  startParts,
  wanted,
} from "./testing/world.ts";
import type { Parts } from "./testing/world.ts";

async function limitsThere({ settings }: Parts) {
  return limitsOf((await settings.read("acme")).settings);
}

/** Deploys the policy of number 1, without an apply. */
async function deployOne({ policies }: Parts): Promise<void> {
  const [binding] = wanted(1).policies as [Parameters<typeof withPolicy>[1]];
  const author = { by: "ann", at_ms: 0 };
  await policies.change("acme", (document) => withPolicy(document, binding, author));
}

Deno.test("both documents change in one step, and the same plan is then stale", async () => {
  await using parts = await startParts();
  const applies = appliesOn(parts);
  const basis = await basisOf(applies);
  const { settings, policies } = await applies.apply("acme", basis, wanted(7), "root");
  assert.equal(policies.document.current.change, `apply ${settings.settings.applied?.id}`);
  assert.equal(settings.settings.applied?.policies_version, 1);
  assert.deepEqual(await numbersOf(parts), numbers(7));
  await assert.rejects(applies.apply("acme", basis, wanted(8), "root"), {
    reason: "settings-conflict",
    message: /the plan is stale, nothing was changed: the settings are at version 1, by "root"/,
  });
  assert.deepEqual(await numbersOf(parts), numbers(7));
  const next = await basisOf(applies);
  await deployOne(parts);
  await assert.rejects(applies.apply("acme", next, wanted(8), "root"), {
    reason: "settings-conflict",
    message: /nothing was changed: the policies are at version 2, ".+" by "ann"/,
  });
  assert.deepEqual(await numbersOf(parts), numbers(7, 1));
});

Deno.test("without policies one write is enough; absent kinds are unchanged", async () => {
  await using parts = await startParts();
  const applies = appliesOn(parts);
  await applies.apply("acme", await basisOf(applies), wanted(7), "root");
  const rooms: Wanted["rooms"] = [];
  const { mirror } = wanted(9);
  await applies.apply("acme", await basisOf(applies), { mirror, rooms }, "root");
  assert.deepEqual(await numbersOf(parts), numbers(9, 7));
  assert.deepEqual(await limitsThere(parts), limitsOf(wanted(7)));
  await applies.apply("acme", await basisOf(applies), { quotas: [] }, "root");
  assert.deepEqual(await limitsThere(parts), { ...limitsOf(wanted(7)), quotas: [] });
  assert.equal((await parts.policies.read("acme")).document.current.version, 1);
});

Deno.test("a manual change is refused during an apply, and another Shield finishes the apply", async () => {
  await using parts = await startParts();
  const { settings, policies } = parts;
  const dead = appliesOn(parts, {
    policies: overriding<AppliesOptions["policies"]>(policies, {
      replace: () => Promise.reject(new ArqonError("spine-unavailable", "")),
    }),
  });
  const basis = await basisOf(dead);
  await assert.rejects(dead.apply("acme", basis, wanted(3), "root"), {
    reason: "spine-unavailable",
  });
  await assert.rejects(settings.change("acme", "ann", (all) => ({ ...all, rooms: [] })), {
    reason: "settings-conflict",
    message: /apply [0-9a-f]{32} is under way/,
  });
  await until("it is known", () => settings.get("acme").pending !== undefined);
  const other = appliesOn(parts, {}, true);
  await until("it is finished", () => settings.get("acme").applied !== undefined);
  assert.deepEqual(await numbersOf(parts), numbers(3));
  other.close();
});

Deno.test("a concurrent deployment of a policy wins, and nothing of the apply remains", async () => {
  await using parts = await startParts();
  const { policies } = parts;
  const applies = appliesOn(parts, {
    policies: overriding<AppliesOptions["policies"]>(policies, {
      async replace(...given) {
        await deployOne(parts);
        return await policies.replace(...given);
      },
    }),
  });
  const state = { ...wanted(5), schemas: await stagedFor(parts, 5) };
  await assert.rejects(applies.apply("acme", await basisOf(applies), state, "root"), {
    reason: "settings-conflict",
    message: /nothing was changed: the policies were changed concurrently/,
  });
  assert.deepEqual(await numbersOf(parts), numbers(0, 1));
});

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

/** Rivals with faults in one run, helped by Shields with the same faults; resolves with what the run covered. */
async function rivalsOf(seed: number, has_schemas: boolean): Promise<string> {
  const random = seeded(seed);
  await using parts = await startParts();
  const calm = appliesOn(parts);
  const basis = await basisOf(calm);
  const states = await Promise.all([1, 2, 3].map(async (number) => ({
    ...wanted(number),
    ...(has_schemas && { schemas: await stagedFor(parts, number) }),
  })));
  const shield = () => appliesOn(parts, faulty(parts, random));
  const rivals = states.map((state) => outcome(shield().apply("acme", basis, state, "root")));
  const helpers = [1, 2].map(() => outcome(shield().finish("acme")));
  const outcomes = await Promise.all(rivals);
  await Promise.all(helpers);
  const halfway = (await numbersOf(parts)).pending !== undefined;
  await calm.finish("acme");
  const { rule, ...others } = await numbersOf(parts);
  const about = `seed ${seed}: ${outcomes.join()} rule ${rule} ${JSON.stringify(others)}`;
  const active = has_schemas ? rule : 0;
  const expected = numbers(rule, rule, [active, active]);
  assert.deepEqual({ rule, ...others }, expected, `${about}: nothing is partial`);
  const limits = rule === 0 ? {} : limitsOf(wanted(rule));
  assert.deepEqual(await limitsThere(parts), limits, about);
  assert.ok(outcomes.filter((one) => one === "made").length <= 1, about);
  outcomes.forEach((one, index) => {
    if (one === "made") assert.equal(rule, index + 1, about);
    if (one === "refused") assert.notEqual(rule, index + 1, about);
  });
  const { document: { current } } = await parts.policies.read("acme");
  assert.equal(current.version, rule === 0 ? 0 : 1, `${about}: once`);
  return `${halfway ? "halfway " : ""}${rule === 0 ? "nothing" : "made"}`;
}

for (const has_schemas of [false, true]) {
  const title = has_schemas ? " and only schemas of made applies are active" : "";
  Deno.test(`with faults at any step and concurrent writers, an apply is atomic${title} (125 runs)`, async () => {
    const seen: string[] = [];
    for (let seed = 1; seed <= 125; seed++) seen.push(await rivalsOf(seed, has_schemas));
    // The runs covered every case.
    for (const kind of ["made", "halfway made", "nothing"]) {
      assert.ok(seen.filter((one) => one === kind).length > 3, kind);
    }
  });
}

// Schemas of an apply are active if the apply is made, and never before.

Deno.test("a schema is activated after the decision and before the mappings", async () => {
  await using parts = await startParts();
  const seen: string[] = [];
  const applies = appliesOn(parts, {
    settings: overriding(parts.settings, {
      async replace(tenant, next, revision) {
        seen.push(next.pending === undefined ? "finish" : "prepare");
        return await parts.settings.replace(tenant, next, revision);
      },
    }),
    policies: overriding<AppliesOptions["policies"]>(parts.policies, {
      async replace(...given) {
        assert.deepEqual((await numbersOf(parts)).schemas, [0, 0], "not before it is decided");
        seen.push("decide");
        return await parts.policies.replace(...given);
      },
    }),
    async promote(staged, decided) {
      seen.push(staged.schema_id);
      await parts.promote(staged, decided);
    },
  });
  // An apply with only schemas needs the decision, too.
  const schemas = await stagedFor(parts, 7);
  const { policies } = await applies.apply("acme", await basisOf(applies), { schemas }, "root");
  assert.deepEqual(seen, ["prepare", "decide", "fleet", "ship", "finish"]);
  assert.equal(policies.document.current.version, 1);
  assert.deepEqual((await numbersOf(parts)).schemas, [7, 7]);
});

Deno.test("a Shield without schemas leaves their apply to others; lost bytes block nothing", async () => {
  await using parts = await startParts();
  const { promote: _, ...without } = parts;
  const applies = appliesOn(without);
  const schemas = await stagedFor(parts, 3);
  const basis = await basisOf(applies);
  await assert.rejects(applies.apply("acme", basis, { ...wanted(3), schemas }, "root"), {
    reason: "schema-unavailable",
  });
  assert.notEqual((await numbersOf(parts)).pending, undefined);
  await parts.schemas.forget("ship", schemas[1]!);
  await appliesOn(parts).finish("acme");
  assert.deepEqual(await numbersOf(parts), numbers(3, 3, [3, 0]));
});
