/**
 * Counts what readers of stored messages use, and asks their tenant's budgets before. Who reads is `durable/history`
 * and `streams`; what subscribers catch up with counts as deliveries.
 */
import type { ReadMeter } from "../message/reads.ts";
import type { Budgets } from "./budgets.ts";
import type { UsageLedger } from "./ledger.ts";

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
