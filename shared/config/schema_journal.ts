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
/** Whether tenants may configure their own journal. */
const TENANTS = ["may", "never"] as const;
/** How a payload is recorded. */
const PAYLOADS = ["reference", "keep", "hash"] as const;

const mode = z.enum(MODES).describe(
  "recorded decisions: none, refusals, or all",
);
const share = fraction.describe(
  "fraction of traces, or else connections, by the same hash as a mirror's",
);
const ttl_seconds = z.int().min(1).max(315_360_000).describe("age up to which they are kept");
const payload = z.enum(PAYLOADS).describe(
  "how a payload is recorded: its offset in a durable room's log, else itself (reference); itself (keep); its SHA-256 (hash)",
);

/** The keys of a room class; absent ones default to `[journal]`. */
export const RoomJournal = {
  journal: mode.optional(),
  journal_share: share.optional(),
  journal_ttl_seconds: ttl_seconds.optional(),
  journal_payload: payload.optional(),
};

/** `[journal]`: applies to connections, and to rooms whose class sets nothing else. */
export const Journal = z.strictObject({
  journal: mode.default("off"),
  journal_share: share.default(1),
  journal_ttl_seconds: ttl_seconds.default(604_800),
  journal_payload: payload.default("reference"),
  tenants: z.enum(TENANTS).default("may").describe(
    "whether journal keys in tenants' own room classes apply (may), or only this table (never)",
  ),
  ...JournalStorage,
});

/** `[ledger]`: the deliveries that a Shield records. */
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
