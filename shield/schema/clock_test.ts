/** A wall clock that is set changes no age of a schema, and delays no look at one. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { testSpine } from "../testing/spine.ts";
import { ping } from "./testing/schemas.ts";
import { testSchemas } from "./testing/registry.ts";

const HOUR_MS = 3_600_000;
const AGE = 'shield_schema_cache_age_seconds{schema="ping"}';
const LOOKS = 'shield_schema_loads_total{outcome="unchanged"}';

for (const step_ms of [-2 * HOUR_MS, 2 * HOUR_MS]) {
  Deno.test(`a schema is looked at again at its age, though the wall clock is set by ${step_ms} ms`, async () => {
    await using engine = testSpine();
    let ahead_ms = 0;
    const now = () => Date.now() + ahead_ms;
    using t = await testSchemas(engine.spine, { more: { cache_ttl_seconds: 1 }, now });
    await t.push("ping", ping());
    const looks = async () => await t.metric(LOOKS) ?? 0;
    await until("it is looked at", async () => await looks() > 0);
    ahead_ms = step_ms;
    const before = await looks();
    assert.ok((await t.metric(AGE) ?? Infinity) < 60);
    await until("it is looked at again", async () => await looks() > before);
  });
}
