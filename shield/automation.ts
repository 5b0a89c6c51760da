/** What a Shield does by itself, and what it lets admins set of it: schedules and hooks. No behaviour of its own. */
import type { AdminParts } from "./admin/route_list.ts";
import { HookStore } from "./hooks/hook_store.ts";
import type { Parts } from "./parts.ts";
import { startSchedules } from "./schedules/start.ts";
import type { ShieldOptions } from "./server.ts";

/** Its parts of the admin API. */
export type AutomationAdmin = Pick<AdminParts, "schedules" | "hooks">;

/** Starts what acts by itself. Rejects with `spine-unavailable`. */
export async function startAutomation(
  options: ShieldOptions,
  parts: Parts,
): Promise<{ readonly admin: AutomationAdmin; close(): Promise<void> }> {
  const { config, config: { webhooks }, spine, log, now, readTextFile } = options;
  const schedules = await startSchedules(options, parts);
  const store = new HookStore(spine, () => config.hooks);
  const { node_id } = parts;
  return {
    admin: {
      schedules: schedules.admin,
      hooks: {
        ...{ store, webhooks, readTextFile, now, node_id },
        log: log.child({ part: "hooks" }),
      },
    },
    close: () => schedules.close(),
  };
}
