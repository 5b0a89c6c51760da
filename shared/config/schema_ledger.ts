/** `[ledger]`: what a Shield remembers of deliveries. A part of `schema.ts`. */
import { z } from "zod";
import { count } from "./values/schema_values.ts";

/** `[ledger]`. */
export const LedgerTable = z.strictObject({
  enabled: z.boolean().default(true).describe(
    "record deliveries for `arq why`: ids and times only",
  ),
  bytes: z.int().min(1_048_576).max(17_179_869_184).default(67_108_864).describe(
    "memory of the ledger; when full, the oldest goes first",
  ),
  store: z.boolean().default(false).describe(
    "store the ledger beside the journal, so that it outlives the Shield",
  ),
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(268_435_456).describe(
    "with store: bytes stored for all tenants; above, the oldest of any tenant goes",
  ),
  seconds: count(3_600, 604_800, "how long the ledger remembers at most"),
});
