/**
 * The path of every message without a socket: counted for the process and its tenant, and charged to the rates of its
 * user, its tenant and the process.
 */
import type { Identity } from "../auth/identity.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";
import type { HttpRates } from "./http_rates.ts";

/** The counters of messages without a socket, and their rates. */
export interface IngressContext {
  readonly stats: Pick<ShieldStats, "ingress_ops" | "ingress_bytes">;
  readonly tenants: Pick<TenantTable, "of">;
  readonly rates: Pick<HttpRates, "take">;
}

/**
 * Counts one message of this size as `op` of `shield_ingress_ops`, and takes it from its rates. Throws
 * `rate-limited` (429).
 */
export function takeIngress(
  { stats, tenants, rates }: IngressContext,
  identity: Pick<Identity, "tenant_id" | "user_key">,
  op: string,
  size_bytes: number,
): void {
  bump(stats.ingress_ops, op);
  stats.ingress_bytes += size_bytes;
  const tenant = tenants.of(identity.tenant_id);
  tenant.ingress_messages++;
  tenant.ingress_bytes += size_bytes;
  rates.take(identity, size_bytes);
}
