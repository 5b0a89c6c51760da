/** What usage brings to a Shield. */
import type { Capability } from "../capability.ts";
import { USAGE_ROUTES } from "./admin/api.ts";

/** What tenants use, and how much they may. */
export const USAGE: Capability = {
  name: "usage",
  title: "what tenants use, and how much they may",
  admin: {
    tables: [USAGE_ROUTES],
    tags: { usage: "what tenants use, and how much they may" },
  },
  start(_env, { usage, running }) {
    const trail = running.trail();
    usage?.audit(trail && ((audited) => trail.happened(audited)));
    return {
      routes: USAGE_ROUTES.serve(usage?.admin),
      follows: usage && [
        { keys: ["usage.budgets"], renew: () => usage.renew() },
        { keys: ["usage.prices", "usage.prices_from"], renew: () => usage.reprice() },
      ],
      // A start that fails before this has counted nothing, and leaves no life that others would take for killed.
      begin: () => usage?.begin(),
    };
  },
};
