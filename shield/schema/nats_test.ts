/** The schema check on a real NATS server that disconnects and reconnects. */
import assert from "node:assert/strict";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { check, testSchemas } from "./testing/registry.ts";
import { BAD_PING, GOOD_PING, ping, UNKNOWN_PING } from "./testing/schemas.ts";

const FAILED = 'shield_schema_loads_total{outcome="failed"}';
const STALE = 'shield_schema_cache_total{outcome="stale"}';

Deno.test("without the server the last known good version is used and reported; afterwards it is current again", async () => {
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
  // Counted from here on: on a slow machine a check may have failed before.
  const failed = await t.metric(FAILED) ?? 0;
  await until("a look", async () => (await t.metric(FAILED) ?? 0) > failed);
  const stale = await t.metric(STALE) ?? 0;
  assert.equal(check(t, GOOD_PING), undefined);
  assert.equal(check(t, BAD_PING), "schema-violation");
  assert.equal(await t.metric(STALE), stale + 2);
  await until(
    "one second since the confirmation",
    async () => (await t.metric('shield_schema_cache_age_seconds{schema="ping"}') ?? 0) >= 1,
  );
  assert.match(t.lines.join(""), /error=.* schema=ping message=t\.Ping serving="version 1"/);
  await server.start();
  await one.reached("connected");
  await until(
    "a successful read",
    async () => (await t.metric('shield_schema_cache_age_seconds{schema="ping"}') ?? 9) < 1,
  );
  await t.push("ping", ping(["extra", 99, "int32"]));
  await until("a later version", () => check(t, UNKNOWN_PING) === undefined);
});
