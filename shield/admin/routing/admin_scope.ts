/**
 * The scope of an admin: the whole bus, or one tenant only. Pure decisions. The route tables declare the scope of each
 * route; `admin_router.ts` finds the tenant that a request names.
 */
import { ArqonError } from "@arqon/proto";
import type { AdminRates } from "../admin_rates.ts";
import type { FairQueue } from "../../../shared/turns/fair_queue.ts";
import type { AuditTrail } from "./audit_trail.ts";
import type { Client } from "../../message/caller.ts";

/**
 * The scope of a route of the admin API. The default is `bus`.
 * - `bus`: more than one tenant, or processes: for operators of the whole bus only.
 * - `shared`: things that belong to no tenant; for every admin.
 * - `own`: lists and lookups that span tenants, for every admin. The handler shows the admin of one tenant only that
 *   tenant, and `?tenant=` may name no other.
 * - `tenant-in-…`: one tenant, named in that place; for its admins and for operators.
 */
export type RouteScope =
  | "bus"
  | "shared"
  | "own"
  | "tenant-in-path"
  | "tenant-in-query"
  | "tenant-in-subject"
  | "tenant-in-body";

/** The admin behind a request, after the token and its role have been checked. */
export interface Admin {
  /** User id. */
  readonly by: string;
  readonly tenant_id: string;
  /** The only tenant that it may act on; undefined: it operates the whole bus. */
  readonly only_tenant: string | undefined;
  /** The identity of the token, and the address of the connection. */
  readonly client: Client;
  /** Throws if its token has ended (401), or a reload has taken its scope (403); absent: it never does. */
  readonly requireStill?: (() => void) | undefined;
  /** The audit log of its actions; absent: there is none. */
  readonly audit?: AuditTrail | undefined;
  /** The rate of its changes; absent: unlimited. */
  readonly rates?: Pick<AdminRates, "takeChange"> | undefined;
  /** The queue of checks for its uploads; absent: uploads do not queue. */
  readonly checks?: Pick<FairQueue, "run"> | undefined;
}

/** The admin behind a token; `operator_tenants` are described in `shared/config/operators.ts`. */
export function adminOf(client: Client, operator_tenants: readonly string[]): Admin {
  const { user_id: by, tenant_id } = client.identity;
  const is_operator = operator_tenants.includes("*") || operator_tenants.includes(tenant_id);
  return { by, tenant_id, only_tenant: is_operator ? undefined : tenant_id, client };
}

/**
 * Checks that the admin may use a route of that scope for the tenants that the request names. Throws `role-forbidden`
 * (403) if the route needs an operator, and `tenant-mismatch` (403) if another tenant is named, or none where one is
 * required.
 */
export function requireScope(
  scope: RouteScope | undefined,
  { only_tenant }: Pick<Admin, "only_tenant">,
  named: readonly string[],
): void {
  if (only_tenant === undefined || scope === "shared") return;
  if (scope === undefined || scope === "bus") {
    throw new ArqonError(
      "role-forbidden",
      `this is for operators of the whole bus, and admins of tenant ${only_tenant} are not operators ` +
        "([admin] operator_tenants)",
    );
  }
  const is_named = scope === "own" || named.length > 0;
  if (is_named && named.every((tenant) => tenant === only_tenant)) return;
  throw new ArqonError("tenant-mismatch", `this admin may act on tenant ${only_tenant} only`);
}

const CHECKS_RETRY_MS = 1_000;

/**
 * Runs a check of an upload in the tenant's turn; at once if there is no queue. Rejects with `too-many-pending` (429)
 * if the queue is full.
 */
export function inTurn<T>(
  { checks }: Pick<Admin, "checks">,
  tenant_id: string,
  check: () => Promise<T>,
): Promise<T> {
  const detail = "modules and schemas of this tenant wait to be checked (limits.admin_checks)";
  return checks?.run(tenant_id, check, () => {
    return new ArqonError("too-many-pending", detail, { retry_after_ms: CHECKS_RETRY_MS });
  }) ?? check();
}
