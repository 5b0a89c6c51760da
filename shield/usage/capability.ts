/** The usage capability of a Shield: what tenants use, and their budgets. */
import type { Capability } from "../capability.ts";
import { USAGE_ROUTES } from "./admin/api.ts";
import { minuteLeaves } from "../../shared/usage/minute.ts";
import { type StartedUsage, startUsage } from "./start.ts";

/** The capability, for a Shield's list. */
export const USAGE: Capability<StartedUsage> = {
  name: "usage",
  title: "the usage and budgets of tenants",
  config: ["usage"],
  tenant: ["budgets"],
  stores: ["ARQON_USAGE"],
  off: ({ usage }) => usage.enabled ? undefined : "usage",
  admin: {
    tables: [USAGE_ROUTES],
    tags: { usage: "the usage and budgets of tenants" },
  },
  open(env, { settings, node_id, life, rooms: { classes }, time, running }) {
    const storeNow = () => time.now();
    const usage = startUsage({ ...env, settings, node_id, life, classes, storeNow });
    if (usage === undefined) return { start: () => ({ routes: USAGE_ROUTES.serve(undefined) }) };
    return {
      own: usage,
      gives: {
        usage: usage.ledger,
        quota: usage.gate(running.given.quota),
        policyUsed: usage.onUsed,
        reads: usage.reads,
        standBudgets: (tenant_id) => usage.admin.budgets.stand(tenant_id),
      },
      observer: usage.observer,
      keeps: [{
        name: "usage",
        open: () => usage.admin.place.store(),
        eraseBeside: (tenant_id) => usage.admin.place.eraseRunning(tenant_id, storeNow()),
        stays: "sums of the tenant, until [usage] retention_days",
        leavesOf: (_, block) => Promise.resolve(minuteLeaves(block)),
      }],
      start() {
        const trail = running.trail();
        usage.audit(trail && ((audited) => trail.happened(audited)));
        return {
          routes: USAGE_ROUTES.serve(usage.admin),
          follow(changes) {
            changes.follow(["usage.budgets"], usage.renew);
            changes.follow(["usage.prices", "usage.prices_from"], usage.reprice);
          },
          // A start that fails earlier has counted nothing, and leaves no incarnation that others would consider
          // killed.
          begin: usage.begin,
        };
      },
      close: usage.close,
    };
  },
};
