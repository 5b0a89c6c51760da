/**
 * The client listener as a function from request to response: routes, Origin, tokens, problem bodies.
 * `shared/listeners/listen.ts` opens sockets, `upgrade.ts` upgrades them.
 */
import { ArqonError } from "@arqon/proto";
import { clientGone, showsToken } from "../../shared/http1/handled_request.ts";
import type { Env } from "../../shared/env.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { Admission } from "../rates/admission.ts";
import type { Authenticator } from "../auth/authenticate.ts";
import { readBody } from "./http_body.ts";
import type { PendingRequests } from "./pending.ts";
import type { ClientTable, FoundPath } from "./route.ts";
import type { Identity } from "../auth/identity.ts";
import { type AllowedOrigins, isOriginAllowed, requireOrigin } from "../auth/origin.ts";
import type { Client } from "../message/caller.ts";
import type { Observers } from "../message/observers.ts";
import { UPGRADE_HEADERS } from "../socket/handshake.ts";
import { lightCopyOf, originalOf } from "../socket/light_copy.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";
import { tokenFrom } from "../auth/token.ts";
import { ExpiredToken } from "../auth/token_refusal.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** Answers requests of another protocol; undefined for one that is not. */
export type ForeignEntry = (
  request: Request,
  url: URL,
  remote_ip: string,
) => Promise<Response> | undefined;

/** Answers that need no token, by path. */
export type Documents = Readonly<Record<string, () => Response>>;

/** The context of requests on the client listener. */
export interface HttpContext extends Pick<Env, "log"> {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly origins: AllowedOrigins;
  readonly query_token: boolean;
  readonly stats: ShieldStats;
  readonly tenants: Pick<TenantTable, "of">;
  /** Answers GET /v1/socket, after Origin and token have been checked. */
  readonly upgrade: (request: Request, client: Client) => Promise<Response>;
  /** The routes of everything else that requires a token. */
  readonly api: ClientTable;
  /** Answers without a token to GET requests, by path. */
  readonly documents: Documents;
  /** Headers that pages may send in addition to the common ones. */
  readonly headers: readonly string[];
  /**
   * Answers another protocol, without a token of ours; undefined: the request has none. Never rejects. Absent: none.
   */
  readonly foreign?: ForeignEntry | undefined;
  /** Throws if too many requests of the user are running; dispose the result when this one is answered. */
  readonly pending: Pick<PendingRequests, "enter">;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  /** Throws if the process can have no further connection: before any work on a token. */
  readonly requireCapacity: () => void;
  /** Admission during a reconnect storm; called before any work on a token. */
  readonly admission: Admission;
  /** Throws `token-expired` or `token-revoked` if the token of a request under way has ended meanwhile. */
  readonly requireToken: (identity: Identity) => void;
  /** The same, and `banned` or `room-banned`, for what no gate judges after this. */
  readonly requireStill: (identity: Identity, room_id: string | undefined) => void;
  /** Throws if the user is banned from the tenant, or if that cannot be determined. */
  readonly requireNotBanned: (identity: Identity) => void;
  readonly observers: Observers;
}

/** Answers one request; with `turned_away`, always by a refusal. Never rejects. */
export async function handleRequest(
  context: HttpContext,
  received: Request,
  remote_ip: string,
  turned_away: boolean = false,
): Promise<Response> {
  step(AT.request);
  const url = new URL(received.url);
  const foreign = turned_away ? undefined : context.foreign?.(received, url, remote_ip);
  if (foreign !== undefined) return await foreign;
  const upgrade = url.pathname === "/v1/socket" && received.method !== "OPTIONS";
  const request = upgrade ? lightCopyOf(received) : received;
  const { observers } = context;
  if (upgrade) { for (const tell of observers.asked) tell(request); }
  const seen: { identity?: Identity } = {};
  const tellGreeted = (refusal?: ArqonError) => {
    const former = url.searchParams.get("resume") ?? "";
    const bearer = refusal instanceof ExpiredToken ? refusal.bearer : undefined;
    const handshake = { request, remote_ip, who: seen.identity ?? bearer, former };
    for (const tell of observers.greeted) tell(handshake, refusal);
  };
  try {
    requireOrigin(request, context.origins);
    if (turned_away) context.admission.refuse();
    const response = request.method === "OPTIONS"
      ? options(context, request, url.pathname, methodsOf(context, url.pathname))
      : await route(context, request, url, remote_ip, seen);
    if (upgrade) {
      bump(context.stats.handshakes, "accepted");
      tellGreeted();
    }
    // The response of an upgrade belongs to the runtime and must not be changed.
    return upgrade ? response : withCors(context, request, response);
  } catch (error) {
    const refusal = refusalOf(context, error, url.pathname);
    bump(context.stats.rejects, refusal.reason);
    if (upgrade) {
      bump(context.stats.handshakes, refusal.reason);
      tellGreeted(refusal);
    }
    return withCors(
      context,
      request,
      context.api.find(url.pathname)?.refused?.(request, refusal) ?? problemResponse(refusal, {
        ...extraHeaders(refusal, url.pathname, methodsOf(context, url.pathname)),
        // A client without a socket does not need the connection, but some clients would keep it. And while this
        // process drains, a kept connection would not move elsewhere through a load balancer.
        ...(upgrade || refusal.reason === "draining" ? { connection: "close" } : {}),
      }),
    );
  }
}

async function route(
  context: HttpContext,
  request: Request,
  url: URL,
  remote_ip: string,
  seen: { identity?: Identity },
): Promise<Response> {
  if (url.pathname === "/v1/socket") {
    requireMethod(request, "GET");
    context.requireOpen();
    context.requireCapacity();
    using handshake = context.admission.enter();
    const identity = seen.identity = await authenticate(context, request);
    requireEntry(context, identity, remote_ip);
    showsToken(originalOf(request));
    for (const tell of context.observers.known) tell(request, identity);
    const response = await counted(
      context,
      identity,
      context.upgrade(request, { identity, remote_ip }),
    );
    handshake.accepted();
    return response;
  }
  const method = readMethod(request);
  if (url.pathname === "/v1/auth/check") {
    requireMethod({ method }, "GET");
    // The refusal of an upgrade, for clients that cannot read its answer.
    context.requireOpen();
    context.requireCapacity();
    context.admission.requireOpen();
    return describe(await admitted(context, request, url, remote_ip));
  }
  const document = context.documents[url.pathname];
  if (document !== undefined) {
    requireMethod({ method }, "GET");
    return document();
  }
  const found = context.api.find(url.pathname);
  if (found === undefined) throw new ArqonError("not-found", url.pathname);
  const answer = found.methods.get(method);
  if (answer === undefined) throw new ArqonError("method-not-allowed", request.method);
  if (!found.of_connection) context.requireOpen();
  const identity = await admitted(context, request, url, remote_ip, found);
  const client = { identity, remote_ip };
  using under_way = context.pending.enter(identity);
  const gone = () => {
    const signal = clientGone(request);
    if (signal.aborted) under_way.abandon();
    else signal.addEventListener("abort", () => under_way.abandon(), { once: true });
    return signal;
  };
  const names = found.names();
  const requireStill = () => context.requireStill(identity, names["room"]);
  const body = async (bytes_max: number) => {
    const bytes = await readBody(request, bytes_max, identity.tenant_id);
    context.requireToken(identity);
    return bytes;
  };
  const call = { request, client, url, names, body, gone, requireStill };
  const answered = answer(call).then((response) =>
    method === "GET" ? stillGiven(response, requireStill) : response
  );
  return await counted(context, identity, answered);
}

/** What was read, unless `requireStill` throws: the caller may have lost its right while the answer waited. */
export async function stillGiven(response: Response, requireStill: () => void): Promise<Response> {
  try {
    if (response.body !== null) requireStill();
  } catch (refusal) {
    await response.body?.cancel();
    throw refusal;
  }
  return response;
}

/** Answers a known client; a refusal counts for its tenant. */
async function counted(
  context: Pick<HttpContext, "tenants">,
  { tenant_id }: Identity,
  answer: Promise<Response>,
): Promise<Response> {
  try {
    return await answer;
  } catch (error) {
    context.tenants.of(tenant_id).rejects++;
    throw error;
  }
}

/** The identity of a request's token. Rejects with a 401 reason or 503 `keys-unavailable`. */
export async function authenticate(
  context: Pick<HttpContext, "authenticator" | "query_token">,
  request: Request,
): Promise<Identity> {
  const token = tokenFrom(request, context);
  if (token === undefined) throw new ArqonError("token-missing");
  return await context.authenticator.authenticate(token);
}

/** The identity of an admitted client. Rejects as `authenticate` and `requireNotBanned` do. */
async function admitted(
  context: HttpContext,
  request: Request,
  url: URL,
  remote_ip: string,
  { identify, of_connection }: Partial<FoundPath> = {},
): Promise<Identity> {
  // A token has priority: another proof then stays valid.
  const is_other = identify !== undefined && tokenFrom(request, context) === undefined;
  const other = is_other ? identify(url, request.method) : undefined;
  const identity = await (other ?? authenticate(context, request));
  if (of_connection) context.requireStill(identity, undefined);
  else requireEntry(context, identity, remote_ip);
  showsToken(request);
  return identity;
}

/** Throws as `requireNotBanned` does, and records it. */
function requireEntry(context: HttpContext, identity: Identity, remote_ip: string): void {
  try {
    context.requireNotBanned(identity);
  } catch (error) {
    for (const tell of context.observers.banned) tell({ identity, remote_ip }, error);
    throw error;
  }
}

function describe(identity: Identity): Response {
  const { tenant_id, user_id, role, expires_ms } = identity;
  const body = { tenant_id, user_id, role, token_expires_ms: expires_ms };
  return Response.json(body, { headers: { "cache-control": "no-store" } });
}

/** The method that answers a request: HEAD is handled as GET, and the listener omits the body (RFC 9110, 9.3.2). */
function readMethod({ method }: Pick<Request, "method">): string {
  return method === "HEAD" ? "GET" : method;
}

/** Throws `method-not-allowed` (405); the caller adds the `Allow` header. */
export function requireMethod(request: Pick<Request, "method">, method: string): void {
  if (request.method !== method) throw new ArqonError("method-not-allowed", request.method);
}

/**
 * The methods of a path, also of one that does not exist: a preflight is allowed there, so that a
 * page sees the 404.
 */
function methodsOf({ api }: Pick<HttpContext, "api">, path: string): readonly string[] {
  return [...api.find(path)?.methods.keys() ?? ["GET"]];
}

/** The header `Allow` of a path. An upgrade has no answer for HEAD. */
function allowOf(path: string, methods: readonly string[]): string {
  const head = methods.includes("GET") && path !== "/v1/socket" ? ["HEAD"] : [];
  return [...methods, ...head, "OPTIONS"].join(", ");
}

function extraHeaders(
  refusal: ArqonError,
  path: string,
  methods: readonly string[],
): Record<string, string> {
  if (refusal.reason === "method-not-allowed") return { allow: allowOf(path, methods) };
  return refusal.reason === "not-a-websocket" ? UPGRADE_HEADERS : {};
}

/** The refusal for an error. Any other error is a bug, and is logged without the client's data. */
function refusalOf(context: HttpContext, error: unknown, path: string): ArqonError {
  if (error instanceof ArqonError) return error;
  context.log.error("request failed", {
    path,
    error: error instanceof Error ? error.stack : String(error),
  });
  return new ArqonError("internal");
}

/** The headers that a page may send with every request, also those of readers of events by `fetch` and of traces. */
const PAGE_HEADERS = [
  ...["authorization", "content-type", "if-none-match", "last-event-id"],
  ...["traceparent", "tracestate", "baggage"],
];

/** The answer to OPTIONS: the methods of the path, and for a page the allowed headers (a preflight). */
function options(
  { headers }: HttpContext,
  request: Request,
  path: string,
  methods: readonly string[],
): Response {
  const allow = allowOf(path, methods);
  if (request.headers.get("origin") === null) {
    return new Response(null, { status: 204, headers: { allow } });
  }
  return new Response(null, {
    status: 204,
    headers: {
      allow,
      "access-control-allow-methods": methods.join(", "),
      "access-control-allow-headers": [...PAGE_HEADERS, ...headers].join(", "),
      "access-control-max-age": "600",
    },
  });
}

/** Allows pages of an allowed origin to read every answer, refusals included. */
function withCors(context: HttpContext, request: Request, response: Response): Response {
  const origin = request.headers.get("origin");
  // Also without an origin: a cache must not give that answer to a page.
  response.headers.append("vary", "origin");
  if (origin === null || !isOriginAllowed(origin, context.origins)) return response;
  response.headers.set("access-control-allow-origin", origin);
  return response;
}
