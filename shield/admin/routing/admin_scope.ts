/**
 * What an admin may act on: the whole bus, or one tenant only. Pure decisions. The route tables say
 * what each route is about; `admin_router.ts` finds the tenant that a request names.
 */
import { ArqonError } from "@arqon/proto";
import type { AdminRates } from "../admin_rates.ts";
import type { CheckQueue } from "./check_queue.ts";
import type { AuditTrail } from "./audited.ts";
import type { Client } from "../../message/caller.ts";

/**
 * What a route of the admin API is about. A route that says nothing is `bus`.
 * - `bus`: more than one tenant, or processes: for operators of the whole bus only.
 * - `shared`: what belongs to no tenant: for every admin.
 * - `own`: lists and lookups that span tenants, for every admin; whoever answers shows the admin of a
 *   tenant that tenant only. `?tenant=` may name no other.
 * - `tenant-in-…`: one tenant, which is named there; for its admins and for operators.
 */
export type RouteScope =
  | "bus"
  | "shared"
  | "own"
  | "tenant-in-path"
  | "tenant-in-query"
  | "tenant-in-subject"
  | "tenant-in-body";

/** The admin behind a request, after role and token have been checked. */
export interface Admin {
  /** User id. */
  readonly by: string;
  /** The tenant of the token. */
  readonly tenant_id: string;
  /** Unix ms: the end of the token. */
  readonly expires_ms: number;
  /** The one tenant that it may act on; undefined: it operates the whole bus. */
  readonly only_tenant: string | undefined;
  /** The identity of the token, and the address of the connection. */
  readonly client: Client;
  /** The audit log for what it does; absent: there is none. */
  readonly audit?: AuditTrail | undefined;
  /** The rate of its changes; absent: it has none. */
  readonly rates?: Pick<AdminRates, "takeChange"> | undefined;
  /** The queue of checks for its uploads; absent: they do not wait. */
  readonly checks?: Pick<CheckQueue, "run"> | undefined;
}

/** The admin behind a token; `operator_tenants` are as `shared/config/operators.ts` has them. */
export function adminOf(client: Client, operator_tenants: readonly string[]): Admin {
  const { user_id: by, tenant_id, expires_ms } = client.identity;
  const is_operator = operator_tenants.includes("*") || operator_tenants.includes(tenant_id);
  return { by, tenant_id, expires_ms, only_tenant: is_operator ? undefined : tenant_id, client };
}

/**
 * Whether that admin may use a route of that scope for the tenants that the request names. Throws
 * `role-forbidden` (403) when it takes an operator, `tenant-mismatch` (403) when another tenant is
 * named, or none where one has to be.
 */
export function requireScope(
  scope: RouteScope | undefined,
  { only_tenant }: Pick<Admin, "only_tenant">,
  named: readonly string[],
): void {
  if (only_tenant === undefined) return;
  const is_own = named.every((tenant) => tenant === only_tenant);
  switch (scope) {
    case "shared":
      return;
    case "own":
      if (is_own) return;
      break;
    case "tenant-in-path":
    case "tenant-in-query":
    case "tenant-in-subject":
    case "tenant-in-body":
      if (is_own && named.length > 0) return;
      break;
    case "bus":
    case undefined:
      throw new ArqonError(
        "role-forbidden",
        `this is for operators of the whole bus, and admins of tenant ${only_tenant} are none ` +
          "([admin] operator_tenants)",
      );
    default:
      scope satisfies never;
  }
  throw new ArqonError("tenant-mismatch", `this admin may act on tenant ${only_tenant} only`);
}
