/** The paths of the admin API about mirroring, room classes and revocations, as OpenAPI describes them. */
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { MirrorRule } from "../../shared/config/schema_governance.ts";
import { REVOCATION_KINDS } from "../../shared/revocations.ts";
import {
  bodyOf,
  BOOLEAN,
  COUNT,
  ID,
  inPath,
  inQuery,
  list,
  object,
  operation,
  ref,
  TENANT,
  TEXT,
  UNIX_MS,
} from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";

const OBJECT: Schema = { type: "object" };
const TENANT_PATH = inPath("tenant", "the tenant");
const SETTINGS = ref("TenantSettings");

/** What several paths use. */
export const SETTINGS_SCHEMAS: Readonly<Record<string, Schema>> = {
  TenantSettings: object({ tenant: ID, version: COUNT, revision: COUNT, here: OBJECT }),
};

const mirror = {
  "/v1/mirror": {
    get: operation({
      id: "listMirrorRules",
      tag: "mirror",
      summary: "the mirror rules in force here",
      answer: object({ node_id: ID, rules: list(OBJECT), truncated: BOOLEAN }),
    }),
  },
  "/v1/mirror/explain": {
    get: operation({
      id: "explainMirror",
      tag: "mirror",
      summary: "which rule a subject is under, and whether a key is mirrored",
      parameters: [
        inQuery("subject", "in.t.TENANT.r.ROOM", TEXT, true),
        inQuery("key", "a trace id, or a connection's id", TEXT),
      ],
      answer: OBJECT,
    }),
  },
  "/v1/mirror/diff": {
    get: operation({
      id: "getMirrorDiff",
      tag: "mirror",
      summary: "what candidates would have decided otherwise, at this Shield",
      parameters: [TENANT],
      answer: object({ node_id: ID, tenant: ID, candidates: list(OBJECT) }),
    }),
    delete: operation({
      id: "resetMirrorDiff",
      tag: "mirror",
      summary: "forgets what candidates have decided",
      parameters: [TENANT, inQuery("candidate", "only this one", TEXT)],
      answer: OBJECT,
    }),
  },
  "/v1/tenants/{tenant}/mirror": {
    get: operation({
      id: "getMirrorRules",
      tag: "mirror",
      summary: "a tenant's own mirror rules",
      parameters: [TENANT_PATH],
      answer: SETTINGS,
    }),
    put: operation({
      id: "setMirrorRule",
      tag: "mirror",
      summary: "sets a tenant's mirror rule of one prefix",
      parameters: [TENANT_PATH],
      body: { schema: bodyOf(MirrorRule) },
      answer: SETTINGS,
      refusals: [409],
    }),
    delete: operation({
      id: "removeMirrorRule",
      tag: "mirror",
      summary: "removes a tenant's mirror rule",
      parameters: [TENANT_PATH, inQuery("prefix", "the rule's prefix", TEXT, true)],
      answer: SETTINGS,
      refusals: [409],
    }),
  },
  "/v1/tenants/{tenant}/reset": {
    post: operation({
      id: "resetSettings",
      tag: "mirror",
      summary: "begins a tenant's settings anew that cannot be read",
      parameters: [TENANT_PATH],
      answer: SETTINGS,
      refusals: [409],
    }),
  },
};

const classes = {
  "/v1/rooms/classes": {
    get: operation({
      id: "listRoomClasses",
      tag: "room classes",
      summary: "the room classes in force",
      answer: object({ node_id: ID, classes: list(OBJECT), truncated: BOOLEAN }),
    }),
  },
  "/v1/rooms/classes/explain": {
    get: operation({
      id: "explainRoomClass",
      tag: "room classes",
      summary: "which class a room is of, and why",
      parameters: [TENANT, inQuery("room", "the room", ID, true)],
      answer: OBJECT,
    }),
  },
  "/v1/tenants/{tenant}/rooms": {
    get: operation({
      id: "getRoomClasses",
      tag: "room classes",
      summary: "a tenant's own room classes",
      parameters: [TENANT_PATH],
      answer: SETTINGS,
    }),
    put: operation({
      id: "setRoomClass",
      tag: "room classes",
      summary: "sets a tenant's room class",
      parameters: [TENANT_PATH],
      body: { schema: bodyOf(TenantRoomClass) },
      answer: SETTINGS,
      refusals: [409],
    }),
    delete: operation({
      id: "removeRoomClass",
      tag: "room classes",
      summary: "removes a tenant's room class",
      parameters: [TENANT_PATH, inQuery("room", "the class's pattern", TEXT, true)],
      answer: SETTINGS,
      refusals: [409],
    }),
  },
};

const revocation = object({
  tenant: ID,
  user: TEXT,
  token_id: TEXT,
  issued_before_ms: { type: "integer", minimum: 1_000_000_000_000 },
  until_ms: { type: "integer", minimum: 0 },
  reason: { type: "string" },
}, ["user", "token_id", "issued_before_ms", "until_ms", "reason"]);

const revocations = {
  "/v1/revocations": {
    get: operation({
      id: "listRevocations",
      tag: "revocations",
      summary: "what is revoked",
      parameters: [inQuery("tenant", "only of this tenant", TEXT)],
      answer: object({ node_id: ID, revocations: list(OBJECT), truncated: BOOLEAN }),
    }),
    post: operation({
      id: "revoke",
      tag: "revocations",
      summary: "revokes a user's tokens, one token, or a tenant's earlier ones",
      body: { schema: revocation },
      answer: object({ node_id: ID, tenant: ID, revocation: OBJECT }),
      refusals: [409, 429],
    }),
    delete: operation({
      id: "liftRevocation",
      tag: "revocations",
      summary: "lifts a revocation",
      parameters: [
        TENANT,
        inQuery("kind", "what it is about", { type: "string", enum: [...REVOCATION_KINDS] }, true),
        inQuery("id", "the user or the token; not for issued-before", TEXT),
      ],
      answer: object({ node_id: ID, tenant: ID, lifted: BOOLEAN }),
    }),
  },
};

const status = {
  "/v1/status": {
    get: operation({
      id: "getStatus",
      tag: "cluster",
      summary: "the Shield that answers",
      answer: object({ node_id: ID, version: TEXT, uptime_ms: COUNT, draining: BOOLEAN }),
    }),
  },
  "/v1/access": {
    get: operation({
      id: "getAccess",
      tag: "cluster",
      summary: "who the token is for, and whether it operates the whole bus or only its tenant",
      answer: object({
        user_id: TEXT,
        tenant_id: ID,
        operator: BOOLEAN,
        token_expires_ms: UNIX_MS,
      }),
    }),
  },
  "/v1/openapi.json": {
    get: operation({
      id: "getOpenApi",
      tag: "cluster",
      summary: "this description",
      answer: OBJECT,
      open: true,
    }),
  },
};

/** Path by path. */
export const SETTINGS_PATHS: Readonly<Record<string, Schema>> = {
  ...status,
  ...mirror,
  ...classes,
  ...revocations,
};
