/** What the routes of the admin API about policies and schemas say of themselves. */
import { COMPATIBILITY_MODES } from "../../shared/schema/compatibility/findings.ts";
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  LIMIT,
  list,
  NODE,
  object,
  ref,
  TENANT,
  TEXT,
} from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";

const OBJECT: Schema = { type: "object" };

/** What makes a new version of a tenant's policies. */
const change = (summary: string) => ({
  tag: "policies",
  summary,
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

/** Routes of policies. */
export const POLICIES_ABOUT = abouts({
  listPolicies: {
    tag: "policies",
    summary: "tenants with policies, or one tenant's document",
    query: [inQuery("tenant", "only this tenant's document and its history")],
    answer: OBJECT,
  },
  getPolicyStats: {
    tag: "policies",
    summary: "verdicts, fuel and time of each policy, over all Shields",
    query: [inQuery("tenant", "only of this tenant"), NODE, LIMIT],
    answer: stats,
    refusals: [404, 429],
  },
  uploadModule: {
    tag: "policies",
    summary: "checks and stores a WebAssembly module",
    answer: object({ sha256: TEXT, hooks: list(TEXT), size_bytes: COUNT }),
  },
  downloadModule: {
    tag: "policies",
    summary: "the bytes of a module that a tenant's policies name, or did in a remembered version",
    query: [TENANT],
    answer: { type: "string", format: "binary" },
    type: "application/wasm",
    refusals: [404],
  },
  deployPolicy: change("binds a module to a tenant's rooms and hooks"),
  rollBackPolicies: change("makes the policies of an earlier version the next one"),
  resetPolicies: change("begins a document anew that cannot be read"),
  followPolicyLogs: {
    tag: "policies",
    summary:
      "what policies of this Shield log from now on, without end, or have logged: lines of JSON",
    query: [
      TENANT,
      inQuery("follow", "false: the last lines that the Shield remembers, and the end", {
        type: "boolean",
        default: true,
      }),
    ],
    answer: TEXT,
    type: "application/x-ndjson",
    refusals: [429],
  },
  listQuarantine: {
    tag: "policies",
    summary: "modules that no node runs because they wedged or killed a worker",
    query: [inQuery("tenant", "only those that this tenant's policies name")],
    answer: object({
      modules: list(object({ sha256: TEXT, why: TEXT, at_ms: COUNT, node: TEXT })),
      truncated: { type: "boolean" },
    }),
  },
  releaseModule: {
    tag: "policies",
    summary: "lets a module out of quarantine, on every node",
    answer: object({ sha256: TEXT, released: { type: "boolean" } }),
    refusals: [404],
  },
  removePolicy: { ...change("takes a policy out of a tenant's chain"), query: [TENANT] },
});

const COMPATIBILITY = inQuery("compatibility", "what a new version is checked for", {
  type: "string",
  enum: [...COMPATIBILITY_MODES],
});
/** A version of a schema. */
export const VERSION: Schema = { type: "string", pattern: "^(latest|[1-9][0-9]{0,8})$" };

/** Routes of schemas. */
export const SCHEMAS_ABOUT = abouts({
  listSchemas: {
    tag: "schemas",
    summary: "every schema and what of it is in force here",
    answer: object({ schemas: list(OBJECT), refused: list(OBJECT) }),
  },
  getSchema: {
    tag: "schemas",
    summary: "one schema and its versions",
    answer: object({ schema_id: TEXT, compatibility: TEXT, versions: list(OBJECT) }),
    refusals: [404],
  },
  deleteSchema: {
    tag: "schemas",
    summary: "deletes a schema to which nothing is mapped, with all of its versions",
    answer: object({ schema_id: TEXT, deleted: BOOLEAN, version: COUNT, versions: COUNT }),
    refusals: [404, 409],
  },
  registerSchema: {
    tag: "schemas",
    summary: "registers a version; without a body changes only the compatibility",
    query: [COMPATIBILITY],
    answer: ref("Registered"),
    refusals: [404, 409],
  },
  checkSchema: {
    tag: "schemas",
    summary: "what registering would say",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, compatible: BOOLEAN, findings: list(OBJECT) }),
    refusals: [409],
  },
  stageSchema: {
    tag: "schemas",
    summary: "stores a version that is not in force until an apply of a tenant's state names it",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, after: COUNT, version: COUNT, sha256: TEXT }),
    refusals: [409],
  },
  rollbackSchema: {
    tag: "schemas",
    summary: "puts an earlier version in force again, as the next one",
    query: [inQuery("version", "which; absent: the one before", { type: "integer", minimum: 1 })],
    answer: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
    refusals: [404, 409],
  },
  validateData: {
    tag: "schemas",
    summary: "what the gate would say of an event's data",
    query: [
      inQuery("message", "full name of the message", TEXT),
      inQuery("version", "which version; the latest by default", VERSION),
      inQuery("unknown_fields", "what a field outside the schema does", {
        type: "string",
        enum: ["allow", "warn", "refuse"],
        default: "allow",
      }),
    ],
    answer: object({ schema_id: TEXT, valid: BOOLEAN }),
    refusals: [404],
  },
  getSchemaVersion: {
    tag: "schemas",
    summary: "a version's gzipped FileDescriptorSet as it was registered",
    answer: { type: "string", format: "binary" },
    type: "application/gzip",
    refusals: [404],
  },
});

const SETTINGS = ref("TenantSettings");

/** Routes of mappings. */
export const MAPPINGS_ABOUT = abouts({
  getMappings: {
    tag: "schemas",
    summary: "which message the events of which subject must be",
    answer: SETTINGS,
  },
  setMappings: {
    tag: "schemas",
    summary: "puts one mapping beside the others, or all in their place",
    answer: SETTINGS,
    refusals: [404, 409],
  },
  removeMappings: {
    tag: "schemas",
    summary: "removes the mapping of a subject, or all of them",
    query: [inQuery("subject", "only of this subject", TEXT)],
    answer: SETTINGS,
    refusals: [409],
  },
});
