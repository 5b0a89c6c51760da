/** `[ledger]`: what a Shield remembers of deliveries. A part of `schema.ts`. */
import { z } from "zod";
import { count } from "./schema_values.ts";

/** `[ledger]`. */
export const LedgerTable = z.strictObject({
  enabled: z.boolean().default(true).describe(
    "remember which messages were sent to whom, for `arq why`; in memory, ids and times only",
  ),
  bytes: z.int().min(1_048_576).max(17_179_869_184).default(67_108_864).describe(
    "memory of the ledger; when it is full, what is oldest goes first",
  ),
  handshakes_per_second: z.int().min(1).max(100_000).default(50).describe(
    "new entries of refused handshakes in a second; the same again makes an entry longer",
  ),
  seconds: count(3_600, 604_800, "how long the ledger remembers at most"),
});
