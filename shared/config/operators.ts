/**
 * Whose admins operate the whole bus, as a configuration has it. Pure; what an operator may do is the
 * Shield's `admin_scope.ts`.
 */
import type { z } from "zod";
import type { Config } from "./schema.ts";

/** What of a configuration decides about admins. */
interface Admins {
  readonly admin: Pick<Config["admin"], "operator_tenants">;
  readonly auth: {
    readonly issuers: readonly Pick<
      Config["auth"]["issuers"][number],
      "issuer" | "tenants" | "roles"
    >[];
  };
}

const NAMED = 3;

/** Tenants that somebody may vouch for admins of; "*" is any. */
function adminTenants({ auth }: Admins): string[] {
  const tenants = auth.issuers.flatMap((entry) =>
    entry.roles.includes("admin") ? entry.tenants : []
  );
  return [...new Set(tenants)];
}

/**
 * Tenants whose admins operate the whole bus; "*" is any. Where the configuration does not say it, the
 * only one that can have admins: with several, the configuration is refused.
 */
export function operatorTenants(config: Admins): readonly string[] {
  return config.admin.operator_tenants ?? adminTenants(config);
}

/** Refuses several tenants with admins where nobody has said which of them operate the bus. */
export function refuseUnnamedOperators(
  config: Admins,
  context: z.core.$RefinementCtx,
): void {
  if (config.admin.operator_tenants !== undefined) return;
  const tenants = adminTenants(config);
  if (tenants.length < 2 && !tenants.includes("*")) return;
  const vouching = config.auth.issuers.filter(({ roles }) => roles.includes("admin"));
  const names = vouching.slice(0, NAMED).map(({ issuer }) => JSON.stringify(issuer)).join(", ");
  const first = tenants.find((tenant) => tenant !== "*") ?? "ops";
  context.addIssue({
    code: "custom",
    path: ["admin", "operator_tenants"],
    message:
      "expected the tenants whose admins operate the whole bus, because there can be admins of " +
      `several (issuer ${names}${
        vouching.length > NAMED ? ", …" : ""
      }); add to the table [admin] ` +
      `the line operator_tenants = [${JSON.stringify(first)}]`,
  });
}
