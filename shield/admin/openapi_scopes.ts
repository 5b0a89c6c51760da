/** What the scope of a route means, in the words of the admin API's description. */
import type { RouteScope } from "./routing/admin_scope.ts";

/** By scope. */
export const SCOPE_TEXTS: Readonly<Record<RouteScope, string>> = {
  bus: "Bus-wide: for operators, who are admins of a tenant in `[admin] operator_tenants`.",
  shared: "For every admin.",
  own: "For every admin; who is no operator sees and reaches its own tenant's only.",
  "tenant-in-path": "For operators, and for admins of the tenant in the path.",
  "tenant-in-query": "For operators, and for admins of the tenant in the query.",
  "tenant-in-subject": "For operators, and for admins of the tenant in the subject.",
  "tenant-in-body": "For operators, and for admins of the tenant in the body.",
};
