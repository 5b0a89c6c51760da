/**
 * `/v1/schemas…` and `/v1/tenants/{tenant}/mappings` of the admin listener: which function answers
 * which path, and what a refusal looks like. Whether the caller is an admin has been checked before.
 */
import { ArqonError } from "@arqon/proto";
import { problemOf } from "../../../shared/problem.ts";
import type { Env } from "../../../shared/env.ts";
import { AdminTable, withBody } from "../../admin/routing/admin_routes.ts";
import type { AdminCall, AdminMethod, RouteBody } from "../../admin/routing/admin_routes.ts";
import { MAPPINGS_ABOUT, SCHEMAS_ABOUT } from "./openapi_schemas.ts";
import type { RouteAbout } from "../../openapi/openapi_parts.ts";
import type { Settings } from "../../settings/settings.ts";
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
import type { Adoption } from "../registry/adoption.ts";
import type { SchemaCache } from "../registry/cache.ts";
import type { Mappings } from "../mappings.ts";
import { MappedError } from "../registry/delete.ts";
import { IncompatibleError } from "../registry/register.ts";
import type { SetWork } from "../registry/set_work.ts";
import { requireSchemaId } from "../registry/store.ts";
import type { SchemaStore } from "../registry/store.ts";

/** The most findings in one refusal. */
const FINDINGS_SHOWN = 200;
/** The most mappings in one refusal. */
const MAPPINGS_SHOWN = 100;

/** What the admin API needs of the process. */
export interface SchemaAdminContext extends Pick<Env, "log" | "now"> {
  readonly store: SchemaStore;
  /** Does long work on schemas without holding up messages. */
  readonly work: SetWork;
  /** `platform.registry.message_parts`. */
  readonly message_parts: number;
  readonly cache: SchemaCache;
  /** The puts of other tools. */
  readonly puts: Pick<Adoption, "refused">;
  readonly mappings: Mappings;
  readonly settings: Settings;
  /** How many versions of a schema are kept. */
  readonly versions_max: number;
}

/** One request, in its parts. */
export interface Call extends AdminCall {
  /** The schema or the tenant in the path; "" for a listing. */
  readonly name: string;
  /** The part of the path after the kind: a version. */
  readonly rest: string;
}

/** Answers one method of one path. */
type Handler = (context: SchemaAdminContext, call: Call) => Promise<Response>;

type Scope = "bus" | "shared" | "own" | "tenant-in-path";

/** A method; a schema in its path is checked before anything is read. */
const of = <B>(
  scope: Scope,
  about: RouteAbout,
  handler: (context: SchemaAdminContext, call: Call, body: B) => Promise<Response>,
  body?: RouteBody<SchemaAdminContext, B>,
): AdminMethod<SchemaAdminContext> => {
  const { handle } = body === undefined ? { handle: handler as Handler } : withBody(body, handler);
  return {
    scope,
    about,
    ...(body && { body }),
    handle(context, call) {
      const { schema, tenant = "", version: rest = "" } = call.names;
      if (schema !== undefined) requireSchemaId(schema);
      return handle(context, { ...call, name: schema ?? tenant, rest });
    },
  };
};

/**
 * The routes of the schemas' admin API. Schema ids belong to the whole bus: whoever registers under one
 * decides for every tenant that is mapped to it. What is stored under an id is no secret: any admin who
 * knows it may read it and try data.
 */
export const SCHEMA_ROUTES = new AdminTable<SchemaAdminContext>({
  "/v1/schemas": { GET: of("own", SCHEMAS_ABOUT.listSchemas, listSchemas) },
  "/v1/schemas/{schema}": {
    GET: of("shared", SCHEMAS_ABOUT.getSchema, showSchema),
    PUT: of("bus", SCHEMAS_ABOUT.registerSchema, changeSchema, SET_OR_NOTHING),
    DELETE: of("bus", SCHEMAS_ABOUT.deleteSchema, removeSchema),
  },
  "/v1/schemas/{schema}/check": {
    POST: of("bus", SCHEMAS_ABOUT.checkSchema, checkSchema, SET),
  },
  "/v1/schemas/{schema}/rollback": {
    POST: of("bus", SCHEMAS_ABOUT.rollbackSchema, rollbackSchema),
  },
  "/v1/schemas/{schema}/staged": {
    PUT: of("bus", SCHEMAS_ABOUT.stageSchema, stageSchema, SET),
  },
  "/v1/schemas/{schema}/validate": {
    POST: of("shared", SCHEMAS_ABOUT.validateData, validateData, DATA),
  },
  "/v1/schemas/{schema}/versions/{version}": {
    GET: of("shared", SCHEMAS_ABOUT.getSchemaVersion, showVersion),
  },
  "/v1/tenants/{tenant}/mappings": {
    GET: of("tenant-in-path", MAPPINGS_ABOUT.getMappings, showMappings),
    PUT: of("tenant-in-path", MAPPINGS_ABOUT.setMappings, setMappings, MAPPINGS),
    DELETE: of("tenant-in-path", MAPPINGS_ABOUT.removeMappings, removeMappings),
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
