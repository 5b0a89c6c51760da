/** Schemas of an apply are active if the apply is made, and never before; `applies_test.ts` has them with faults. */
import assert from "node:assert/strict";
import { overriding } from "../../shared/testing/overriding.ts";
import type { AppliesOptions } from "./applies.ts";
import { appliesOn, basisOf, numbers, numbersOf, stagedFor, startParts } from "./testing/world.ts";
import { wanted } from "./testing/world.ts";

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
