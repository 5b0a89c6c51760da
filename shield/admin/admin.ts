/**
 * The admin listener: the console's files for any caller, the API for a token of role `admin`. `routing/` finds the
 * route of a request and checks the admin's scope. It listens on loopback unless configured otherwise. Probes and
 * Prometheus use the ops listener (`shared/listeners/ops.ts`).
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { AdminRouter } from "./routing/admin_router.ts";
import type { Audited, AuditTrail } from "./routing/audit_trail.ts";
import {
  endingWith,
  FILES,
  requireOwnName,
  requireOwnSite,
  withSafety,
} from "./routing/admin_safety.ts";
import type { AdminNames } from "./routing/admin_safety.ts";
import type { AdminRates } from "./admin_rates.ts";
import { showsToken } from "../../shared/http1/handled_request.ts";
import { type Admin, adminOf, requireScope } from "./routing/admin_scope.ts";
import type { FairQueue } from "../../shared/turns/fair_queue.ts";
import { requireRole } from "../auth/authorize.ts";
import { requireToken, type TokenCheck } from "../auth/revocations.ts";
import { authenticate, requireMethod, stillGiven } from "../http/http.ts";
import type { Documents, HttpContext } from "../http/http.ts";
import type { Identity } from "../auth/identity.ts";
import { requireKnown } from "./routing/query.ts";

/** A file that needs no token. */
export interface AdminFile {
  readonly body: string;
  readonly content_type: string;
  /** Its content security policy. */
  readonly policy: string;
}

/** What the admin listener needs of the process. */
export interface AdminContext
  extends Pick<HttpContext, "authenticator">, TokenCheck, Pick<Env, "log"> {
  readonly names: AdminNames;
  /** The tenants whose admins operate the whole bus; "*" is any. */
  readonly operators: () => readonly string[];
  /** The router of every path that requires a token. */
  readonly router: AdminRouter;
  readonly documents: Documents;
  readonly file: (path: string) => Promise<AdminFile | undefined>;
  /** The audit log; absent: no log is written. */
  readonly audit?: AuditTrail | undefined;
  /** The rate of each caller; absent: no caller is limited. */
  readonly rates?: AdminRates | undefined;
  /** The queue of upload checks by tenant; absent: uploads do not queue. */
  readonly checks?: FairQueue | undefined;
}

/** Answers one request of the admin listener. Never rejects. */
export async function handleAdmin(
  context: AdminContext,
  request: Request,
  remote_ip: string,
): Promise<Response> {
  const path = new URL(request.url).pathname;
  try {
    requireOwnName(request, context.names);
    requireOwnSite(request, path);
    return await openAnswer(context, request, path) ??
      withSafety(await answer(context, request, path, remote_ip));
  } catch (error) {
    return withSafety(refusal(context, path, error));
  }
}

/** Answers requests that need no token: files and documents. */
async function openAnswer(
  { documents, file }: AdminContext,
  request: Request,
  path: string,
): Promise<Response | undefined> {
  if (path === "/" || `${path}/` === FILES) {
    requireReading(request);
    return withSafety(new Response(null, { status: 302, headers: { location: FILES } }));
  }
  const document = documents[path];
  if (document !== undefined) {
    requireReading(request);
    requireKnown(new URL(request.url), []);
    return withSafety(document());
  }
  if (!path.startsWith(FILES)) return undefined;
  requireReading(request);
  const asset = await file(path);
  if (asset === undefined) throw new ArqonError("not-found", path);
  const headers = { "content-type": asset.content_type };
  const answer = new Response(request.method === "HEAD" ? null : asset.body, { headers });
  return withSafety(answer, asset.policy);
}

function requireReading(request: Request): void {
  if (request.method !== "HEAD") requireMethod(request, "GET");
}

async function answer(
  context: AdminContext,
  request: Request,
  path: string,
  remote_ip: string,
): Promise<Response> {
  const { router, audit, rates, checks } = context;
  if (!router.has(path)) throw new ArqonError("not-found", path);
  const admin = await admitted(context, request, remote_ip);
  const { client, only_tenant } = admin;
  const requireStill = () => {
    requireToken(context, client.identity);
    // A reload may have made an operator the admin of one tenant.
    if (only_tenant === undefined) requireScope("bus", adminOf(client, context.operators()), []);
  };
  const response = await router.answer(request, { ...admin, audit, rates, checks, requireStill });
  const is_read = request.method === "GET" || request.method === "HEAD";
  return endingWith(is_read ? await stillGiven(response, requireStill) : response, requireStill);
}

/** The admin behind a request. Rejects with the refusal unless the token is valid and the caller within its rate. */
async function admitted(
  context: AdminContext,
  request: Request,
  remote_ip: string,
): Promise<Admin> {
  let identity: Identity | undefined;
  try {
    // The token is never taken from the query: an admin's URL must not end up in a log with the token
    // in it.
    identity = await authenticate({ ...context, query_token: false }, request);
    requireRole(identity, "admin");
    context.rates?.takeRequest(identity);
    showsToken(request);
    return adminOf({ identity, remote_ip }, context.operators());
  } catch (error) {
    if (error instanceof ArqonError) {
      // This is not awaited: a caller without a valid token is refused at once.
      void context.audit?.refused(accessOf(request, identity, remote_ip), {
        status: error.code,
        reason: error.reason,
      });
    }
    throw error;
  }
}

/** An attempt to use the admin API, as the audit log names it; the caller may be unknown. */
function accessOf(request: Request, identity: Identity | undefined, from: string): Audited {
  const { pathname, search } = new URL(request.url);
  return {
    action: "access",
    method: request.method,
    path: `${pathname}${search}`,
    tenant: null,
    by: identity?.user_id ?? null,
    by_tenant: identity?.tenant_id ?? null,
    operator: false,
    from,
    about: {},
  };
}

function refusal(context: AdminContext, path: string, error: unknown): Response {
  if (error instanceof ArqonError) {
    const allow = error.reason === "method-not-allowed" ? { allow: "GET" } : undefined;
    return problemResponse(error, allow);
  }
  context.log.error("admin request failed", { path, error });
  return problemResponse(new ArqonError("internal"));
}
