/** The quotas capability of a Shield. */
import type { Capability } from "../capability.ts";
import { type StartedQuota, startQuota } from "./quota.ts";

/** Limits the messages of tenants on all Shields together. */
export const QUOTA: Capability<StartedQuota> = {
  name: "quota",
  title: "limits the messages of tenants on all Shields together",
  config: ["quota"],
  tenant: ["quotas"],
  async open(env, { settings }) {
    const quota = await startQuota({ ...env, settings, log: env.log.child({ part: "quota" }) });
    if (quota === undefined) return {};
    return {
      own: quota,
      gives: { quota, has_quotas: true },
      start: () => ({ follow: (changes) => quota.follow(changes) }),
      close: () => quota.close(),
    };
  },
};
