/** What a Shield does by itself, and what it lets admins set of it: schedules, hooks, reducers. No behaviour of its own. */
import type { AdminParts } from "./admin/route_list.ts";
import { NO_LOG } from "./hooks/api.ts";
import { HookStore } from "./hooks/hook_store.ts";
import type { TenantEvents } from "./hooks/tenant_events.ts";
import type { Parts } from "./parts.ts";
import { createReducerCheck } from "./reducers/check.ts";
import { startSchedules } from "./schedules/start.ts";
import type { ShieldOptions } from "./server.ts";

/** Its parts of the admin API; schedules may be left to other Shields. */
export interface AutomationAdmin extends Pick<AdminParts, "schedules"> {
  readonly hooks: NonNullable<AdminParts["hooks"]>;
  readonly reducers: NonNullable<AdminParts["reducers"]>;
}

/** Starts what acts by itself. Rejects with `spine-unavailable`. */
export async function startAutomation(
  options: ShieldOptions,
  parts: Parts,
  events: TenantEvents,
): Promise<{ readonly admin: AutomationAdmin; close(): Promise<void> }> {
  const { config, config: { webhooks }, spine, log, now, readTextFile } = options;
  const schedules = await startSchedules(options, parts);
  const store = new HookStore(spine, () => config.hooks);
  const { node_id, durable, usage, rooms: { classes } } = parts;
  const { check, close: closeCheck } = createReducerCheck();
  const hasLog = (tenant_id: string) => classes.logRetentionOf(tenant_id) !== undefined;
  for (const { id, tenant, events } of config.hooks) {
    if (events.length === 0 || hasLog(tenant)) continue;
    log.warn("a hook is called for nothing", { hook: id, tenant_id: tenant, problem: NO_LOG });
  }
  await events.start((tenant_id) => durable.logs.of(tenant_id));
  usage?.store(
    (tenant_id, key, data) => events.exhausted(tenant_id, key, data),
    (tenant_id) => events.isWanted(tenant_id, "budget.exhausted"),
  );
  return {
    admin: {
      schedules: schedules.admin,
      hooks: {
        ...{ store, webhooks, readTextFile, now, node_id, hasLog },
        log: log.child({ part: "hooks" }),
      },
      reducers: {
        ...{
          spine,
          classes,
          reducers: config.reducers,
          limits: config.limits,
          check,
          requireBudget: async (tenant_id: string) =>
            await usage?.admin.budgets.takeRead(tenant_id),
          now,
          node_id,
        },
        log: log.child({ part: "reducers" }),
      },
    },
    async close() {
      closeCheck();
      await schedules.close();
      await events.close();
    },
  };
}
