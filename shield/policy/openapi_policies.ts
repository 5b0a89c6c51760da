/** What the routes of the admin API about policies say of themselves. */
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
} from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";

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
