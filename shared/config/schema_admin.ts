/** The limits of the admin API: its rates, its checks, and the audit log of `[audit]`. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

/** The keys of the admin API in `[limits]`. */
export const AdminLimits = {
  admin_requests_per_second: count(
    200,
    1_000_000,
    "admin API requests per second and caller (issuer and subject), a tenth of them changes; burst: twice that; beyond: 429",
  ),
};

/** `[audit]`: who did what on the admin API. */
export const Audit = z.strictObject({
  on_failure: z.enum(["refuse", "allow"]).default("refuse").describe(
    "while entries cannot be written: refuse changes with 503, or allow them and write the entries later",
  ),
  retention_days: count(365, 36_500, "age at which entries go"),
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of the log; above, its oldest entries go",
  ),
});
