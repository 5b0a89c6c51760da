/** Admins for tests: who operates the whole bus, and who acts for one tenant only. Tests only. */
import type { Admin } from "./admin_scope.ts";

const FOR_GOOD = { expires_ms: 8_640_000_000_000_000 };

/** An admin of tenant `ops`, which operates the whole bus. */
export function operator(by = "root"): Admin {
  return { by, tenant_id: "ops", ...FOR_GOOD, only_tenant: undefined };
}

/** An admin of that tenant only. */
export function tenantAdmin(tenant_id: string, by = "root"): Admin {
  return { by, tenant_id, ...FOR_GOOD, only_tenant: tenant_id };
}
