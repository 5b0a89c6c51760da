/** Limits the connections of a user, a tenant and the process. `rates.ts` limits what they send. */
import { ArqonError } from "@arqon/proto";
import { Counter } from "prom-client";
import type { Registry } from "prom-client";
import type { Config } from "../../shared/config/schema.ts";
import { plural } from "../../shared/plural.ts";
import type { Identity } from "../auth/identity.ts";

type ConnectionLimits = Pick<
  Config["limits"],
  "connections_per_user" | "connections_per_tenant" | "connections_per_process"
>;

type Counted = Pick<Identity, "tenant_id" | "user_key">;

/** The counters of open connections of this process. */
export interface ConnectionCounters {
  /**
   * Counts one more connection. Throws `at-capacity` (503) for the process, `too-many-connections` (429) for the tenant
   * or the user.
   */
  acquire(identity: Counted): void;
  /** Ends one `acquire` of the same user. */
  release(identity: Counted): void;
  /** Throws `at-capacity` early, before a token is read. */
  requireRoom(): void;
  /** The number of open connections, in total or of a tenant. */
  open(tenant_id?: string): number;
  /** Distinct users and tenants with an open connection. */
  distinct(): { users: number; tenants: number };
}

function bump(counts: Map<string, number>, key: string, by: number): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next > 0) counts.set(key, next);
  else counts.delete(key);
}

/** Refusals are counted in `shield_connections_refused_total{scope}`. */
export function createConnectionCounters(
  limits: ConnectionLimits,
  registry: Registry,
): ConnectionCounters {
  const users = new Map<string, number>();
  const tenants = new Map<string, number>();
  let total = 0;
  const refused = new Counter({
    name: "shield_connections_refused_total",
    help: "Connections refused because a user, a tenant or the process has too many.",
    labelNames: ["scope"],
    registers: [registry],
  });

  function requireRoom(): void {
    if (total < limits.connections_per_process) return;
    refused.inc({ scope: "process" });
    throw new ArqonError("at-capacity", plural(limits.connections_per_process, "connection"), {
      retry_after_ms: 1_000,
    });
  }

  function requireBelow(counts: Map<string, number>, key: string, limit: number, scope: string) {
    if ((counts.get(key) ?? 0) < limit) return;
    refused.inc({ scope });
    throw new ArqonError("too-many-connections", `this ${scope} has ${limit}`, {
      retry_after_ms: 1_000,
    });
  }

  function change({ tenant_id, user_key }: Counted, by: 1 | -1): void {
    total += by;
    bump(tenants, tenant_id, by);
    bump(users, user_key, by);
  }

  function acquire(identity: Counted): void {
    requireRoom();
    requireBelow(tenants, identity.tenant_id, limits.connections_per_tenant, "tenant");
    requireBelow(users, identity.user_key, limits.connections_per_user, "user");
    change(identity, 1);
  }

  return {
    acquire,
    release: (identity) => change(identity, -1),
    requireRoom,
    open: (tenant_id) => tenant_id === undefined ? total : tenants.get(tenant_id) ?? 0,
    distinct: () => ({ users: users.size, tenants: tenants.size }),
  };
}
