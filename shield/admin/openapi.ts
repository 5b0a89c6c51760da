/**
 * The description of the admin API (OpenAPI 3.1), as `GET /v1/openapi.json` gives it: every path that
 * the admin listener answers, apart from the console's files. It is made of the route tables, which say
 * of each route what it is, and of the schemas that read the bodies; `tests/admin/openapi_test.ts` tries it.
 */
import { SCHEMA_ID_PATTERN } from "../../shared/schema/schema_id.ts";
import type { ListedRoute } from "./routing/admin_routes.ts";
import { CLUSTER_SCHEMAS } from "./inspect/openapi_cluster.ts";
import { ID, inPath, operation, PROBLEM } from "../openapi/openapi_parts.ts";
import type { Parameter, Schema } from "../openapi/openapi_parts.ts";
import { POLICY_SCHEMAS, VERSION } from "../openapi/openapi_policies.ts";
import { SETTINGS_SCHEMAS } from "../openapi/openapi_settings.ts";
import { templateNames } from "../../shared/path_template.ts";
import { listedRoutes } from "./route_list.ts";
import type { RouteScope } from "./routing/admin_scope.ts";

/** By scope. */
const SCOPE_TEXTS: Readonly<Record<RouteScope, string>> = {
  bus: "Bus-wide: for operators, who are admins of a tenant in `[admin] operator_tenants`.",
  shared: "For every admin.",
  own: "For every admin; who is no operator sees and reaches its own tenant's only.",
  "tenant-in-path": "For operators, and for admins of the tenant in the path.",
  "tenant-in-query": "For operators, and for admins of the tenant in the query.",
  "tenant-in-subject": "For operators, and for admins of the tenant in the subject.",
  "tenant-in-body": "For operators, and for admins of the tenant in the body.",
};

const TAGS: Readonly<Record<string, string>> = {
  cluster: "all Shields and Brains together",
  policies: "WebAssembly policies",
  schemas: "Protobuf schemas of events",
  mirror: "copies of traffic",
  "room classes": "options of rooms",
  revocations: "withdrawn tokens",
  bans: "users who are kept out",
  audit: "who did what on this API",
  usage: "what tenants use, and how much they may",
  journal: "what was decided about messages",
  state: "a tenant's whole state, and rollouts of it",
  schedules: "messages that are published at a time",
  reducers: "programs of rooms",
  hooks: "URLs that are called when something has happened",
  backup: "all that an embedded bus keeps",
};

/** What stands in braces in the paths. */
const PARTS: Readonly<Record<string, Parameter>> = {
  tenant: inPath("tenant", "the tenant"),
  room: inPath("room", "the room"),
  connection: inPath("connection", "a connection's id"),
  policy: inPath("policy", "its name"),
  module: inPath("module", "its sha256"),
  object: inPath("object", "program-ID, module-SHA256, or one of `snapshots`"),
  class: inPath("class", "a class of rooms: its pattern, such as auction-*"),
  schedule: inPath("schedule", "the schedule's id", ID),
  hook: inPath("hook", "the hook's id", ID),
  schema: inPath("schema", "the schema's id", { type: "string", pattern: SCHEMA_ID_PATTERN }),
  version: inPath("version", "a number, or latest", VERSION),
};

/** The parts of a path. Throws TypeError for one that is not described. */
function partsOf(template: string): Parameter[] {
  return templateNames(template).map((name) => {
    const part = PARTS[name];
    if (part === undefined) throw new TypeError(`${template}: nobody says what {${name}} is`);
    return part;
  });
}

/** A route's description, made from what it says of itself and from its limits. */
function described({ template, scope, about, body }: ListedRoute): Schema {
  const { query = [], ...options } = about;
  return {
    ...operation({
      ...options,
      parameters: [...partsOf(template), ...query],
      ...(body === undefined ? {} : { body }),
    }),
    description: SCOPE_TEXTS[scope],
    "x-arqon-scope": scope,
  };
}

/** The paths of all tables' routes and of this description. */
function paths(): Record<string, Record<string, Schema>> {
  const all: Record<string, Record<string, Schema>> = {};
  for (const route of listedRoutes()) {
    all[route.template] = {
      ...all[route.template],
      [route.method.toLowerCase()]: described(route),
    };
  }
  all["/v1/openapi.json"] = {
    get: operation({
      id: "getOpenApi",
      tag: "cluster",
      summary: "this description",
      answer: { type: "object" },
      open: true,
    }),
  };
  return all;
}

/** The whole document. */
export const OPENAPI: Schema = {
  openapi: "3.1.0",
  info: {
    title: "ArqonBus admin API",
    version: "1",
    description: "On the admin listener of every Shield ([admin], port 4002), for tokens of role " +
      "admin. Refusals are problem bodies (RFC 9457). x-arqon-scope says whom a path is for: bus " +
      "(operators of the whole bus), shared and own (every admin; own: within its tenant), and " +
      "tenant-in-… (operators, and admins of the tenant that is named there).",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/", description: "the Shield that gave this description" }],
  security: [{ admin: [] }],
  tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  paths: paths(),
  components: {
    securitySchemes: {
      admin: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "a token of role admin",
      },
    },
    schemas: { Problem: PROBLEM, ...CLUSTER_SCHEMAS, ...POLICY_SCHEMAS, ...SETTINGS_SCHEMAS },
  },
};
