/** The bound of the appends that wait for their logs, which tenants share. */
import { ArqonError } from "@arqon/proto";
import { FairBound } from "../../turns/fair_bound.ts";
import type { LogLimits } from "./durable_log.ts";

const RETRY_MS = 100;

/** The bound of one process. */
export const pendingAppends = (
  { pending_messages, pending_bytes }: Pick<LogLimits, "pending_messages" | "pending_bytes">,
) => new FairBound({ items: pending_messages, bytes: pending_bytes });

/** Counts an append. Throws `log-unavailable` above the tenant's share. */
export function takeAppend(pending: FairBound, tenant_id: string, bytes: number): void {
  if (pending.take(tenant_id, bytes)) return;
  const detail = `${pending.of(tenant_id).items} publishes of this tenant wait`;
  throw new ArqonError("log-unavailable", detail, { retry_after_ms: RETRY_MS });
}
