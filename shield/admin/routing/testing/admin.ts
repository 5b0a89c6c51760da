/** Admins for tests: who operates the whole bus, and who acts for one tenant only. Tests only. */
import type { Admin } from "../admin_scope.ts";
import { ann } from "../../../auth/testing/identity.ts";

function adminIn(tenant_id: string, by: string, only_tenant: string | undefined): Admin {
  const expires_ms = 8_640_000_000_000_000;
  const identity = { ...ann, tenant_id, user_id: by, role: "admin" as const, expires_ms };
  const client = { identity, remote_ip: "127.0.0.1" };
  return { by, tenant_id, expires_ms, only_tenant, client };
}

/** An admin of tenant `ops`, which operates the whole bus. */
export function operator(by = "root"): Admin {
  return adminIn("ops", by, undefined);
}

/** An admin of that tenant only. */
export function tenantAdmin(tenant_id: string, by = "root"): Admin {
  return adminIn(tenant_id, by, tenant_id);
}
