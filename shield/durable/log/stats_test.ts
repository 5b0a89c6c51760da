/** The metrics of durable rooms, with a limited number of labels. */
import assert from "node:assert/strict";
import { Registry } from "../../../shared/metrics/metrics.ts";
import { DurableStats, registerPendingLimit } from "./stats.ts";

Deno.test("every metric of durable rooms is published under its name", async () => {
  const registry = new Registry();
  const stats = new DurableStats(registry);
  stats.pending_appends = 3;
  stats.pending_bytes = 300;
  registerPendingLimit(registry, 400);
  stats.open_rooms = 2;
  stats.cache_bytes = 4_096;
  stats.stored("chat-*", 100);
  stats.stored("chat-*", 50);
  stats.stored("", 7);
  stats.deduplicated();
  stats.refused("log-unavailable");
  stats.read("recovery");
  stats.failed("fill");
  stats.recovered("recovered", 12);
  stats.recovered("too-many", 0);
  stats.gapFill("filled");
  stats.dropped("repeated");
  stats.lag(30);
  stats.lag(-5);
  const text = await registry.metrics();
  const expected = [
    "shield_log_stored_total 3",
    'shield_log_stored_bytes_total{class="chat-*"} 150',
    'shield_log_stored_bytes_total{class="default"} 7',
    "shield_log_deduplicated_total 1",
    'shield_log_refused_total{reason="log-unavailable"} 1',
    'shield_log_reads_total{purpose="recovery"} 1',
    'shield_log_failures_total{purpose="fill"} 1',
    'shield_log_recoveries_total{outcome="recovered"} 1',
    'shield_log_recoveries_total{outcome="too-many"} 1',
    "shield_log_recovered_messages_total 12",
    'shield_log_gap_fills_total{outcome="filled"} 1',
    'shield_log_dropped_total{reason="repeated"} 1',
    'shield_log_lag_seconds_bucket{le="0.001"} 1',
    'shield_log_lag_seconds_bucket{le="0.05"} 2',
    "shield_log_open_rooms 2",
    "shield_log_cache_bytes 4096",
    "shield_log_pending_appends 3",
    "shield_log_pending_bytes 300",
    "shield_log_pending_limit_bytes 400",
  ];
  const lines = new Set(text.split("\n"));
  assert.deepEqual(expected.filter((line) => !lines.has(line)), []);
});

Deno.test("classes beyond those with their own series share one", async () => {
  const registry = new Registry();
  const stats = new DurableStats(registry);
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 200; n++) stats.stored(`room-${n}`, 1);
  }
  const series = (await registry.metrics()).match(/shield_log_stored_bytes_total\{.*/g) ?? [];
  assert.equal(series.length, 51);
  assert.ok(series.includes('shield_log_stored_bytes_total{class="other"} 300'));
});
