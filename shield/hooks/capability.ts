/** What hooks bring to a Shield. */
import type { Capability } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { HOOK_ROUTES, NO_LOG } from "./api.ts";
import type { HookAdminContext } from "./api.ts";
import { HookStore } from "./hook_store.ts";

/** URLs that are called when something has happened. */
export const HOOKS: Capability<HookAdminContext> = {
  name: "hooks",
  title: "URLs that are called when something has happened",
  admin: {
    tables: [HOOK_ROUTES],
    tags: { hooks: "URLs that are called when something has happened" },
    names: { hook: inPath("hook", "the hook's id") },
  },
  async start({ config, spine, log, now, readTextFile }, parts) {
    const { node_id, durable, usage, events, rooms: { classes } } = parts;
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
    const store = new HookStore(spine, () => config.hooks);
    const { webhooks } = config;
    const asked = { store, webhooks, readTextFile, now, node_id, hasLog };
    const own = { ...asked, log: log.child({ part: "hooks" }) };
    return { own, routes: HOOK_ROUTES.serve(own), close: () => events.close() };
  },
};
