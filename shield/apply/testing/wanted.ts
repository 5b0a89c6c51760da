/** Wanted states for tests of applies. Not for product code. */
import { binding } from "../../policy/testing/modules.ts";
import type { Wanted } from "../decision.ts";

/** A policy, a rule and limits that belong together: all have the number. */
export const wanted = (number: number): Wanted => ({
  policies: [binding({ name: "one", order: number })],
  mirror: { rules: [{ prefix: "in.t.acme.*", percent: number / 1_000 }] },
  quotas: [{ unit: "messages", per_second: number }],
  budgets: [{
    per: "day",
    unit: "messages_in",
    limit: number,
    action: "warn",
    messages_per_second: 1,
  }],
  require_signature: [{ role: "user", room: `r-${number}` }],
});
