/** The Shield's totals for Prometheus: the documented names with the current values. */
import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { CLOSES } from "@arqon/proto";
import { exposition } from "../../shared/metrics/metrics.ts";
import { bump, countClose, createStats, registerStats } from "./stats.ts";

async function scrape(registry: Registry): Promise<string[]> {
  return (await exposition(registry)).body.split("\n");
}

function registered() {
  const stats = createStats();
  const registry = new Registry();
  registerStats(stats, registry);
  return { stats, registry };
}

Deno.test("the contract's names are there with their types, at zero, before anything happens", async () => {
  const { registry } = registered();
  const lines = await scrape(registry);
  const expected = [
    "# TYPE shield_active_connections gauge",
    "shield_active_connections 0",
    "# TYPE shield_ingress_ops counter",
    "# TYPE shield_unsent_bytes gauge",
    "shield_unsent_bytes 0",
    "# TYPE shield_egress_messages_total counter",
    "shield_egress_messages_total 0",
  ];
  for (const line of expected) assert.ok(lines.includes(line), line);
});

Deno.test("each scrape has the current values, for any number of scrapes", async () => {
  const { stats, registry } = registered();
  stats.active_connections = 7;
  bump(stats.ingress_ops, "publish");
  bump(stats.ingress_ops, "publish");
  bump(stats.ingress_ops, "subscribe");
  bump(stats.rejects, "rate-limited");
  bump(stats.handshakes, "accepted");
  stats.egress_bytes = 1_000_000;
  for (let times = 0; times < 2; times++) {
    const lines = await scrape(registry);
    const expected = [
      "shield_active_connections 7",
      'shield_ingress_ops{op="publish"} 2',
      'shield_ingress_ops{op="subscribe"} 1',
      'shield_rejects_total{reason="rate-limited"} 1',
      'shield_handshakes_total{outcome="accepted"} 1',
      "shield_egress_bytes_total 1000000",
    ];
    for (const line of expected) assert.ok(lines.includes(line), line);
  }
  stats.active_connections = 0;
  bump(stats.ingress_ops, "publish");
  const lines = await scrape(registry);
  assert.ok(lines.includes("shield_active_connections 0"));
  assert.ok(lines.includes('shield_ingress_ops{op="publish"} 3'));
});

Deno.test("every number of the totals is exposed in exactly one metric", async () => {
  const { stats, registry } = registered();
  const names = Object.entries(stats).filter(([, total]) => typeof total === "number")
    .map(([key]) => key);
  Object.assign(stats, Object.fromEntries(names.map((key, index) => [key, 1_000 + index])));
  const lines = await scrape(registry);
  for (const [index, key] of names.entries()) {
    const exposed = lines.filter((line) => line.endsWith(` ${1_000 + index}`));
    assert.equal(exposed.length, 1, key);
    assert.match(exposed[0]!, new RegExp(`^shield_[a-z_]+ \\d+$`), key);
  }
});

Deno.test("close codes are ours, WebSocket's own, or other: a client cannot make time series", async () => {
  const { stats, registry } = registered();
  for (let code = 1_000; code < 5_000; code++) countClose(stats, code);
  countClose(stats, 0);
  const known = [...Object.keys(CLOSES), "1005", "1006", "other"];
  assert.deepEqual(Object.keys(stats.closes).sort(), known.sort());
  assert.equal(stats.closes["1006"], 2, "the runtime's 0 is a connection that broke");
  assert.equal(stats.closes["other"], 4_000 - known.length + 1);
  const lines = await scrape(registry);
  assert.ok(lines.includes('shield_closes_total{code="4429"} 1'));
});
