/**
 * What each described path of the admin API is about, from the route tables that are held to it: whether
 * it takes an operator of the whole bus, or is for admins of a tenant, too.
 */
import { STATUS_ROUTES } from "../admin_status.ts";
import type { ListedRoute } from "../admin_routes.ts";
import type { RouteScope } from "../admin_scope.ts";
import { AUDIT_ROUTES } from "../audit/api.ts";
import { BAN_ROUTES } from "../bans_api.ts";
import { MIRROR_ROUTES } from "../mirror/admin_api.ts";
import { POLICY_ROUTES } from "../policy/admin_api.ts";
import { REVOCATION_ROUTES } from "../revocations_api.ts";
import { ROOM_ROUTES } from "../rooms/admin_api.ts";
import { SCHEMA_ROUTES } from "../schema/admin_api.ts";
import { INSPECT_ROUTES } from "./api.ts";
import type { Schema } from "./openapi_parts.ts";

/** Every route of the admin API that takes a token. */
export function listedRoutes(): ListedRoute[] {
  return [
    STATUS_ROUTES,
    INSPECT_ROUTES,
    POLICY_ROUTES,
    MIRROR_ROUTES,
    SCHEMA_ROUTES,
    ROOM_ROUTES,
    REVOCATION_ROUTES,
    BAN_ROUTES,
    AUDIT_ROUTES,
  ].flatMap((table) => [...table.list()]);
}

const TEXTS: Readonly<Record<RouteScope, string>> = {
  bus: "Bus-wide: for operators, who are admins of a tenant in `[admin] operator_tenants`.",
  shared: "For every admin.",
  own: "For every admin; who is no operator sees and reaches its own tenant's only.",
  "tenant-in-path": "For operators, and for admins of the tenant in the path.",
  "tenant-in-query": "For operators, and for admins of the tenant in the query.",
  "tenant-in-subject": "For operators, and for admins of the tenant in the subject.",
  "tenant-in-body": "For operators, and for admins of the tenant in the body.",
};

/** The paths, each method with `x-arqon-scope`; what needs no token stays as it is. */
export function withScopes(paths: Readonly<Record<string, Schema>>): Record<string, Schema> {
  const scopes = new Map(
    listedRoutes().map(({ method, template, scope }) => [`${method} ${template}`, scope]),
  );
  const described = (path: string, method: string, operation: Schema): Schema => {
    if ("security" in operation) return operation;
    const scope = scopes.get(`${method.toUpperCase()} ${path}`) ?? "bus";
    return { ...operation, description: TEXTS[scope], "x-arqon-scope": scope };
  };
  return Object.fromEntries(
    Object.entries(paths).map(([path, methods]) => [
      path,
      Object.fromEntries(
        Object.entries(methods).map(([method, operation]) => [
          method,
          described(path, method, operation as Schema),
        ]),
      ),
    ]),
  );
}
