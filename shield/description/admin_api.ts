/**
 * The description of the admin API (OpenAPI 3.1), as `GET /v1/openapi.json` gives it: every path that the admin
 * listener answers, apart from the console's files. It is generated from the route tables and from the schemas that
 * read the bodies; `tests/admin/openapi_test.ts` checks it.
 */
import { actionOf, type ListedRoute } from "../admin/routing/admin_routes.ts";
import { COUNT, ID, inPath, object, parametersOf } from "../openapi/openapi_parts.ts";
import type { Parameter, Schema } from "../openapi/openapi_parts.ts";
import { templateNames } from "../../shared/path_template.ts";
import type { AdminSide } from "../capability.ts";
import type { RouteScope } from "../admin/routing/admin_scope.ts";
import { STATUS_ROUTES } from "../admin/admin_status.ts";
import { operation, PROBLEM, type RefusalWords } from "./operation.ts";

const SCOPE_TEXTS: Readonly<Record<RouteScope, string>> = {
  bus: "Bus-wide: for operators, who are admins of a tenant in `[admin] operator_tenants`.",
  shared: "For every admin.",
  own: "For every admin; an admin who is not an operator reaches only its own tenant.",
  "tenant-in-path": "For operators, and for admins of the tenant in the path.",
  "tenant-in-query": "For operators, and for admins of the tenant in the query.",
  "tenant-in-subject": "For operators, and for admins of the tenant in the subject.",
  "tenant-in-body": "For operators, and for admins of the tenant in the body.",
};

const REFUSALS: RefusalWords["texts"] = {
  400: "the request is invalid: the text says what is expected",
  401: "no token, or an invalid one",
  403:
    "the token's role is not admin, the path is for operators, the admin is of another tenant, or the " +
    "request is cross-site",
  404: "it does not exist",
  405: "the path does not support this method",
  408: "no answer in time; the request may have taken effect",
  409: "it conflicts with the current state",
  413: "the body is too large",
  415: "the body has another content type",
  429: "too many at once; see Retry-After",
  500: "an error of the Shield, which is in its log",
  503: "a service that it needs is unavailable; see Retry-After",
};
const ADMIN_WORDS: RefusalWords = { texts: REFUSALS, usual: [400, 401, 403, 429, 500, 503] };

const TAGS: Readonly<Record<string, string>> = { cluster: "all Shields and Brains together" };

const SETTINGS_SCHEMAS: Readonly<Record<string, Schema>> = {
  TenantSettings: object({ tenant: ID, version: COUNT, revision: COUNT, here: { type: "object" } }),
};

/** The path parameters of the kernel, and those that several capabilities share. */
const NAMES: Readonly<Record<string, Parameter>> = {
  tenant: inPath("tenant", "the tenant"),
  room: inPath("room", "the room"),
  class: inPath("class", "a class of rooms: its pattern, such as auction-*"),
};

/** A route's description, made from what it says of itself and from its limits. */
function described(
  { template, scope, about, body, audit }: ListedRoute,
  names: typeof NAMES,
): Schema {
  const { query = [], ...options } = about;
  const parts = templateNames(template).map((name) => {
    const part = names[name];
    if (part === undefined) throw new TypeError(`${template}: {${name}} has no description`);
    return part;
  });
  return {
    ...operation({
      ...options,
      parameters: [...parts, ...parametersOf(query)],
      words: ADMIN_WORDS,
      ...(body === undefined ? {} : { body }),
    }),
    description: SCOPE_TEXTS[scope],
    "x-arqon-scope": scope,
    ...(audit === undefined ? {} : { "x-arqon-audit": actionOf(audit) }),
  };
}

function merged<Part extends "tags" | "names" | "schemas">(
  capabilities: Described,
  part: Part,
): NonNullable<AdminSide[Part]> {
  return Object.assign({}, ...capabilities.map(({ admin }) => admin?.[part]));
}

/** The paths of all route tables, and of this description itself. */
function paths(capabilities: Described): Record<string, Record<string, Schema>> {
  const names = { ...NAMES, ...merged(capabilities, "names") };
  const all: Record<string, Record<string, Schema>> = {};
  for (const route of listedRoutes(capabilities)) {
    all[route.template] = {
      ...all[route.template],
      [route.method.toLowerCase()]: described(route, names),
    };
  }
  all["/v1/openapi.json"] = {
    get: operation({
      id: "getOpenApi",
      tag: "cluster",
      summary: "this description",
      answer: { type: "object" },
      open: true,
      parameters: [],
      words: ADMIN_WORDS,
    }),
  };
  return all;
}

/** The whole document. Throws TypeError for a route with an undescribed path parameter. */
export const adminOpenApi = (capabilities: Described): Schema => ({
  openapi: "3.1.0",
  info: {
    title: "ArqonBus admin API",
    version: "1",
    description: "On the admin listener of every Shield ([admin], port 4002), for tokens of role " +
      "admin. Refusals are problem bodies (RFC 9457). x-arqon-scope is the scope of a path: bus " +
      "(operators of the whole bus), shared and own (every admin; own: within its tenant), and " +
      "tenant-in-… (operators, and admins of the tenant that is named there). x-arqon-audit is what the " +
      "audit log calls its requests.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/", description: "the Shield that served this description" }],
  security: [{ admin: [] }],
  tags: Object.entries({ ...TAGS, ...merged(capabilities, "tags") })
    .map(([name, description]) => ({ name, description })),
  paths: paths(capabilities),
  components: {
    securitySchemes: {
      admin: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "a token of role admin",
      },
    },
    schemas: { Problem: PROBLEM, ...SETTINGS_SCHEMAS, ...merged(capabilities, "schemas") },
  },
});

/** Capabilities with their tables of routes. */
export type Described = readonly { readonly admin?: AdminSide }[];

/** Every route of the admin API that requires a token. */
export function listedRoutes(capabilities: Described): ListedRoute[] {
  const tables = capabilities.flatMap(({ admin }) => admin?.tables ?? []);
  return [STATUS_ROUTES, ...tables].flatMap((table) => [...table.list()]);
}
