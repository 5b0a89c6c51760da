/**
 * The description of the admin API (OpenAPI 3.1), as `GET /v1/openapi.json` gives it: every path that
 * the admin listener answers, apart from the console's files. `tests/openapi_test.ts` holds it to that.
 */
import { AUDIT_PATHS } from "./openapi_audit.ts";
import { CLUSTER_PATHS, CLUSTER_SCHEMAS } from "./openapi_cluster.ts";
import { PROBLEM } from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";
import { POLICY_PATHS, POLICY_SCHEMAS } from "./openapi_policies.ts";
import { withScopes } from "./openapi_scopes.ts";
import { ROOM_PATHS } from "./openapi_rooms.ts";
import { SETTINGS_PATHS, SETTINGS_SCHEMAS } from "./openapi_settings.ts";

const TAGS: Readonly<Record<string, string>> = {
  cluster: "all Shields and Brains together",
  policies: "WebAssembly policies",
  schemas: "Protobuf schemas of events",
  mirror: "copies of traffic",
  "room classes": "options of rooms",
  revocations: "withdrawn tokens",
  bans: "users who are kept out",
  audit: "who did what on this API",
};

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
  paths: withScopes({
    ...CLUSTER_PATHS,
    ...ROOM_PATHS,
    ...POLICY_PATHS,
    ...SETTINGS_PATHS,
    ...AUDIT_PATHS,
  }),
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
