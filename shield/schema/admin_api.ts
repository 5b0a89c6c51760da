/**
 * `/v1/schemas…` and `/v1/tenants/{tenant}/mappings` of the admin listener: who answers which path,
 * and what a refusal looks like. That the caller is an admin has been checked before.
 */
import { ArqonError, isId } from "@arqon/proto";
import { problemOf, problemResponse } from "../../shared/problem.ts";
import type { Logger } from "../../shared/log.ts";
import type { Settings } from "../settings.ts";
import {
  changeSchema,
  checkSchema,
  listSchemas,
  showSchema,
  showVersion,
  validateData,
} from "./admin_schemas.ts";
import { removeMappings, setMappings, showMappings } from "./admin_mappings.ts";
import type { SchemaCache } from "./cache.ts";
import type { Mappings } from "./mappings.ts";
import { IncompatibleError } from "./register.ts";
import { requireSchemaId } from "./store.ts";
import type { SchemaStore } from "./store.ts";

/** Findings of one refusal. */
const FINDINGS_SHOWN = 200;

/** What the admin API needs of the process. */
export interface SchemaAdminContext {
  readonly store: SchemaStore;
  readonly cache: SchemaCache;
  readonly mappings: Mappings;
  readonly settings: Settings;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** Versions of a schema that are kept. */
  readonly versions_max: number;
}

/** One request, taken apart. */
export interface Call {
  readonly request: Request;
  readonly url: URL;
  /** The schema or the tenant of the path; "" for a listing. */
  readonly name: string;
  /** What of the path follows its kind: a version. */
  readonly rest: string;
  /** User id of the admin. */
  readonly by: string;
}

/** Answers one method of one path. */
export type Handler = (context: SchemaAdminContext, call: Call) => Promise<Response>;

const SCHEMA_PATH = /^\/v1\/schemas\/([^/]+)(?:\/(check|validate|versions)(?:\/([^/]+))?)?$/;
const TENANT_PATH = /^\/v1\/tenants\/([^/]+)\/mappings$/;

/** Whether a path is one for `handleSchemas`. */
export function isSchemaPath(path: string): boolean {
  return path === "/v1/schemas" || path.startsWith("/v1/schemas/") || TENANT_PATH.test(path);
}

const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  list: { GET: listSchemas },
  schema: { GET: showSchema, PUT: changeSchema },
  check: { POST: checkSchema },
  validate: { POST: validateData },
  versions: { GET: showVersion },
  mappings: { GET: showMappings, PUT: setMappings, DELETE: removeMappings },
};

interface Target {
  readonly route: string;
  readonly name: string;
  readonly rest: string;
}

/** Text with a malformed % escape stays as it is: no id has a `%`. */
function decode(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

function targetOf(path: string): Target | undefined {
  if (path === "/v1/schemas") return { route: "list", name: "", rest: "" };
  const [, tenant] = TENANT_PATH.exec(path) ?? [];
  if (tenant !== undefined) return { route: "mappings", name: decode(tenant), rest: "" };
  const [, schema, route = "schema", rest] = SCHEMA_PATH.exec(path) ?? [];
  if (schema === undefined || (route === "versions") !== (rest !== undefined)) return undefined;
  return { route, name: decode(schema), rest: decode(rest ?? "") };
}

function requireName({ route, name }: Target): void {
  if (route === "list") return;
  if (route !== "mappings") return requireSchemaId(name);
  if (!isId(name)) {
    throw new ArqonError("invalid-settings", `${JSON.stringify(name)} is no tenant id`);
  }
}

/** Answers one request of an admin, whose user id is `by`. Never rejects. */
export async function handleSchemas(
  context: SchemaAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const url = new URL(request.url);
  const target = targetOf(url.pathname);
  const methods = target === undefined ? {} : ROUTES[target.route] ?? {};
  const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  try {
    if (target === undefined) throw new ArqonError("not-found", url.pathname);
    if (handler === undefined) {
      const refusal = new ArqonError("method-not-allowed", request.method);
      return problemResponse(refusal, { allow: Object.keys(methods).join(", ") });
    }
    requireName(target);
    return await handler(context, { request, url, name: target.name, rest: target.rest, by });
  } catch (error) {
    if (error instanceof IncompatibleError) return incompatible(error);
    const known = error instanceof ArqonError ? error : undefined;
    if (known === undefined || known.reason === "internal") {
      context.log.error("admin request failed", { path: url.pathname, error });
    }
    return problemResponse(known ?? new ArqonError("internal"));
  }
}

function incompatible({ message, check }: IncompatibleError): Response {
  const error = new ArqonError("schema-incompatible", message);
  const { compatibility, against } = check;
  const findings = check.findings.slice(0, FINDINGS_SHOWN);
  const truncated = findings.length < check.findings.length;
  const body = { ...problemOf(error), compatibility, against, findings, truncated };
  return new Response(JSON.stringify(body), {
    status: error.code,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}
