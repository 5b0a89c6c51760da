/**
 * Counts what readers of stored messages use, and asks their tenant's budgets before. Who reads is `durable/history`
 * and `streams`; what subscribers catch up with counts as deliveries.
 */
import type { Identity } from "../auth/identity.ts";
import type { Budgets } from "./budgets.ts";
import type { UsageLedger } from "./ledger.ts";

/** What readers report about themselves. */
export interface ReadMeter {
  /** A page of a room's log is read next. Throws as `Budgets.take`. `pattern` is that of the room's class. */
  page(identity: Identity, pattern: string): void;
  /** So many bytes of it are given. */
  give(identity: Identity, pattern: string, size_bytes: number): void;
}

/** The meter of one Shield. */
export function readMeter(
  ledger: Pick<UsageLedger, "read">,
  budgets: Pick<Budgets, "take">,
): ReadMeter {
  return {
    page(identity, pattern) {
      budgets.take(identity.tenant_id);
      ledger.read(identity, pattern, 1, 0);
    },
    give: (identity, pattern, size_bytes) => ledger.read(identity, pattern, 0, size_bytes),
  };
}
