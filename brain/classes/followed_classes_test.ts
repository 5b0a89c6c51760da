/** What a Brain knows about a tenant whose settings are deleted, and about one whose stored settings are lost. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { configFrom } from "../../shared/config/load.ts";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { TenantBudget } from "../../shared/config/schema_usage.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import { keptLog, QUIET } from "../../shared/testing/logs.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { FollowedClasses } from "./followed_classes.ts";

const BUDGET = TenantBudget.parse({
  per: "day",
  unit: "cost",
  limit: 1,
  action: "refuse",
  messages_per_second: 1,
});

Deno.test("a deleted tenant has no classes and no budgets any longer; what a store has lost stays", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 20_000 });
  const bucket = await one.spine.keyValue(TENANTS_BUCKET, { leaves_stream: true });
  const rooms = [TenantRoomClass.parse({ room: "orders-*", durable: true })];
  for (const tenant of ["acme", "globex"]) {
    const budgets = [BUDGET];
    await bucket.put([tenant], encodeSettings({ ...emptySettings(), version: 1, rooms, budgets }));
  }
  const { log, lines } = keptLog();
  const followed = await FollowedClasses.open({ config: configFrom({}), spine: one.spine, log });
  const changes: string[] = [];
  followed.followBudgets((tenant_id, { length }) => void changes.push(`${tenant_id} ${length}`));
  const isDurable = (tenant_id: string) => followed.classes.of(tenant_id, "orders-1").durable;
  assert.deepEqual([isDurable("acme"), isDurable("globex")], [true, true]);
  await bucket.delete(["globex"]);
  await until("it is removed", () => !isDurable("globex"));
  assert.deepEqual(changes, ["acme 1", "globex 1", "globex 0"]);
  const observer = await connect({ servers: server.url });
  await (await jetstreamManager(observer)).streams.delete(`KV_${TENANTS_BUCKET}`);
  await observer.close();
  await server.restart();
  await until("a word of it", () => lines.some((line) => line.includes("the store has lost them")));
  assert.deepEqual([isDurable("acme"), isDurable("globex")], [true, false]);
  followed.close();
});

Deno.test("classes that could not be opened are opened by the next access", async () => {
  const embedded = openEmbedded({ log: QUIET, now: Date.now });
  let requests = 0;
  const spine = overriding(embedded, {
    keyValue: (...bucket) =>
      requests++ === 0 ? Promise.reject(new Error("away")) : embedded.keyValue(...bucket),
  });
  const { open, close } = FollowedClasses.shared({ config: configFrom({}), spine, log: QUIET });
  await assert.rejects(open(), /away/);
  assert.equal(await open(), await open());
  assert.equal(requests, 2);
  await close();
  await embedded.drain();
});
