/**
 * `/v1/policies…` of the admin listener: upload and check modules, deploy, list, roll back, remove,
 * follow logs. Knows requests and answers; that the caller is an admin has been checked before, and
 * what a good module is comes from `check`.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import { problemResponse } from "../../shared/problem.ts";
import {
  Deployment,
  readBytes,
  readJson,
  requireType,
  Reset,
  Rollback,
  tenantOf,
} from "./admin_body.ts";
import { rollingBack, withoutPolicy, withPolicy } from "./chain.ts";
import type { PolicyVersion } from "./chain.ts";
import type { LogFollowers } from "./log_followers.ts";
import type { Hook } from "./policy.ts";
import type { PolicyRegistry } from "./registry.ts";
import type { StoredDocument } from "./store.ts";
import { PolicyModuleError } from "./wasm/errors.ts";

/** Largest upload in bytes: 1 MiB, the limit of design.md 4, and some slack for its sentence. */
const UPLOAD_BYTES = 1_048_576 + 65_536;
/** How long an answer waits until this process enforces what it has written, in ms. */
const ENFORCED_MS = 5_000;
/** Tenants that one listing shows. */
const TENANTS_MAX = 1_000;
const NO_STORE = { "cache-control": "no-store" };

/** What a module can do and costs, as the check found it. */
export interface CheckedModule {
  readonly hooks: readonly Hook[];
  readonly size_bytes: number;
  /** Whatever else the check says; it is in the answer as it is. */
  readonly [figure: string]: unknown;
}

/** What the admin API needs of the process. */
export interface PolicyAdminContext {
  readonly registry: PolicyRegistry;
  /** Rejects with `PolicyModuleError`, whose message is a sentence for people. */
  readonly check: (bytes: Uint8Array) => Promise<CheckedModule>;
  readonly followers: LogFollowers;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** Whether a path is one for `handlePolicies`. */
export function isPolicyPath(path: string): boolean {
  return path === "/v1/policies" || path.startsWith("/v1/policies/");
}

type Handler = (context: PolicyAdminContext, request: Request, by: string) => Promise<Response>;

const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  "/v1/policies": { GET: list },
  "/v1/policies/modules": { PUT: upload },
  "/v1/policies/deploy": { POST: deploy },
  "/v1/policies/rollback": { POST: rollback },
  "/v1/policies/reset": { POST: reset },
  "/v1/policies/logs": { GET: logs },
};
const NAMED: Readonly<Record<string, Handler>> = { DELETE: remove };

/** Answers one request of an admin, whose user id is `by`. Never rejects. */
export async function handlePolicies(
  context: PolicyAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const path = new URL(request.url).pathname;
  // A policy may have a route's name: other methods than the route's own are about the policy.
  const named = /^\/v1\/policies\/[^/]+$/.test(path) ? NAMED : {};
  const methods = { ...named, ...ROUTES[path] };
  const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  const allowed = Object.keys(methods);
  try {
    if (allowed.length === 0) throw new ArqonError("not-found", path);
    if (handler === undefined) throw new ArqonError("method-not-allowed", request.method);
    return await handler(context, request, by);
  } catch (error) {
    const refusal = refusalOf(context, path, error);
    const allow = refusal.reason === "method-not-allowed"
      ? { allow: allowed.join(", ") }
      : undefined;
    return problemResponse(refusal, allow);
  }
}

function refusalOf({ log }: PolicyAdminContext, path: string, error: unknown): ArqonError {
  if (error instanceof ArqonError) {
    if (error.reason === "internal") log.error("admin request failed", { path, error });
    return error;
  }
  if (error instanceof PolicyModuleError) {
    return new ArqonError("invalid-policy", error.message, { cause: error });
  }
  log.error("admin request failed", { path, error });
  return new ArqonError("internal");
}

const answer = (body: unknown, status = 200): Response =>
  Response.json(body, { status, headers: NO_STORE });

async function upload(context: PolicyAdminContext, request: Request): Promise<Response> {
  requireType(request, "application/wasm");
  const bytes = await readBytes(request, UPLOAD_BYTES);
  const checked = await context.check(bytes);
  const sha256 = await context.registry.store.putModule(bytes);
  context.log.info("a policy module was uploaded", { sha256, size_bytes: bytes.length });
  return answer({ sha256, ...checked });
}

async function deploy(
  context: PolicyAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const { tenant, hooks: wanted, ...rest } = await readJson(request, Deployment);
  const { store } = context.registry;
  const bytes = await store.module(rest.sha256);
  if (bytes === undefined) {
    throw new ArqonError("policy-unknown", `module ${rest.sha256} has not been uploaded`);
  }
  // Checked again: what was taken once may be refused by this version.
  const { hooks: there } = await context.check(bytes);
  const lacking = (wanted ?? []).filter((hook) => !there.includes(hook));
  if (lacking.length > 0) {
    const exports = lacking.map((hook) => `arqon_${hook}`).join(", ");
    throw new ArqonError("invalid-policy", `the module does not export ${exports}`);
  }
  const binding = { ...rest, hooks: wanted ?? [...there] };
  const author = { by, at_ms: context.now() };
  const stored = await store.change(tenant, (document) => withPolicy(document, binding, author));
  return await changed(context, tenant, stored, by);
}

async function rollback(
  context: PolicyAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const { tenant, version } = await readJson(request, Rollback);
  const author = { by, at_ms: context.now() };
  const stored = await context.registry.store.change(tenant, rollingBack(version, author));
  return await changed(context, tenant, stored, by);
}

async function remove(
  context: PolicyAdminContext,
  request: Request,
  by: string,
): Promise<Response> {
  const url = new URL(request.url);
  const tenant = tenantOf(url);
  const name = decodeName(url.pathname.slice("/v1/policies/".length));
  const author = { by, at_ms: context.now() };
  const { store } = context.registry;
  const stored = await store.change(tenant, (document) => withoutPolicy(document, name, author));
  return await changed(context, tenant, stored, by);
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ArqonError("malformed-body", "the path has a malformed % escape");
  }
}

async function reset(context: PolicyAdminContext, request: Request, by: string): Promise<Response> {
  const { tenant } = await readJson(request, Reset);
  const stored = await context.registry.store.reset(tenant);
  return await changed(context, tenant, stored, by);
}

/** The answer to a change: what is stored, and what became of it in this process. */
async function changed(
  context: PolicyAdminContext,
  tenant: string,
  { document, revision }: StoredDocument,
  by: string,
): Promise<Response> {
  const { registry, log, now } = context;
  const { version, change } = document.current;
  log.info("a tenant's policies were changed", { tenant, version, change, by });
  const began_ms = now();
  const settled = await registry.reached(tenant, revision, ENFORCED_MS);
  const here = registry.tenant(tenant);
  return answer({
    tenant,
    revision,
    ...document.current,
    here: {
      state: settled ? here?.state : "loading",
      detail: settled ? here?.detail : `not settled within ${ENFORCED_MS} ms`,
      enforced_version: here?.enforced_version ?? null,
      waited_ms: now() - began_ms,
    },
  });
}

/** An earlier version in a listing: its policies by name only. */
function past({ policies, ...version }: PolicyVersion) {
  return { ...version, policies: policies.map(({ name }) => name) };
}

async function list(context: PolicyAdminContext, request: Request): Promise<Response> {
  const { registry } = context;
  const url = new URL(request.url);
  if (!url.searchParams.has("tenant")) {
    const all = registry.tenants();
    const tenants = all.slice(0, TENANTS_MAX);
    return answer({ ...registry.status(), tenants, truncated: all.length > tenants.length });
  }
  const tenant = tenantOf(url);
  const { document, revision } = await registry.store.read(tenant);
  return answer({
    tenant,
    revision,
    ...document.current,
    history: document.history.map(past),
    here: registry.tenant(tenant) ?? null,
  });
}

// deno-lint-ignore require-await -- a handler answers with a promise, also when it throws
async function logs(context: PolicyAdminContext, request: Request): Promise<Response> {
  const tenant = tenantOf(new URL(request.url));
  return new Response(context.followers.follow(tenant), {
    headers: { ...NO_STORE, "content-type": "application/x-ndjson" },
  });
}
