/** The schema check on a real NATS server that goes away and comes back. */
import assert from "node:assert/strict";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { check, testSchemas } from "./testing/registry.ts";
import { BAD_PING, GOOD_PING, ping, UNKNOWN_PING } from "./testing/schemas.ts";

const FAILED = 'shield_schema_loads_total{outcome="failed"}';
const STALE = 'shield_schema_cache_total{outcome="stale"}';

Deno.test("without its server the last known good serves and says so; then it is current again", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 500 });
  const options = {
    mappings: [{ unknown_fields: "refuse" as const }],
    more: { cache_ttl_seconds: 1 },
  };
  using t = await testSchemas(one.spine, options);
  assert.equal(check(t, GOOD_PING), "schema-unavailable");
  await t.push("ping", ping());
  await until("the schema", () => check(t, GOOD_PING) === undefined);
  await server.stop();
  await one.reached("disconnected");
  // Counted from here on: on a slow machine a look may have failed before.
  const failed = await t.metric(FAILED) ?? 0;
  await until("a look", async () => (await t.metric(FAILED) ?? 0) > failed);
  const stale = await t.metric(STALE) ?? 0;
  assert.equal(check(t, GOOD_PING), undefined);
  assert.equal(check(t, BAD_PING), "schema-violation");
  assert.equal(await t.metric(STALE), stale + 2);
  await until(
    "a second since it was confirmed",
    async () => (await t.metric('shield_schema_cache_age_seconds{schema="ping"}') ?? 0) >= 1,
  );
  assert.match(t.lines.join(""), /error=.* schema=ping message=t\.Ping serving="version 1"/);
  await server.start();
  await one.reached("connected");
  await until(
    "a look that succeeds",
    async () => (await t.metric('shield_schema_cache_age_seconds{schema="ping"}') ?? 9) < 1,
  );
  await t.push("ping", ping(["extra", 99, "int32"]));
  await until("a version of afterwards", () => check(t, UNKNOWN_PING) === undefined);
});

Deno.test("a Shield that starts while a schema cannot be read refuses its subjects until it can", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port);
  const bucket = await one.spine.keyValue("ARQON_SCHEMAS_VERSIONS");
  await bucket.put(["ping"], new TextEncoder().encode("damaged"));
  using t = await testSchemas(one.spine);
  assert.equal(check(t, GOOD_PING), "schema-unavailable");
  assert.equal(await t.metric('shield_schema_cache_total{outcome="miss"}'), 1);
  await bucket.delete(["ping"]);
  await t.push("ping", ping());
  await until("the repair", () => check(t, GOOD_PING) === undefined);
});

Deno.test("two nodes on one server come to the same version", async () => {
  await using server = await startNats({ jetstream: true });
  await using left = await watched(server.port);
  await using right = await watched(server.port);
  using one = await testSchemas(left.spine, { mappings: [{ unknown_fields: "refuse" }] });
  using other = await testSchemas(right.spine, { mappings: [{ unknown_fields: "refuse" }] });
  await one.push("ping", ping());
  await until("version 1", () => [one, other].every((t) => check(t, GOOD_PING) === undefined));
  assert.equal(check(other, UNKNOWN_PING), "schema-violation");
  await one.push("ping", ping(["extra", 99, "int32"]));
  await until("version 2", () => [one, other].every((t) => check(t, UNKNOWN_PING) === undefined));
});
