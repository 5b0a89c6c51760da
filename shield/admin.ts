/**
 * The admin listener: `GET /v1/status` for a token of role `admin`. Loopback unless configured
 * otherwise. Probes and Prometheus use the ops listener (`shared/ops.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { problemResponse } from "../shared/problem.ts";
import type { SpineStatus } from "../shared/spine/spine.ts";
import type { KeyStatus } from "./authenticate.ts";
import { requireRole } from "./authorize.ts";
import { authenticate, requireMethod } from "./http.ts";
import type { HttpContext } from "./http.ts";

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
  /** Answers for the admin with that user id; undefined when the part is disabled. */
  readonly answer: ((request: Request, by: string) => Promise<Response>) | undefined;
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
    const part = context.parts.find(({ isPath }) => isPath(path));
    if (path !== "/v1/status" && part?.answer === undefined) {
      throw new ArqonError("not-found", path);
    }
    // Never by query: an admin's URL must not end up in a log with the token in it.
    const identity = await authenticate({ ...context, query_token: false }, request);
    requireRole(identity, "admin");
    if (part?.answer !== undefined) return await part.answer(request, identity.user_id);
    requireMethod(request, "GET");
    return Response.json(context.status(), { headers: { "cache-control": "no-store" } });
  } catch (error) {
    if (error instanceof ArqonError) {
      return problemResponse(
        error,
        error.reason === "method-not-allowed" ? { allow: "GET" } : undefined,
      );
    }
    context.log.error("admin request failed", { path, error });
    return problemResponse(new ArqonError("internal"));
  }
}
