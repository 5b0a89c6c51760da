/** The numbers of presence as Prometheus reads them. */
import assert from "node:assert/strict";
import { Registry } from "../../shared/metrics/metrics.ts";
import { createPresenceStats, refuse, registerPresenceStats } from "./stats.ts";

Deno.test("each scrape has the current numbers under their names", async () => {
  const stats = createPresenceStats();
  const registry = new Registry();
  registerPresenceStats(stats, registry);
  stats.members = 7;
  stats.announcements += 2;
  stats.pulls.applied = 3;
  refuse(stats, "mixed-pages");
  refuse(stats, "mixed-pages");
  await registry.metrics();
  const lines = (await registry.metrics()).split("\n");
  for (
    const line of [
      "# TYPE shield_presence_members gauge",
      "shield_presence_members 7",
      "shield_presence_rooms 0",
      "shield_presence_announcements_total 2",
      'shield_presence_pulls_total{outcome="applied"} 3',
      'shield_presence_refused_total{reason="mixed-pages"} 2',
      "# TYPE shield_presence_events_total counter",
    ]
  ) assert.ok(lines.includes(line), line);
});
