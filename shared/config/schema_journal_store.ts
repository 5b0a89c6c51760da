/** Where the journal of decisions is kept: the keys of `[journal]` that bound its store. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

/** The keys; what is written into the journal is said by others of `[journal]`. */
export const JournalStorage = {
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of the journal of all tenants; above, the oldest of any tenant goes",
  ),
  retention_days: count(
    30,
    3_650,
    "age at which entries expire; users' keys expire about 30 days later",
  ),
};
