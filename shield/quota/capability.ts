/** What quotas bring to a Shield. */
import type { LiveKey } from "../../shared/config/keys/live_keys.ts";
import type { Capability } from "../capability.ts";

/** The keys of the configuration that may change while quotas run. */
export const QUOTA_KEYS: readonly LiveKey[] = [
  "quota.tenant_messages_per_second",
  "quota.tenant_bytes_per_second",
  "quota.tenants",
];

/** How much tenants may send on all Shields together. */
export const QUOTA: Capability = {
  name: "quota",
  title: "how much tenants may send on all Shields together",
  start: (_env, { quota }) => ({
    follows: quota && [{ keys: QUOTA_KEYS, renew: () => quota.renew() }],
  }),
};
