/** What quotas bring to a Shield. */
import type { LiveKey } from "../../shared/config/keys/live_keys.ts";
import type { Capability } from "../capability.ts";
import { type StartedQuota, startQuota } from "./quota.ts";

/** The keys of the configuration that may change while quotas run. */
export const QUOTA_KEYS: readonly LiveKey[] = [
  "quota.tenant_messages_per_second",
  "quota.tenant_bytes_per_second",
  "quota.tenants",
];

/** How much tenants may send on all Shields together. */
export const QUOTA: Capability<StartedQuota> = {
  name: "quota",
  title: "how much tenants may send on all Shields together",
  async open(env, { settings }) {
    const quota = await startQuota({ ...env, settings, log: env.log.child({ part: "quota" }) });
    if (quota === undefined) return {};
    return {
      own: quota,
      gives: { quota },
      start: () => ({ follows: [{ keys: QUOTA_KEYS, renew: () => quota.renew() }] }),
      close: () => quota.close(),
    };
  },
};
