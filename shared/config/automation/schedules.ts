/** `[schedules]`: messages that are published at a time. A part of `../schema.ts`. */
import { z } from "zod";
import { count } from "../values/schema_values.ts";

/** `[schedules]`. */
export const Schedules = z.strictObject({
  enabled: z.boolean().default(true).describe(
    "publish tenants' schedules; without it, other Shields do",
  ),
  tenant_schedules: count(1_000, 100_000, "schedules that one tenant may have"),
});
/** A checked `[schedules]`. */
export type Schedules = z.output<typeof Schedules>;
