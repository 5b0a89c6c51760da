/**
 * The admin listener: the console's files for everybody, the API for a token of role `admin`, each of
 * its parts on paths of its own. Loopback unless configured otherwise. Probes and Prometheus use the
 * ops listener (`shared/ops.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { problemResponse } from "../shared/problem.ts";
import type { SpineStatus } from "../shared/spine/spine.ts";
import type { KeyStatus } from "./authenticate.ts";
import { requireOwnSite, withSafety } from "./admin_safety.ts";
import { requireRole } from "./authorize.ts";
import { authenticate, requireMethod } from "./http.ts";
import { consoleAsset } from "./console/assets.ts";
import type { HttpContext } from "./http.ts";
import { OPENAPI } from "./inspect/openapi.ts";

/** The answer of `GET /v1/status`. */
export interface ShieldStatus {
  node_id: string;
  version: string;
  uptime_ms: number;
  draining: boolean;
  connections: number;
  subscriptions: number;
  rooms: number;
  tenants: number;
  users: number;
  egress_messages: number;
  ingress_ops: Record<string, number>;
  rejects: Record<string, number>;
  spine: SpineStatus;
  keys: KeyStatus[];
  policies: Record<string, unknown>;
  schemas: Record<string, unknown>;
  /** Bans of all tenants that this Shield knows. */
  bans: number;
}

/** A part of the process with paths of its own; it answers refusals itself. */
export interface AdminPart {
  /** Whether a path is one of its own. */
  readonly isPath: (path: string) => boolean;
  /**
   * Answers for the admin with that user id, whose token ends at that moment (Unix ms); undefined when
   * the part is disabled.
   */
  readonly answer:
    | ((request: Request, by: string, expires_ms: number) => Promise<Response>)
    | undefined;
}

/** What the admin listener needs of the process; `status` is read anew for each request. */
export interface AdminContext extends Pick<HttpContext, "authenticator" | "log"> {
  readonly status: () => ShieldStatus;
  readonly parts: readonly AdminPart[];
}

/** Answers one request of the admin listener. Never rejects. */
export async function handleAdmin(context: AdminContext, request: Request): Promise<Response> {
  const path = new URL(request.url).pathname;
  try {
    requireOwnSite(request, path);
    const response = openAnswer(request, path) ?? await answer(context, request, path);
    return withSafety(response, path);
  } catch (error) {
    return withSafety(refusal(context, path, error), path);
  }
}

/** What needs no token: files, and what the API looks like. */
function openAnswer(request: Request, path: string): Response | undefined {
  if (path === "/" || path === "/console") {
    requireReading(request);
    return new Response(null, { status: 302, headers: { location: "/console/" } });
  }
  if (path === "/v1/openapi.json") {
    requireReading(request);
    return Response.json(OPENAPI);
  }
  if (!path.startsWith("/console/")) return undefined;
  requireReading(request);
  const asset = consoleAsset(path);
  if (asset === undefined) throw new ArqonError("not-found", path);
  const headers = { "content-type": asset.content_type };
  return new Response(request.method === "HEAD" ? null : asset.body, { headers });
}

function requireReading(request: Request): void {
  if (request.method !== "HEAD") requireMethod(request, "GET");
}

async function answer(context: AdminContext, request: Request, path: string): Promise<Response> {
  const part = context.parts.find(({ isPath }) => isPath(path));
  if (path !== "/v1/status" && part?.answer === undefined) throw new ArqonError("not-found", path);
  // Never by query: an admin's URL must not end up in a log with the token in it.
  const identity = await authenticate({ ...context, query_token: false }, request);
  requireRole(identity, "admin");
  if (part?.answer !== undefined) {
    return await part.answer(request, identity.user_id, identity.expires_ms);
  }
  requireMethod(request, "GET");
  return Response.json(context.status());
}

function refusal(context: AdminContext, path: string, error: unknown): Response {
  if (error instanceof ArqonError) {
    const allow = error.reason === "method-not-allowed" ? { allow: "GET" } : undefined;
    return problemResponse(error, allow);
  }
  context.log.error("admin request failed", { path, error });
  return problemResponse(new ArqonError("internal"));
}
