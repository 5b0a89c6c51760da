/** The metrics of usage by tenant: they equal the counts, never fall, and are limited. */
import assert from "node:assert/strict";
import { exposition, Registry } from "../../shared/metrics/metrics.ts";
import { sampleOf } from "../../shared/testing/sample_of.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { UsageLedger } from "./ledger.ts";
import { registerTenantUse, TenantSums } from "./tenant_metrics.ts";

const TENANTS_MAX = 2;

/** A ledger with metrics; `value` reads one by tenant. */
function counting() {
  const registry = new Registry();
  const clock = { now_ms: 1_700_000_040_000 };
  const sums = new TenantSums(TENANTS_MAX);
  const options = { user_claim: undefined, rows_max: 64, monotonic_ms: () => clock.now_ms };
  const ledger = new UsageLedger(options, (rows) => sums.add(rows));
  registerTenantUse(registry, ledger, sums, () => ({ messages_in: 0.5 }));
  const value = (name: string, tenant: string) =>
    sampleOf(registry, `shield_usage_${name}{tenant="${tenant}"}`);
  const send = (tenant_id: string) => ledger.taken({ tenant_id, claims: {} }, "", 10);
  const end = () => Array.from(ledger.take(true)).length;
  return { registry, ledger, clock, value, send, end };
}

Deno.test("usage by tenant: finished minutes and the running one add up", async () => {
  const { value, send, end } = counting();
  for (let at = 0; at < 3; at++) send("acme");
  assert.equal(await value("messages_in_total", "acme"), 3);
  assert.equal(end(), 1);
  assert.equal(await value("messages_in_total", "acme"), 3);
  send("acme");
  assert.equal(await value("messages_in_total", "acme"), 4);
  assert.equal(await value("in_bytes_total", "acme"), 40);
  assert.equal(await value("cost_total", "acme"), 2);
});

Deno.test("usage by tenant: tenants beyond the limit are summed, and each keeps its series", async () => {
  const { value, send, end } = counting();
  for (const tenant of ["one", "two", "three", "four", "four"]) send(tenant);
  assert.equal(await value("messages_in_total", "_other"), 3);
  end();
  for (const tenant of ["four", "three", "two"]) send(tenant);
  assert.equal(await value("messages_in_total", "_other"), 5);
  assert.equal(await value("messages_in_total", "two"), 2);
  end();
  assert.equal(await value("messages_in_total", "_other"), 5);
  assert.equal(await value("messages_in_total", "one"), 1);
  assert.equal(await value("messages_in_total", "three"), NaN);
});

Deno.test("usage by tenant: connection time is in seconds", async () => {
  const { ledger, clock, value, end } = counting();
  const use = ledger.of({ tenant_id: "acme", claims: {} });
  ledger.connected(use, 1);
  clock.now_ms += 30_000;
  assert.equal(await value("connection_seconds_total", "acme"), 30);
  end();
  clock.now_ms += 15_000;
  assert.equal(await value("connection_seconds_total", "acme"), 45);
});

Deno.test("use by tenant: many rows are read in turns with others, and a minute that ends meanwhile counts once", async () => {
  const { registry, ledger, send, end } = counting();
  for (let at = 0; at < 2_000; at++) {
    for (let room = 0; room < 50; room++) {
      ledger.taken({ tenant_id: `t${at}`, claims: {} }, `r${room}-*`, 10);
    }
  }
  const valueIn = (page: string, tenant: string) =>
    Number(page.match(new RegExp(`messages_in_total{tenant="${tenant}"} (.*)`))?.[1]);
  const read = await turnsDuring(() => exposition(registry));
  assert.equal(valueIn(read.value.body, "t0"), 50);
  assert.equal(valueIn(read.value.body, "_other"), 1_998 * 50);
  assert(read.turns >= 5, `${read.turns} turns`);
  const reading = exposition(registry);
  // The first slice has been read.
  assert.equal(end(), 2_000);
  send("t0");
  const { body } = await reading;
  assert.deepEqual([valueIn(body, "t0"), valueIn(body, "_other")], [51, 1_998 * 50]);
  // Every family is of the same reading.
  assert.match(body, /in_bytes_total{tenant="t0"} 510/);
});
