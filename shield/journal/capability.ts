/** What journal brings to a Shield. */
import type { Capability } from "../capability.ts";
import type { LiveKey } from "../../shared/config/keys/live_keys.ts";
import { QUOTA_KEYS } from "../quota/capability.ts";
import { RATE_KEYS } from "../rates/rates.ts";
import { JOURNAL_ROUTES } from "./admin/api.ts";

/** What is written, and what every decision depends on. */
const KEYS: readonly LiveKey[] = [
  ...RATE_KEYS,
  ...QUOTA_KEYS,
  "journal.journal",
  "journal.journal_share",
  "journal.journal_ttl_seconds",
  "journal.journal_bytes",
  "journal.journal_payload",
  "journal.tenants",
];

/** What was decided about messages. */
export const JOURNAL: Capability = {
  name: "journal",
  title: "what was decided about messages",
  admin: { tables: [JOURNAL_ROUTES], tags: { journal: "what was decided about messages" } },
  start: (_env, { journal, durable }) => ({
    routes: JOURNAL_ROUTES.serve({ ...journal.admin, logs: durable.logs }),
    follows: [{ keys: KEYS, renew: () => journal.renew() }],
  }),
};
