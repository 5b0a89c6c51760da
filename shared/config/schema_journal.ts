/**
 * Records of decisions, deliveries and operators: `[journal]` and its keys in a room class, `[ledger]` and `[audit]`. A
 * part of `schema.ts`.
 */
import { z } from "zod";
import { count, fraction } from "./values/schema_values.ts";

/** How the journal is stored; other keys of `[journal]` choose what is written. */
const JournalStorage = {
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of the journal of all tenants; above, the oldest of any tenant goes; one has at most a quarter",
  ),
  retention_days: count(
    30,
    3_650,
    "age at which entries expire; users' keys expire about 30 days later",
  ),
};

/** Which decisions are written. */
const MODES = ["off", "refused", "all"] as const;

const mode = z.enum(MODES).describe("recorded decisions: none, refusals, or all");

/** The keys of a room class; an absent `journal` defaults to that of `[journal]`. */
export const RoomJournal = {
  journal: mode.optional(),
  journal_share: fraction.optional().describe(
    "fraction of traces, or else connections, by the same hash as a mirror's; absent: all",
  ),
  journal_ttl_seconds: z.int().min(1).max(315_360_000).optional().describe(
    "age up to which they are kept; absent: a week",
  ),
  journal_payload: z.enum(["reference", "keep", "hash"]).optional().describe(
    "how a payload is recorded: its offset in a durable room's log, else itself (reference, also if absent); itself (keep); its SHA-256 (hash)",
  ),
};

/** `[journal]`: applies to connections, and to rooms whose class sets nothing else. */
export const Journal = z.strictObject({ journal: mode.default("off"), ...JournalStorage });

/** `[ledger]`: the deliveries that a Shield records. */
export const LedgerTable = z.strictObject({
  enabled: z.boolean().default(true).describe(
    "record deliveries for `arq why`: ids and times only",
  ),
  store: z.boolean().default(false).describe(
    "store the ledger beside the journal, so that it outlives the Shield",
  ),
  seconds: count(3_600, 604_800, "how long the ledger remembers at most"),
});

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
