/**
 * Admins for tests: operators of the whole bus, and admins of one tenant; and their requests to the routes of one part.
 * Tests only.
 */
import type { Logger } from "../../../../shared/logs/log.ts";
import { AdminRouter } from "../admin_router.ts";
import type { AdminTable } from "../admin_routes.ts";
import type { Admin } from "../admin_scope.ts";
import { ann } from "../../../auth/testing/identity.ts";

function adminIn(tenant_id: string, by: string, only_tenant: string | undefined): Admin {
  const expires_ms = 8_640_000_000_000_000;
  const identity = { ...ann, tenant_id, user_id: by, role: "admin" as const, expires_ms };
  const client = { identity, remote_ip: "127.0.0.1" };
  return { by, tenant_id, only_tenant, client };
}

/** An admin of tenant `ops`, which operates the whole bus. */
export function operator(by = "root"): Admin {
  return adminIn("ops", by, undefined);
}

/** One request to the routes of a part, by an operator unless another admin is given. */
export function askPart<C extends { readonly log: Logger }>(
  table: AdminTable<C>,
  context: C | undefined,
  request: Request,
  as: Admin = operator(),
): Promise<Response> {
  if (context === undefined) throw new TypeError("this part is disabled");
  return new AdminRouter(table.serve(context)).answer(request, as);
}

/** A request as an admin sends it: text, bytes and streams unchanged, anything else as JSON. */
export function adminRequest(method: string, path: string, body?: unknown, type?: string): Request {
  const is_raw = typeof body === "string" || body instanceof Uint8Array ||
    body instanceof ReadableStream;
  return new Request(`http://admin${path}`, {
    method,
    headers: body === undefined ? {} : { "content-type": type ?? "application/json" },
    body: (is_raw ? body : JSON.stringify(body)) as BodyInit | null,
  });
}

/** An answer: its status and its JSON. */
interface JsonAnswer {
  readonly status: number;
  // deno-lint-ignore no-explicit-any -- the tests know what is in it
  readonly body: any;
}

/** One such request to the routes of a part, answered by status and JSON. */
export async function askJson<C extends { readonly log: Logger }>(
  table: AdminTable<C>,
  context: C | undefined,
  request: Request,
  as?: Admin,
): Promise<JsonAnswer> {
  const response = await askPart(table, context, request, as);
  return { status: response.status, body: await response.json() };
}

/** What asks the routes of one part, as an operator unless another admin is given. */
export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  as?: Admin,
) => Promise<JsonAnswer>;

/** What asks those routes; `below` is the beginning of all paths. */
export function asking<C extends { readonly log: Logger }>(
  table: AdminTable<C>,
  context: C | undefined,
  below = "",
): Ask {
  return (method, path, body, as) =>
    askJson(table, context, adminRequest(method, `${below}${path}`, body), as);
}

/** An admin of only that tenant. */
export function tenantAdmin(tenant_id: string, by = "root"): Admin {
  return adminIn(tenant_id, by, tenant_id);
}
