/**
 * The scope of admins: every route scope against operators, admins of a tenant, and the tenants that a request names.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { adminOf, requireScope, type RouteScope } from "./admin_scope.ts";
import { operator, tenantAdmin } from "./testing/admin.ts";
import { ann } from "../../auth/testing/identity.ts";

const NAMING = ["path", "query", "subject", "body"].map((place) =>
  `tenant-in-${place}` as RouteScope
);
const SCOPES: readonly (RouteScope | undefined)[] = [undefined, "bus", "shared", "own", ...NAMING];

/** The reason of the refusal; "" when it is allowed. */
function reasonOf(...args: Parameters<typeof requireScope>): string {
  try {
    requireScope(...args);
    return "";
  } catch (error) {
    assert.ok(error instanceof ArqonError && error.code === 403);
    return error.reason;
  }
}

Deno.test("operators have no default; an empty or invalid list prevents the start", () => {
  const listOf = (admin: object) => configFrom({ admin }).admin.operator_tenants;
  assert.equal(listOf({}), undefined);
  assert.deepEqual(listOf({ operator_tenants: ["ops", "acme"] }), ["ops", "acme"]);
  for (const operator_tenants of [[], "ops", ["a.b"], ["acme*"], [""], [1]]) {
    assert.throws(() => listOf({ operator_tenants }), /operator_tenants/);
  }
});

const client = (tenant_id: string) => ({
  identity: { ...ann, tenant_id, expires_ms: 7 },
  remote_ip: "127.0.0.1",
});

Deno.test("an admin of acme reaches only acme, and the refusal says why", () => {
  const table: [scope: RouteScope | undefined, named: string[], reason: string][] = [
    ["bus", [], "role-forbidden"],
    ["bus", ["acme"], "role-forbidden"],
    [undefined, [], "role-forbidden"],
    [undefined, ["acme"], "role-forbidden"],
    ["shared", [], ""],
    ["own", [], ""],
    ["own", ["acme"], ""],
    ["own", ["globex"], "tenant-mismatch"],
    ["own", ["acme", "globex"], "tenant-mismatch"],
    ["own", [""], "tenant-mismatch"],
  ];
  // A request that names no tenant might be answered about all tenants.
  const foreign = [["globex"], ["acme", "globex"], ["ACME"], ["acme "], ["*"], [""], []];
  for (const scope of NAMING) {
    table.push([scope, ["acme"], ""], [scope, ["acme", "acme"], ""]);
    for (const named of foreign) table.push([scope, named, "tenant-mismatch"]);
  }
  for (const [scope, named, reason] of table) {
    assert.equal(reasonOf(scope, tenantAdmin("acme"), named), reason, `${scope} ${named}`);
    assert.equal(reasonOf(scope, operator(), named), "", `an operator, ${scope} ${named}`);
  }
  const refused = (...args: Parameters<typeof requireScope>) =>
    assert.throws(() => requireScope(...args), /acme.*only|operators of the whole bus.*acme/);
  refused("bus", tenantAdmin("acme"), []);
  refused("tenant-in-path", tenantAdmin("acme"), ["globex"]);
});

Deno.test("operators are the listed tenants; with * every admin is one", () => {
  const table: [operator_tenants: string[], is_operator: boolean][] = [
    [["*"], true],
    [["acme"], true],
    [["globex", "acme"], true],
    [["globex", "*"], true],
    [["globex"], false],
    [["acm*"], false],
    [["ACME"], false],
    [[], false],
  ];
  for (const [operator_tenants, is_operator] of table) {
    const admin = adminOf(client("acme"), operator_tenants);
    const only_tenant = is_operator ? undefined : "acme";
    const expected = { by: "ann", tenant_id: "acme", only_tenant, client: client("acme") };
    assert.deepEqual(admin, expected, operator_tenants.join());
  }
});

Deno.test("a tenant admin's request that names another tenant is refused in every scope", () => {
  const tenant = fc.constantFrom("acme", "globex", "initech", "*", "", "_other");
  const given = {
    scope: fc.constantFrom(...SCOPES),
    own: tenant.filter((name) => name !== "*" && name !== ""),
    operators: fc.array(tenant, { maxLength: 3 }),
    named: fc.array(tenant, { maxLength: 3 }),
  };
  fc.assert(fc.property(fc.record(given), ({ scope, own, operators, named }) => {
    const admin = adminOf(client(own), operators);
    const reason = reasonOf(scope, admin, named);
    const may_all = operators.includes("*") || operators.includes(own);
    assert.equal(admin.only_tenant === undefined, may_all);
    if (may_all) return assert.equal(reason, "", "operators pass every check here");
    if (scope === undefined || scope === "bus") return assert.equal(reason, "role-forbidden");
    if (scope === "shared") return assert.equal(reason, "");
    const names_others = named.some((one) => one !== own);
    const names_nobody = named.length === 0 && scope !== "own";
    assert.equal(reason, names_others || names_nobody ? "tenant-mismatch" : "");
  }));
});
