/** Every route of the admin API, for tests that knock on each. What they do is their parts' tests. */

/** One request that the admin API knows. */
export interface AdminRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
}

const of = (path: string, ...methods: AdminRoute["method"][]): AdminRoute[] =>
  methods.map((method) => ({ method, path }));

/** All of them, with names where they take some. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  ...of("/v1/status", "GET"),
  ...of("/v1/access", "GET"),
  ...of("/v1/cluster", "GET"),
  ...of("/v1/cluster/history", "GET"),
  ...of("/v1/connections", "GET"),
  ...of("/v1/connections/c-none", "GET", "DELETE"),
  ...of("/v1/rooms", "GET"),
  ...of("/v1/rooms/acme/lobby", "GET"),
  ...of("/v1/rooms/acme/lobby/tail", "GET"),
  ...of("/v1/rooms/acme/lobby/messages", "GET", "POST"),
  ...of("/v1/rooms/acme/lobby/state", "GET"),
  ...of("/v1/rooms/acme/lobby/kick", "POST"),
  ...of("/v1/rooms/acme/lobby/ban", "POST"),
  ...of("/v1/bans", "GET", "DELETE"),
  ...of("/v1/tenants", "GET"),
  ...of("/v1/limits", "GET"),
  ...of("/v1/why?user=ann", "GET"),
  ...of("/v1/policies/stats", "GET"),
  ...of("/v1/policies/stats?tenant=acme", "DELETE"),
  ...of("/v1/drain", "POST"),
  ...of("/v1/log", "GET", "PUT"),
  ...of("/v1/config", "GET"),
  ...of("/v1/config/reload", "POST"),
  ...of("/v1/revocations", "GET", "POST", "DELETE"),
  ...of("/v1/policies", "GET"),
  ...of("/v1/policies/modules", "PUT"),
  ...of(`/v1/policies/modules/${"0".repeat(64)}`, "GET"),
  ...of("/v1/policies/deploy", "POST"),
  ...of("/v1/policies/rollback", "POST"),
  ...of("/v1/policies/reset", "POST"),
  ...of("/v1/policies/logs", "GET"),
  ...of("/v1/policies/quarantine", "GET"),
  ...of(`/v1/policies/quarantine/${"0".repeat(64)}`, "DELETE"),
  ...of("/v1/policies/no-spam?tenant=acme", "DELETE"),
  ...of("/v1/mirror", "GET"),
  ...of("/v1/mirror/explain", "GET"),
  ...of("/v1/mirror/diff", "GET", "DELETE"),
  ...of("/v1/tenants/acme/mirror", "GET", "PUT", "DELETE"),
  ...of("/v1/tenants/acme/reset", "POST"),
  ...of("/v1/tenants/acme/state", "GET", "PUT"),
  ...of("/v1/rollouts", "GET"),
  ...of("/v1/rollouts/acme", "GET", "POST"),
  ...of("/v1/rollouts/acme/pause", "POST"),
  ...of("/v1/rollouts/acme/resume", "POST"),
  ...of("/v1/rollouts/acme/abort", "POST"),
  ...of("/v1/schemas", "GET"),
  ...of("/v1/schemas/orders", "GET", "PUT", "DELETE"),
  ...of("/v1/schemas/orders/check", "POST"),
  ...of("/v1/schemas/orders/rollback", "POST"),
  ...of("/v1/schemas/orders/validate", "POST"),
  ...of("/v1/schemas/orders/versions/1", "GET"),
  ...of("/v1/tenants/acme/mappings", "GET", "PUT", "DELETE"),
  ...of("/v1/rooms/classes", "GET"),
  ...of("/v1/rooms/classes/explain", "GET"),
  ...of("/v1/tenants/acme/rooms", "GET", "PUT", "DELETE"),
  ...of("/v1/audit", "GET"),
  ...of("/v1/audit/entries", "GET"),
  ...of("/v1/journal", "GET"),
  ...of("/v1/journal/status", "GET"),
  ...of("/v1/journal/erase", "POST"),
  ...of("/v1/usage", "GET"),
  ...of("/v1/tenants/acme/budgets", "GET", "PUT", "DELETE"),
  ...of("/v1/backup", "GET"),
];

/** Files that answer some of them; a path that one of them names has to be above. */
export const ADMIN_FILES: readonly string[] = [
  "shield/admin/admin.ts",
  "shield/admin/operations/admin_status.ts",
  "shield/admin/inspect/api.ts",
  "shield/admin/operations/bans_api.ts",
  "shield/admin/operations/revocations_api.ts",
  "shield/policy/admin_api.ts",
  "shield/mirror/admin_api.ts",
  "shield/schema/admin/admin_api.ts",
  "shield/rooms/admin_api.ts",
  "shield/audit/api.ts",
  "shield/apply/api.ts",
  "shield/journal/admin/api.ts",
  "shield/admin/operations/backup_api.ts",
];
