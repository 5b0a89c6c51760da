/** The paths of the admin API about policies and schemas, as OpenAPI describes them. */
import { SchemaMapping } from "../../shared/config/schema_governance.ts";
import { SCHEMA_ID_PATTERN } from "../../shared/schema/schema_id.ts";
import { COMPATIBILITY_MODES } from "../../shared/schema/findings.ts";
import { Deployment, Reset, Rollback } from "../policy/admin_body.ts";
import {
  bodyOf,
  BOOLEAN,
  COUNT,
  ID,
  inPath,
  inQuery,
  LIMIT,
  list,
  NODE,
  object,
  operation,
  ref,
  TENANT,
  TEXT,
} from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";

const OBJECT: Schema = { type: "object" };

/** What makes a new version of a tenant's policies. */
const change = (
  id: string,
  summary: string,
  more: Pick<Parameters<typeof operation>[0], "body" | "parameters">,
) =>
  operation({
    id,
    tag: "policies",
    summary,
    ...more,
    answer: ref("PolicyChange"),
    refusals: [404, 409],
  });

/** What several paths use. */
export const POLICY_SCHEMAS: Readonly<Record<string, Schema>> = {
  PolicyChange: object({ tenant: ID, revision: COUNT, version: COUNT, here: OBJECT }),
  Registered: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
};

const stats = object({
  policies: list(object({
    tenant_id: TEXT,
    name: TEXT,
    module: TEXT,
    hook: TEXT,
    verdicts: object({ allow: COUNT, reject: COUNT, error: COUNT }),
    fuel_mean: COUNT,
    fuel_max: COUNT,
    p50_us: COUNT,
    p99_us: COUNT,
  })),
  truncated: BOOLEAN,
  nodes: ref("Nodes"),
});

const policies = {
  "/v1/policies": {
    get: operation({
      id: "listPolicies",
      tag: "policies",
      summary: "tenants with policies, or one tenant's document",
      parameters: [inQuery("tenant", "only this tenant's document and its history")],
      answer: OBJECT,
    }),
  },
  "/v1/policies/stats": {
    get: operation({
      id: "getPolicyStats",
      tag: "policies",
      summary: "verdicts, fuel and time of each policy, over all Shields",
      parameters: [inQuery("tenant", "only of this tenant"), NODE, LIMIT],
      answer: stats,
      refusals: [404, 429],
    }),
  },
  "/v1/policies/modules": {
    put: operation({
      id: "uploadModule",
      tag: "policies",
      summary: "checks and stores a WebAssembly module",
      body: { type: "application/wasm", schema: { type: "string", format: "binary" } },
      answer: object({ sha256: TEXT, hooks: list(TEXT), size_bytes: COUNT }),
    }),
  },
  "/v1/policies/deploy": {
    post: change("deployPolicy", "binds a module to a tenant's rooms and hooks", {
      body: { schema: bodyOf(Deployment) },
    }),
  },
  "/v1/policies/rollback": {
    post: change("rollBackPolicies", "makes the policies of an earlier version the next one", {
      body: { schema: bodyOf(Rollback) },
    }),
  },
  "/v1/policies/reset": {
    post: change("resetPolicies", "begins a document anew that cannot be read", {
      body: { schema: bodyOf(Reset) },
    }),
  },
  "/v1/policies/logs": {
    get: operation({
      id: "followPolicyLogs",
      tag: "policies",
      summary: "what policies of this Shield log: lines of JSON, without end",
      parameters: [TENANT],
      answer: TEXT,
      type: "application/x-ndjson",
      refusals: [429],
    }),
  },
  "/v1/policies/quarantine": {
    get: operation({
      id: "listQuarantine",
      tag: "policies",
      summary: "modules that no node runs because they wedged or killed a worker",
      parameters: [inQuery("tenant", "only those that this tenant's policies name")],
      answer: object({
        modules: list(object({ sha256: TEXT, why: TEXT, at_ms: COUNT, node: TEXT })),
        truncated: { type: "boolean" },
      }),
    }),
  },
  "/v1/policies/quarantine/{module}": {
    delete: operation({
      id: "releaseModule",
      tag: "policies",
      summary: "lets a module out of quarantine, on every node",
      parameters: [inPath("module", "its sha256")],
      answer: object({ sha256: TEXT, released: { type: "boolean" } }),
      refusals: [404],
    }),
  },
  "/v1/policies/{policy}": {
    delete: change("removePolicy", "takes a policy out of a tenant's chain", {
      parameters: [inPath("policy", "its name"), TENANT],
    }),
  },
};

const SCHEMA_ID: Schema = { type: "string", pattern: SCHEMA_ID_PATTERN };
const SCHEMA = inPath("schema", "the schema's id", SCHEMA_ID);
const COMPATIBILITY = inQuery("compatibility", "what a new version is checked for", {
  type: "string",
  enum: [...COMPATIBILITY_MODES],
});
const SET = {
  type: "application/gzip",
  schema: { type: "string", format: "binary" },
} as const;
const VERSION: Schema = { type: "string", pattern: "^(latest|[1-9][0-9]{0,8})$" };

const schemas = {
  "/v1/schemas": {
    get: operation({
      id: "listSchemas",
      tag: "schemas",
      summary: "every schema and what of it is in force here",
      answer: object({ schemas: list(OBJECT), refused: list(OBJECT) }),
    }),
  },
  "/v1/schemas/{schema}": {
    get: operation({
      id: "getSchema",
      tag: "schemas",
      summary: "one schema and its versions",
      parameters: [SCHEMA],
      answer: object({ schema_id: TEXT, compatibility: TEXT, versions: list(OBJECT) }),
      refusals: [404],
    }),
    delete: operation({
      id: "deleteSchema",
      tag: "schemas",
      summary: "deletes a schema to which nothing is mapped, with all of its versions",
      parameters: [SCHEMA],
      answer: object({ schema_id: TEXT, deleted: BOOLEAN, version: COUNT, versions: COUNT }),
      refusals: [404, 409],
    }),
    put: operation({
      id: "registerSchema",
      tag: "schemas",
      summary: "registers a version; without a body changes only the compatibility",
      parameters: [SCHEMA, COMPATIBILITY],
      body: { ...SET, optional: true },
      answer: ref("Registered"),
      refusals: [404, 409],
    }),
  },
  "/v1/schemas/{schema}/check": {
    post: operation({
      id: "checkSchema",
      tag: "schemas",
      summary: "what registering would say",
      parameters: [SCHEMA, COMPATIBILITY],
      body: SET,
      answer: object({ schema_id: TEXT, compatible: BOOLEAN, findings: list(OBJECT) }),
      refusals: [409],
    }),
  },
  "/v1/schemas/{schema}/rollback": {
    post: operation({
      id: "rollbackSchema",
      tag: "schemas",
      summary: "puts an earlier version in force again, as the next one",
      parameters: [
        SCHEMA,
        inQuery("version", "which; absent: the one before", { type: "integer", minimum: 1 }),
      ],
      answer: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
      refusals: [404, 409],
    }),
  },
  "/v1/schemas/{schema}/validate": {
    post: operation({
      id: "validateData",
      tag: "schemas",
      summary: "what the gate would say of an event's data",
      parameters: [
        SCHEMA,
        inQuery("message", "full name of the message", TEXT),
        inQuery("version", "which version; the latest by default", VERSION),
        inQuery("unknown_fields", "what a field outside the schema does", {
          type: "string",
          enum: ["allow", "warn", "refuse"],
          default: "allow",
        }),
      ],
      body: { type: "application/json", schema: {}, optional: true },
      answer: object({ schema_id: TEXT, valid: BOOLEAN }),
      refusals: [404],
    }),
  },
  "/v1/schemas/{schema}/versions/{version}": {
    get: operation({
      id: "getSchemaVersion",
      tag: "schemas",
      summary: "a version's gzipped FileDescriptorSet as it was registered",
      parameters: [SCHEMA, inPath("version", "a number, or latest", VERSION)],
      answer: { type: "string", format: "binary" },
      type: "application/gzip",
      refusals: [404],
    }),
  },
};

const TENANT_PATH = inPath("tenant", "the tenant");
const SETTINGS = ref("TenantSettings");

const mappings = {
  "/v1/tenants/{tenant}/mappings": {
    get: operation({
      id: "getMappings",
      tag: "schemas",
      summary: "which message the events of which subject must be",
      parameters: [TENANT_PATH],
      answer: SETTINGS,
    }),
    put: operation({
      id: "setMappings",
      tag: "schemas",
      summary: "puts one mapping beside the others, or all in their place",
      parameters: [TENANT_PATH],
      body: {
        schema: {
          anyOf: [
            bodyOf(SchemaMapping),
            object({ mappings: list(bodyOf(SchemaMapping)) }),
          ],
        },
      },
      answer: SETTINGS,
      refusals: [404, 409],
    }),
    delete: operation({
      id: "removeMappings",
      tag: "schemas",
      summary: "removes the mapping of a subject, or all of them",
      parameters: [TENANT_PATH, inQuery("subject", "only of this subject", TEXT)],
      answer: SETTINGS,
      refusals: [409],
    }),
  },
};

/** Path by path. */
export const POLICY_PATHS: Readonly<Record<string, Schema>> = {
  ...policies,
  ...schemas,
  ...mappings,
};
