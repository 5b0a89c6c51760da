/** What is written into the journal of decisions: `[journal]`, and the same keys of a class of rooms. */
import { z } from "zod";
import { count, fraction } from "./values/schema_values.ts";

/** The keys; what is written into the journal is said by others of `[journal]`. */
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
/** Whether tenants decide on a journal of their own. */
const TENANTS = ["may", "never"] as const;
/** What is written of a payload. */
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

/** The keys of a class of rooms; what is absent is as `[journal]` says. */
export const RoomJournal = {
  journal: mode.optional(),
  journal_share: share.optional(),
  journal_ttl_seconds: ttl_seconds.optional(),
  journal_payload: payload.optional(),
};

/** `[journal]`: what holds for connections, and for rooms whose class says nothing else. */
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
