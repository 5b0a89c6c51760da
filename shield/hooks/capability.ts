/** The hooks capability of a Shield. */
import type { Capability, Parts, Running, ShieldOptions } from "../capability.ts";
import { inPath } from "../openapi/openapi_parts.ts";
import { HOOK_ROUTES, NO_LOG } from "./api.ts";
import { USAGE } from "../usage/capability.ts";
import { askingHooks } from "./gate.ts";
import { HookStore } from "./hook_store.ts";
import { hooksKind } from "./hooks_kind.ts";
import { tellingRefusals } from "./refusals.ts";
import { TenantEvents } from "./tenant_events.ts";

/** The capability, for a Shield's list. */
export const HOOKS: Capability = {
  name: "hooks",
  title: "URLs that are called for events",
  config: ["hooks", "webhooks"],
  stores: ["ARQON_HOOKS"],
  admin: {
    tables: [HOOK_ROUTES],
    tags: { hooks: "URLs that are called for events" },
    names: { hook: inPath("hook", "the hook's id") },
  },
  open(env, { node_id, time, settings: { deletions }, running: { given } }) {
    const events = new TenantEvents({ ...env, deletions });
    // Receivers refuse a call that was signed minutes ago or ahead: by a Shield's own clock, each while it is wrong.
    const now = () => time.now();
    const asking = askingHooks(given.policies, { ...env, now });
    const policies = tellingRefusals(asking, events, { node_id, now });
    return { gives: { policies }, start: (parts) => startHooks({ ...env, now }, parts, events) };
  },
};

async function startHooks(
  { config, spine, log, now, readTextFile }: ShieldOptions,
  { node_id, logs, running, rooms: { classes } }: Parts,
  events: TenantEvents,
): Promise<Running> {
  const hasLog = (tenant_id: string) => classes.logRetentionOf(tenant_id) !== undefined;
  for (const { id, tenant, events } of config.hooks) {
    if (events.length === 0 || hasLog(tenant)) continue;
    log.warn("a hook is never called", { hook: id, tenant_id: tenant, problem: NO_LOG });
  }
  await events.start((tenant_id) => logs.of(tenant_id));
  running.of(USAGE)?.store(
    (tenant_id, key, data) => events.exhausted(tenant_id, key, data),
    (tenant_id) => events.isWanted(tenant_id, "budget.exhausted"),
  );
  const store = new HookStore(spine, () => config.hooks, async (tenant_id) => {
    if (!hasLog(tenant_id)) return undefined;
    const { stream, log_offset: offset } = await (await logs.of(tenant_id)).head("~");
    return { stream, offset };
  });
  const { webhooks } = config;
  const parts = { store, webhooks, readTextFile, now, node_id, hasLog };
  const own = { ...parts, log: log.child({ part: "hooks" }) };
  return {
    kinds: { hooks: hooksKind(own) },
    routes: HOOK_ROUTES.serve(own),
    close: () => events.close(),
  };
}
