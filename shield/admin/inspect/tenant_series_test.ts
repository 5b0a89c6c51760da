/** Series of tenants: a fixed number of them, the busiest, and no counter that falls. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Registry } from "../../../shared/metrics/metrics.ts";
import { registerTenantSeries, TenantSeries } from "./tenant_series.ts";
import { OTHER_TENANTS, TENANTS_MAX, TenantTable } from "../../stats/tenant_stats.ts";

const COUNTED = ["ingress_messages", "ingress_bytes", "egress_messages", "rejects"] as const;

function busy(table: TenantTable, tenant_id: string, messages: number): void {
  const totals = table.of(tenant_id);
  totals.ingress_messages += messages;
  totals.ingress_bytes += 100 * messages;
  totals.egress_messages += 2 * messages;
}

const listed = (series: TenantSeries) => [...series.read().keys()].sort();

Deno.test("100,000 tenants have a fixed number of series, for the busiest", async () => {
  const table = new TenantTable();
  for (let index = 0; index < TENANTS_MAX; index++) {
    // 7 and 100,000 have no common divisor: the order is unrelated to the load.
    busy(table, `t${index}`, (index * 7) % TENANTS_MAX);
    table.of(`t${index}`).connections = 1;
  }
  const registry = new Registry();
  registerTenantSeries(table, 50, registry);
  const page = await registry.metrics();
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  assert.equal(lines.length, 5 * 51);
  const names = lines.filter((line) => line.startsWith("shield_tenant_connections"))
    .map((line) => /tenant="([^"]+)"/.exec(line)?.[1]);
  const busiest = [...table.entries()]
    .sort(([, one], [, other]) => other.ingress_messages - one.ingress_messages)
    .slice(0, 50).map(([tenant_id]) => tenant_id);
  assert.deepEqual(names.sort(), [OTHER_TENANTS, ...busiest].sort());
  assert.match(page, /^shield_tenant_connections\{tenant="_other"\} 99950$/m);
});

Deno.test("a tenant beyond the limit is counted with the others", () => {
  const table = new TenantTable();
  for (let index = 0; index < TENANTS_MAX + 10; index++) busy(table, `t${index}`, 1);
  assert.equal([...table.entries()].length, TENANTS_MAX + 1);
  assert.equal(table.of(`t${TENANTS_MAX + 3}`), table.of(OTHER_TENANTS));
  assert.equal(table.of("t3").ingress_messages, 1);
  const series = new TenantSeries(table, 2);
  const samples = series.read();
  assert.equal(samples.size, 3);
  assert.equal(samples.get(OTHER_TENANTS)?.ingress_messages, TENANTS_MAX + 10);
});

Deno.test("a place is lost to a tenant with 1.5 times the messages, not before", () => {
  const table = new TenantTable();
  busy(table, "a", 100);
  busy(table, "b", 90);
  busy(table, "c", 10);
  const series = new TenantSeries(table, 2);
  assert.deepEqual(listed(series), [OTHER_TENANTS, "a", "b"]);
  busy(table, "c", 120);
  assert.deepEqual(listed(series), [OTHER_TENANTS, "a", "b"], "130 is not 1.5 times 90");
  busy(table, "c", 10);
  assert.deepEqual(listed(series), [OTHER_TENANTS, "a", "c"]);
});

Deno.test("without series for tenants all share one", () => {
  const table = new TenantTable();
  busy(table, "a", 3);
  const samples = new TenantSeries(table, 0).read();
  assert.deepEqual([...samples.keys()], [OTHER_TENANTS]);
  assert.equal(samples.get(OTHER_TENANTS)?.ingress_messages, 3);
});

Deno.test("no series ever falls while it exists, and each message is in exactly one", () => {
  const step = fc.record({
    tenant: fc.integer({ min: 0, max: 12 }),
    messages: fc.integer({ min: 0, max: 1_000 }),
    scrape: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const table = new TenantTable();
    const series = new TenantSeries(table, 3);
    let before = series.read();
    for (const { tenant, messages, scrape } of steps) {
      busy(table, `t${tenant}`, messages);
      if (!scrape) continue;
      const after = series.read();
      assert.ok(after.size <= 4);
      for (const key of COUNTED) {
        const grown = [...after].map(([id, sample]) => {
          const since = sample[key] - (before.get(id)?.[key] ?? 0);
          assert.ok(since >= 0, `${key} of ${id} fell by ${-since}`);
          return since;
        });
        const sum = grown.reduce((total, one) => total + one, 0);
        const total = [...table.entries()].reduce((all, [, totals]) => all + totals[key], 0);
        const ended = [...before].filter(([id]) => !after.has(id))
          .reduce((all, [, sample]) => all + sample[key], 0);
        const shown = [...after.values()].reduce((all, sample) => all + sample[key], 0);
        // Values of ended series are not shown again, nor are they in _other.
        assert.ok(shown <= total - ended, key);
        assert.ok(sum >= 0);
      }
      before = after;
    }
  }));
});
