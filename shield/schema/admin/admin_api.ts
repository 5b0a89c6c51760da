/**
 * `/v1/schemas…` and `/v1/tenants/{tenant}/mappings` of the admin listener: routes, and the form of refusals. The
 * caller is authorized already.
 */
import { BOOLEAN, COUNT, inQuery, list, object, ref, TEXT } from "../../openapi/openapi_parts.ts";
import { COMPATIBILITY_MODES } from "../../../shared/schema_id.ts";
import type { Schema } from "../../openapi/openapi_parts.ts";
import { ArqonError } from "@arqon/proto";
import { problemOf } from "../../../shared/problem.ts";
import { AdminTable, withBody } from "../../admin/routing/admin_routes.ts";
import type { Answering, RouteBody } from "../../admin/routing/admin_routes.ts";
import {
  changeSchema,
  checkSchema,
  DATA,
  listSchemas,
  removeSchema,
  rollbackSchema,
  SET,
  SET_OR_NOTHING,
  showSchema,
  showVersion,
  stageSchema,
  validateData,
} from "./admin_schemas.ts";
import { MAPPINGS, removeMappings, setMappings, showMappings } from "./admin_mappings.ts";
import { MappedError } from "../registry/delete.ts";
import { IncompatibleError } from "../registry/register.ts";
import { requireSchemaId } from "../registry/store.ts";
import type { Call, SchemaAdminContext } from "./admin_schemas.ts";

const OBJECT: Schema = { type: "object" };

/** Shared by several paths. */
export const SCHEMA_SCHEMAS: Readonly<Record<string, Schema>> = {
  Registered: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
};

const COMPATIBILITY = inQuery("compatibility", "compatibility mode of new versions", {
  type: "string",
  enum: [...COMPATIBILITY_MODES],
});
/** A version of a schema. */
export const VERSION: Schema = { type: "string", pattern: "^(latest|[1-9][0-9]{0,8})$" };

const SETTINGS = ref("TenantSettings");

const FINDINGS_SHOWN = 200;
/** The most mappings in one refusal. */
const MAPPINGS_SHOWN = 100;

/** Answers one method of one path. */
type Handler = (context: SchemaAdminContext, call: Call) => Promise<Response>;

type Scope = "bus" | "shared" | "own" | "tenant-in-path";

/** A method; a schema in its path is checked before anything is read. */
const of = <B>(
  scope: Scope,
  handler: (context: SchemaAdminContext, call: Call, body: B) => Promise<Response>,
  body?: RouteBody<SchemaAdminContext, B>,
): Answering<SchemaAdminContext> => {
  const { handle } = body === undefined ? { handle: handler as Handler } : withBody(body, handler);
  return {
    scope,
    ...(body && { body }),
    handle(context, call) {
      const { schema, tenant = "", version: rest = "" } = call.names;
      if (schema !== undefined) requireSchemaId(schema);
      return handle(context, { ...call, name: schema ?? tenant, rest });
    },
  };
};

/**
 * The routes of the schemas' admin API. Schema ids belong to the whole bus: registering under one affects every tenant
 * that is mapped to it. Stored schemas are no secret: any admin who knows an id may read it and try data.
 */
export const SCHEMA_ROUTES = new AdminTable<SchemaAdminContext>("schemas", {
  "GET /v1/schemas": {
    id: "listSchemas",
    summary: "lists the schemas, and their state on this Shield",
    answer: object({ schemas: list(OBJECT), refused: list(OBJECT) }),
    ...of("own", listSchemas),
  },
  "GET /v1/schemas/{schema}": {
    id: "getSchema",
    summary: "shows a schema and its versions",
    answer: object({ schema_id: TEXT, compatibility: TEXT, versions: list(OBJECT) }),
    refusals: [404],
    ...of("shared", showSchema),
  },
  "PUT /v1/schemas/{schema}": {
    audit: "schema.push",
    id: "registerSchema",
    summary: "registers a version; without a body, changes only the compatibility",
    query: [COMPATIBILITY],
    answer: ref("Registered"),
    refusals: [404, 409],
    ...of("bus", changeSchema, SET_OR_NOTHING),
  },
  "DELETE /v1/schemas/{schema}": {
    audit: "schema.delete",
    id: "deleteSchema",
    summary: "deletes an unmapped schema with all of its versions",
    answer: object({ schema_id: TEXT, deleted: BOOLEAN, version: COUNT, versions: COUNT }),
    refusals: [404, 409],
    ...of("bus", removeSchema),
  },
  "POST /v1/schemas/{schema}/check": {
    audit: { refused: "schema.check" },
    id: "checkSchema",
    summary: "checks a version as a registration would, without storing it",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, compatible: BOOLEAN, findings: list(OBJECT) }),
    refusals: [409],
    ...of("bus", checkSchema, SET),
  },
  "POST /v1/schemas/{schema}/rollback": {
    audit: "schema.rollback",
    id: "rollbackSchema",
    summary: "rolls a schema back: an earlier version becomes the next one",
    query: [
      inQuery("version", "the version to restore; absent: the previous one", {
        type: "integer",
        minimum: 1,
      }),
    ],
    answer: object({ schema_id: TEXT, registered: BOOLEAN, version: COUNT }),
    refusals: [404, 409],
    ...of("bus", rollbackSchema),
  },
  "PUT /v1/schemas/{schema}/staged": {
    audit: "schema.stage",
    id: "stageSchema",
    summary: "stages a version, which an apply of a tenant's state can activate",
    query: [COMPATIBILITY],
    answer: object({ schema_id: TEXT, after: COUNT, version: COUNT, sha256: TEXT }),
    refusals: [409],
    ...of("bus", stageSchema, SET),
  },
  "POST /v1/schemas/{schema}/validate": {
    audit: { refused: "schema.validate" },
    id: "validateData",
    summary: "checks an event's data as the gate would",
    query: [
      inQuery("message", "full name of the message", TEXT),
      inQuery("version", "the version; the latest by default", VERSION),
      inQuery("unknown_fields", "the treatment of fields outside the schema", {
        type: "string",
        enum: ["allow", "warn", "refuse"],
        default: "allow",
      }),
    ],
    answer: object({ schema_id: TEXT, valid: BOOLEAN }),
    refusals: [404],
    ...of("shared", validateData, DATA),
  },
  "GET /v1/schemas/{schema}/versions/{version}": {
    id: "getSchemaVersion",
    summary: "downloads a version's gzipped FileDescriptorSet, as registered",
    answer: { type: "string", format: "binary" },
    type: "application/gzip",
    refusals: [404],
    ...of("shared", showVersion),
  },
  "GET /v1/tenants/{tenant}/mappings": {
    id: "getMappings",
    summary: "lists the mappings of subjects to messages",
    answer: SETTINGS,
    ...of("tenant-in-path", showMappings),
  },
  "PUT /v1/tenants/{tenant}/mappings": {
    audit: "mapping.set",
    id: "setMappings",
    summary: "adds or replaces one mapping, or replaces all",
    answer: SETTINGS,
    refusals: [404, 409],
    ...of("tenant-in-path", setMappings, MAPPINGS),
  },
  "DELETE /v1/tenants/{tenant}/mappings": {
    audit: "mapping.remove",
    id: "removeMappings",
    summary: "removes the mapping of a subject, or all mappings",
    query: [inQuery("subject", "only of this subject", TEXT)],
    answer: SETTINGS,
    refusals: [409],
    ...of("tenant-in-path", removeMappings),
  },
}, refusalOf);

/** The answer to an error of this part. */
function refusalOf(error: unknown): Response | undefined {
  if (error instanceof IncompatibleError) return incompatible(error);
  return error instanceof MappedError ? stillMapped(error) : undefined;
}

/** The answer to a refusal, with members besides those that all refusals have. */
function refusal(error: ArqonError, members: Readonly<Record<string, unknown>>): Response {
  return new Response(JSON.stringify({ ...problemOf(error), ...members }), {
    status: error.code,
    headers: { "content-type": "application/problem+json" },
  });
}

function stillMapped({ message, mappings: all }: MappedError): Response {
  const mappings = all.slice(0, MAPPINGS_SHOWN).map(({ subject, message, mode }) => ({
    subject,
    message,
    mode,
  }));
  const truncated = mappings.length < all.length;
  return refusal(new ArqonError("settings-conflict", message), { mappings, truncated });
}

function incompatible({ message, check }: IncompatibleError): Response {
  const error = new ArqonError("schema-incompatible", message);
  const { compatibility, against } = check;
  const findings = check.findings.slice(0, FINDINGS_SHOWN);
  const truncated = findings.length < check.findings.length;
  return refusal(error, { compatibility, against, findings, truncated });
}
