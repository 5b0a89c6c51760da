/**
 * The events that a Shield stores for hooks: only subscribed ones, in order, and with a count in place of the excess.
 */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { readTenantEvent } from "../../shared/hooks/tenant_event.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { hookBytes, hookKey, NEW_HOOK } from "../../shared/records/hook_document.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { markDeleted } from "../../shared/records/tenant_deletions.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { openSettings } from "../settings/settings.ts";
import { TenantEvents } from "./tenant_events.ts";

const log = QUIET;
const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };
const secret = `whsec_${"A".repeat(32)}`;

async function world(webhooks: object = {}) {
  const hook = { id: "h", tenant: "t", url: "https://example.com", secret_file: "s" };
  const config = configFrom({ hooks: [{ ...hook, events: ["policy.refused"] }], webhooks });
  const spine = await openSpine(configFrom({}), { log, now: Date.now });
  const registry = new Registry();
  const settings = await openSettings({ spine, registry, log, now: Date.now });
  await settings.ready;
  const { deletions } = settings;
  const events = new TenantEvents({ config, spine, registry, log, now: Date.now, deletions });
  const durable = await spine.log("t", RETENTION);
  return {
    events,
    spine,
    registry,
    deletions,
    durable,
    start: (openLog = (tenant_id: string) => spine.log(tenant_id, RETENTION)) =>
      events.start(openLog),
    async stored() {
      const { messages } = await durable.read(EVENTS_ROOM, {
        after: 0,
        limit: 100,
        max_bytes: 1e6,
      });
      return messages.map(({ payload }) => readTenantEvent(payload));
    },
    async [Symbol.asyncDispose]() {
      await events.close();
      settings.close();
      await spine.drain();
    },
  };
}

Deno.test("beyond the queue's limit the oldest are dropped, and an entry in their place has the count", async () => {
  await using here = await world({ events_waiting: 3, refusals_per_second: 1_000 });
  for (let n = 1; n <= 10; n++) here.events.refused("t", { room: "r", n });
  await here.start();
  await until("all", async () => (await here.stored()).length === 3);
  assert.deepEqual((await here.stored()).map((event) => event?.data), [
    { room: null, count: 8 },
    { room: "r", n: 9 },
    { room: "r", n: 10 },
  ]);
  assert.match(await here.registry.metrics(), /shield_hook_events_total\{result="left_out"\} 8/);
});

Deno.test("a limited number of refusals per second is stored, and the others are counted, by tenant", async () => {
  await using here = await world({ refusals_per_second: 2 });
  await here.start();
  for (let n = 1; n <= 7; n++) here.events.refused("t", { room: "r", n });
  await until("the count", async () => (await here.stored()).at(-1)?.type === "lost");
  const stored = await here.stored();
  assert.deepEqual(stored.slice(0, 2).map((event) => event?.data["n"]), [1, 2]);
  const counted = stored.filter((event) => event?.type === "lost");
  assert.equal(counted.reduce((sum, event) => sum + Number(event?.data["count"]), 0), 5);
});

Deno.test("message-too-large: an event that the log refuses blocks no other event, and is reported as lost", async () => {
  await using here = await world({ refusals_per_second: 1_000 });
  await here.start();
  here.events.refused("t", { room: "r", n: 1, detail: "x".repeat(2_000_000) });
  here.events.refused("t", { room: "r", n: 2 });
  await until("the others", async () => (await here.stored()).length === 2);
  assert.deepEqual((await here.stored()).map((event) => event?.data), [
    { room: "r", n: 2 },
    { room: null, count: 1 },
  ]);
  assert.match(await here.registry.metrics(), /shield_hook_events_total\{result="left_out"\} 1/);
});

Deno.test("subscribed events follow the hooks of the configuration and of tenants", async () => {
  await using here = await world();
  const { events, spine } = here;
  await here.start();
  assert.equal(events.isWanted("t", "policy.refused"), true);
  assert.equal(events.isWanted("t", "budget.exhausted"), false);
  assert.equal(events.isWanted("u", "policy.refused"), false);
  const bucket = await spine.keyValue("ARQON_HOOKS");
  const { hooks: [{ tenant: _, id: __, ...spec } = {}] } = configFrom({
    hooks: [{
      id: "x",
      tenant: "u",
      url: "https://example.com",
      events: ["budget.exhausted"],
      secret_file: "s",
    }],
  });
  const { before: _b, on_failure: _o, before_timeout_ms: _t, secret_file: _f, ...shared } =
    spec as Record<string, unknown>;
  const own = { ...shared, secret };
  await bucket.put(hookKey("u", "x"), hookBytes({ ...NEW_HOOK, spec: own } as typeof NEW_HOOK));
  await until("it is reported", () => events.isWanted("u", "budget.exhausted"));
  await events.exhausted("t", "key", { room: null, unit: "messages_in" });
  await events.exhausted("t", "key", { room: null, unit: "messages_in" });
  assert.deepEqual((await here.stored()).map((event) => event?.type), ["budget.exhausted"]);
  await bucket.delete(hookKey("u", "x"));
  await until("it was removed", () => !events.isWanted("u", "budget.exhausted"));
});

for (const at of ["queue", "append"] as const) {
  Deno.test(`events that are in the ${at} while their tenant is deleted do not stay`, async () => {
    await using here = await world();
    const reached = Promise.withResolvers<void>();
    const deleted = Promise.withResolvers<void>();
    const append: DurableLog["append"] = async (...message) => {
      reached.resolve();
      await deleted.promise;
      return await here.durable.append(...message);
    };
    const slow = overriding(here.durable, { append });
    if (at === "append") await here.start(() => Promise.resolve(slow));
    here.events.refused("t", { room: "r", n: 1 });
    const exhausted = here.events.exhausted("t", "k", { room: null, n: 2 });
    if (at === "append") await reached.promise;
    await markDeleted(await here.spine.keyValue(TENANTS_BUCKET), "t", 1);
    await until("it is known", () => here.deletions.known("t") > 0);
    deleted.resolve();
    await exhausted;
    here.events.refused("t", { room: "r", n: 3 });
    if (at === "queue") await here.start();
    await until("the successor's", async () => (await here.stored()).at(-1)?.data["n"] === 3);
    assert.equal((await here.stored()).length, 1);
  });
}
