/** The policies of a Shield with its hooks: those that are asked before, and those that are notified of refusals. */
import type { Overseer } from "../policy/overseer.ts";
import { askingHooks } from "./gate.ts";
import type { HookGateOptions } from "./gate.ts";
import { tellingRefusals } from "./refusals.ts";
import { TenantEvents } from "./tenant_events.ts";
import type { TenantEventsOptions } from "./tenant_events.ts";

/** The same, with an Overseer that asks hooks after its policies and tells what either of them refuses. */
export function withHooks<Policies extends { readonly overseer: Overseer }>(
  policies: Policies,
  { node_id }: { readonly node_id: string },
  options: HookGateOptions & TenantEventsOptions,
): { readonly policies: Policies; readonly events: TenantEvents } {
  const events = new TenantEvents(options);
  const asking = askingHooks(policies.overseer, options);
  const overseer = tellingRefusals(asking, events, { node_id, now: options.now });
  return { policies: { ...policies, overseer }, events };
}
