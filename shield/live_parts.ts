/**
 * Tells the parts of a Shield that keep something of the configuration when it has changed. All others read a
 * live key each time that they need it (`shared/config/keys/live_keys.ts` lists them).
 */
import type { ConfigChanges } from "../shared/config/live/live_config.ts";
import type { LiveKey } from "../shared/config/keys/live_keys.ts";
import type { Parts } from "./parts.ts";

const RATES: readonly LiveKey[] = [
  "limits.messages_per_second",
  "limits.bytes_per_second",
  "limits.user_messages_per_second",
  "limits.user_bytes_per_second",
  "limits.tenant_messages_per_second",
  "limits.tenant_bytes_per_second",
  "limits.process_messages_per_second",
  "limits.process_bytes_per_second",
];
const QUOTAS: readonly LiveKey[] = [
  "quota.tenant_messages_per_second",
  "quota.tenant_bytes_per_second",
  "quota.tenants",
];
const JOURNAL: readonly LiveKey[] = [
  "journal.journal",
  "journal.journal_share",
  "journal.journal_ttl_seconds",
  "journal.journal_bytes",
  "journal.journal_payload",
  "journal.tenants",
];

/** The parts that keep something. */
type Told = Pick<
  Parts,
  "rates" | "quota" | "mirroring" | "schemas" | "rooms" | "journal" | "usage"
>;

/** Tells them from now on. */
export function followConfig(changes: ConfigChanges, parts: Told): void {
  const { rates, quota, mirroring, schemas, rooms, journal, usage } = parts;
  changes.follow(RATES, () => rates.renew());
  changes.follow(QUOTAS, () => quota?.renew());
  changes.follow(["platform.mirroring.rules"], () => mirroring.renew());
  changes.follow(["platform.registry.mappings"], () => schemas.renew());
  changes.follow(["usage.budgets"], () => usage?.renew());
  changes.follow(["usage.prices", "usage.prices_from"], () => usage?.reprice());
  changes.follow(["rooms"], () => rooms.renew());
  changes.follow([...RATES, ...QUOTAS, ...JOURNAL], () => journal.renew());
}
