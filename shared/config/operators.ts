/** Which tenants' admins operate the whole bus. Pure; the Shield's `admin_scope.ts` defines what an operator may do. */
import type { z } from "zod";

/** The part of a configuration that decides about admins. */
interface Admins {
  readonly admin: { readonly operator_tenants?: readonly string[] | undefined };
  readonly auth: {
    readonly issuers: readonly {
      readonly issuer: string;
      readonly tenants: readonly string[];
      readonly roles: readonly string[];
    }[];
  };
}

const NAMED = 3;

/** The tenants whose admins some issuer may sign tokens for; "*" is any. */
function adminTenants({ auth }: Admins): string[] {
  const tenants = auth.issuers.flatMap((entry) =>
    entry.roles.includes("admin") ? entry.tenants : []
  );
  return [...new Set(tenants)];
}

/**
 * The tenants whose admins operate the whole bus; "*" is any. Default: the only tenant that can have admins; a
 * configuration with several such tenants is refused.
 */
export function operatorTenants(config: Admins): readonly string[] {
  return config.admin.operator_tenants ?? adminTenants(config);
}

/** Refuses a configuration in which several tenants can have admins and nothing says which of them operate the bus. */
export function refuseUnnamedOperators(config: Admins, context: z.core.$RefinementCtx): void {
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
