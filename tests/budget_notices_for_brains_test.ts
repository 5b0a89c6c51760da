/**
 * A budget that only timers exhaust is in the audit log once, though its tenant has no client on a Shield: a Brain,
 * which may not write there, reports it to a Shield, on both engines.
 */
import assert from "node:assert/strict";
import { emptySettings } from "../shared/records/tenant_settings.ts";
import { configFrom } from "../shared/config/load.ts";
import { Lives } from "../shared/lives/lives.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { markKey } from "../shared/usage/exhausted_marks.ts";
import { until } from "../shared/testing/until.ts";
import { PLAIN } from "../brain/reducers/testing/guest_text.ts";
import {
  applied,
  ENGINES,
  type ReducerWorld,
  type WorldBrain,
} from "../brain/reducers/testing/reducer_world.ts";
import type { Audited } from "../shield/admin/routing/audited.ts";
import type { Settings } from "../shield/settings/settings.ts";
import { startUsage } from "../shield/usage/start.ts";
import { testLog } from "../shared/testing/logs.ts";

const budgets = (["warn", "refuse"] as const)
  .map((action) => ({ per: "month", unit: "fuel", limit: 1, action }));
const usage = { enabled: true, flush_ms: 20, budgets };
const log = testLog();

/** A Shield's usage ledger, and its entries in the audit log. */
async function shieldAt({ spine }: WorldBrain, world: ReducerWorld, node_id: string) {
  const now = () => Date.now() + world.ahead_ms;
  const monotonic_ms = () => performance.now();
  const lives = new Lives(spine);
  const life = new OwnLife({ lives, node_id, kept_ms: 1e9, log, now, monotonic_ms });
  const settings = { get: () => emptySettings(), onChange: () => () => {} };
  const started = startUsage({
    ...{ config: configFrom({ usage }), spine, node_id, life, log, now, monotonic_ms },
    storeNow: now,
    classes: { of: () => assert.fail("nobody is here") },
    settings: settings as unknown as Settings,
    registry: createMetrics({ node_id, version: "0" }),
  })!;
  const reported: Audited[] = [];
  started.audit((audited) => Promise.resolve(void reported.push(audited)));
  await started.begin();
  return {
    reported,
    async [Symbol.asyncDispose]() {
      await started.close();
      await life.end();
    },
  };
}

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a budget that a room's timers used up is in the audit log, once`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await world.start("a");
    await using first = await shieldAt(brain, world, "one");
    await applied(brain, "plain", "go");
    await until("a Shield tells of both", () => first.reported.length === 2);
    const actions = first.reported.map(({ about }) => (about as Record<string, unknown>)["then"]);
    assert.deepEqual(actions.sort(), ["refuse", "warn"]);
    for (const { action, tenant, from, by } of first.reported) {
      assert.deepEqual([action, tenant, from, by], ["budget.exhausted", "t", "one", null]);
    }
    // Any Shield reports another tenant's budget, and nothing is reported twice.
    await using second = await shieldAt(brain, world, "two");
    await applied(brain, "plain", "go", { tenant: "u" });
    const all = () => [...first.reported, ...second.reported];
    await until("that is notified, too", () => all().length >= 4);
    assert.deepEqual(all().map(({ tenant }) => tenant).sort(), ["t", "t", "u", "u"]);
  });

  Deno.test(`${engine}: a Shield that starts later reports the earlier findings of Brains`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await world.start("a");
    await applied(brain, "plain", "go");
    const bucket = await brain.spine.keyValue("ARQON_USAGE", { unwatched: true });
    await until(
      "the Brain has reported it",
      async () => (await bucket.get(markKey("t"))) !== undefined,
    );
    await brain.service.drain();
    await using later = await shieldAt(brain, world, "later");
    await until("it tells of both", () => later.reported.length === 2);
  });
}
