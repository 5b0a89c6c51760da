/** Policies whose document a real NATS has lost. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { watched } from "../../../shared/spine/nats/testing/nats_harness.ts";
import { until } from "../../../shared/testing/until.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { DEADLINE_MS, deployTiny, testRegistry, tinyName } from "../testing/registry.ts";
import type { TestRegistry } from "../testing/registry.ts";

const running = ({ registry }: TestRegistry, tenant = "acme") =>
  registry.chainFor(tenant, "on_message", "r", "key").map(({ sha256 }) => sha256);

Deno.test("a document that the store has lost changes only the status", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 20_000 });
  using one = await testRegistry(here.spine);
  await one.registry.reached("acme", await deployTiny(one, "acme", 1), DEADLINE_MS);
  const observer = await connect({ servers: server.url });
  await (await jetstreamManager(observer)).streams.delete("KV_ARQON_POLICIES");
  await observer.close();
  await server.restart();
  await until("the news", () => one.registry.tenant("acme")?.state === "gone");
  assert.deepEqual(running(one), [await tinyName(1)]);
  assert.ok(one.lines.some((line) => /level=error .*is lost/.test(line)));
  // The recreated bucket counts revisions from the beginning.
  const again = await deployTiny(one, "acme", 2);
  assert.equal(await one.registry.reached("acme", again, DEADLINE_MS), true);
  assert.deepEqual(running(one), [await tinyName(2)]);
});
