/**
 * The router of the admin API: it finds the route of a request, checks that the admin may use it, and makes refusals.
 * It enforces what the route's table declares before the handler runs. The routes themselves are in the tables
 * (`admin_routes.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { problemResponse } from "../../../shared/problem.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import { actionOf, type AdminCall, type RouteAudit, type ServedRoute } from "./admin_routes.ts";
import { type Admin, requireScope, type RouteScope } from "./admin_scope.ts";
import { templateNames, templateShape } from "../../../shared/path_template.ts";
import { requireId, requireKnown } from "./query.ts";
import type { Audited, Ended, Finish } from "./audit_trail.ts";

type Naming = (call: Pick<AdminCall, "url" | "names">) => readonly string[];
const nowhere: Naming = () => [];
const inQuery: Naming = ({ url }) => url.searchParams.getAll("tenant");

/** The tenants that a request names in the place that its scope declares, even if the request is otherwise invalid. */
const NAMED_TENANTS: Readonly<Record<RouteScope, Naming>> = {
  bus: nowhere,
  shared: nowhere,
  own: inQuery,
  "tenant-in-path": ({ names }) => names.tenant === undefined ? [] : [names.tenant],
  "tenant-in-query": inQuery,
  // Text that is not a subject belongs to no tenant.
  "tenant-in-subject": ({ url }) =>
    url.searchParams.getAll("subject").map((one) => parseRoomSubject(one)?.tenantId ?? ""),
  "tenant-in-body": nowhere,
};

/** Parameters of paths that are ids. */
const IDS = ["tenant", "room", "connection"] as const;

interface CompiledPath {
  readonly shape: RegExp;
  readonly names: readonly string[];
  readonly methods: Map<string, ServedRoute>;
}

/** The route of one method of a path, and the path's parameters by name. */
interface FoundRoute {
  readonly route: ServedRoute;
  readonly names: Readonly<Record<string, string>>;
}

function compiled(template: string): CompiledPath {
  return {
    shape: templateShape(template, "[^/]+"),
    names: templateNames(template),
    methods: new Map(),
  };
}

/** The text without its % escapes. Text with a malformed escape stays unchanged: no id has a `%`. */
function decoded(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** The routes of the admin API, looked up by path and method. */
export class AdminRouter {
  readonly #paths: readonly CompiledPath[];

  /** Throws TypeError when two routes are the same method of the same path. */
  constructor(routes: Iterable<ServedRoute>) {
    const paths = new Map<string, CompiledPath>();
    for (const route of routes) {
      const { template, method } = route;
      const path = paths.get(template) ?? compiled(template);
      if (path.methods.has(method)) throw new TypeError(`${method} ${template}: two routes`);
      path.methods.set(method, route);
      paths.set(template, path);
    }
    // Templates without names come last, so they override those with names for the same method.
    this.#paths = [...paths.values()].sort((a, b) => b.names.length - a.names.length);
  }

  /** Whether any method of the path has a route. */
  has(path: string): boolean {
    return this.#paths.some(({ shape }) => shape.test(path));
  }

  /**
   * Answers one request of an admin. An error that is neither an ArqonError nor known to the route's part is a bug: it
   * becomes a 500 and a line in the part's log. Never rejects.
   */
  async answer(request: Request, admin: Admin): Promise<Response> {
    const url = new URL(request.url);
    const found = this.#find(url.pathname);
    const method = found.get(request.method);
    if (method === undefined) return noRoute(url.pathname, request.method, [...found.keys()]);
    return await answerBy(method, { ...admin, request, url }, request);
  }

  /** The methods of every template that matches: a policy may have the name of another path. */
  #find(path: string): Map<string, FoundRoute> {
    const found = new Map<string, FoundRoute>();
    for (const { shape, names, methods } of this.#paths) {
      const match = shape.exec(path);
      if (match === null) continue;
      const parts = names.map((name, at) => [name, decoded(match[at + 1] ?? "")]);
      const named = Object.fromEntries(parts);
      for (const [method, route] of methods) found.set(method, { route, names: named });
    }
    return found;
  }
}

/** The refusal of a path that has no route, or of a method that the path does not take. */
function noRoute(path: string, method: string, allowed: readonly string[]): Response {
  if (allowed.length === 0) return problemResponse(new ArqonError("not-found", path));
  const refusal = new ArqonError("method-not-allowed", method);
  return problemResponse(refusal, { allow: allowed.join(", ") });
}

async function answerBy(
  { route, names }: FoundRoute,
  head: Omit<AdminCall, "names" | "tenant" | "room">,
  request: Request,
): Promise<Response> {
  const record = new RequestRecord(head, request);
  const { tenant = "", room = "" } = names;
  const call = { ...head, names, tenant, room };
  let response: Response;
  try {
    response = await permitted(route, call, record);
  } catch (error) {
    response = refusal(route, call, error);
  }
  return await record.end(response);
}

/** The handler's answer, after every check that the table declares for the route. */
async function permitted(
  route: ServedRoute,
  call: AdminCall,
  record: RequestRecord,
): Promise<Response> {
  const { url, names } = call;
  const named = NAMED_TENANTS[route.scope](call);
  // Also what operators alone may do is about the tenant of its path.
  record.find(route.audit, named[0] ?? names.tenant);
  if (route.scope === "tenant-in-body") {
    requireKnown(url, route.query);
    const { tenant, answer } = await route.read(call);
    record.name(tenant);
    requireScope(route.scope, call, [tenant]);
    record.takeRate();
    await record.begin();
    return await answer();
  }
  requireScope(route.scope, call, named);
  if (!route.is_query_strict) requireKnown(url, route.query);
  for (const name of IDS) if (names[name] !== undefined) requireId(names[name], name);
  record.takeRate();
  await record.begin();
  return await route.handle(call);
}

function refusal({ refusalOf, log }: ServedRoute, { url }: AdminCall, error: unknown): Response {
  const response = error instanceof ArqonError
    ? problemResponse(error)
    : refusalOf(error) ?? problemResponse(new ArqonError("internal"));
  if (response.status === 500) log.error("admin request failed", { path: url.pathname, error });
  return response;
}

// The record of one request for rate limits and the audit log: its action, its beginning, and its outcome. It decides
// no permissions.

/** Members of a body that say what a request is about, and are no content of users. */
const SHOWN = [
  "name",
  "sha256",
  "version",
  "room",
  "mode",
  "percent",
  "order",
  "prefix",
  "subject",
  "schema_id",
  "message",
  "user",
  "user_id",
  "connection_id",
  "token_id",
  "issued_before_ms",
  "until_ms",
  "ttl_ms",
  "scope",
  "reason",
  "node_id",
  "component",
  "level",
  "durable",
  // Of an erasure, which is repeated by them after a restore.
  "offset",
  "all",
  "through",
] as const;
const SHOWN_UNITS = 128;
/** Of a user's id, which is to be whole. */
const USER_UNITS = 256;
/** Longest body that is looked into. */
const BODY_BYTES = 16_384;

/**
 * The parts of a JSON body that the log may show, read from a copy; nothing of a body that is
 * large, has no length, or is no JSON. Never rejects.
 */
async function aboutOf(request: Request): Promise<Record<string, string | number | boolean>> {
  const size_bytes = Number(request.headers.get("content-length") ?? "0");
  const is_json = /^application\/json\b/i.test(request.headers.get("content-type") ?? "");
  if (!is_json || size_bytes <= 0 || size_bytes > BODY_BYTES) return {};
  let body: unknown;
  try {
    body = await request.clone().json();
  } catch {
    return {};
  }
  const about: Record<string, string | number | boolean> = {};
  if (typeof body !== "object" || body === null) return about;
  for (const name of SHOWN) {
    const value: unknown = Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined;
    const units = name === "user" ? USER_UNITS : SHOWN_UNITS;
    if (typeof value === "string") about[name] = value.slice(0, units).toWellFormed();
    else if (typeof value === "number" || typeof value === "boolean") about[name] = value;
  }
  return about;
}

/** Longest problem body that is looked into for its reason, in bytes; ours are shorter. */
const PROBLEM_BYTES = 65_536;

/** Why an answer is a refusal; null if it is not a refusal. */
async function reasonOf(response: Response): Promise<string | null> {
  const is_problem = response.headers.get("content-type") === "application/problem+json";
  const size_bytes = Number(response.headers.get("content-length") ?? "0");
  if (response.status < 400 || !is_problem || size_bytes > PROBLEM_BYTES) return null;
  const { reason } = await response.clone().json();
  return typeof reason === "string" ? reason : null;
}

/** The record of one request; without `Admin.audit` it records nothing. */
class RequestRecord {
  readonly #admin: Admin;
  readonly #request: Request;
  #audited: Audited | undefined;
  #is_recorded = false;
  #is_read = false;
  #finish: Finish | undefined;

  constructor(admin: Admin, request: Request) {
    this.#admin = admin;
    this.#request = request;
  }

  /** Takes note of what the request is called; `tenant` is the one that it names, as far as that can be read by now. */
  find(audit: RouteAudit | undefined, tenant: string | undefined): void {
    const { method, url } = this.#request;
    const is_named = typeof audit === "string";
    this.#is_read = typeof audit === "object" && "read" in audit;
    const { pathname, search } = new URL(url);
    const { by, tenant_id: by_tenant, only_tenant, client } = this.#admin;
    this.#is_recorded = audit !== undefined && (is_named || !("refused" in audit));
    this.#audited = {
      action: audit === undefined ? "read" : actionOf(audit),
      method,
      path: `${pathname}${search}`,
      tenant: tenant ?? only_tenant ?? null,
      by,
      by_tenant,
      operator: only_tenant === undefined,
      from: client.remote_ip,
      about: is_named && this.#admin.audit !== undefined ? aboutOf(this.#request) : {},
    };
  }

  /** Stores the tenant that the body names. */
  name(tenant: string): void {
    if (this.#audited !== undefined) this.#audited = { ...this.#audited, tenant };
  }

  /** Throws `rate-limited` if the caller exceeded its rate of changes. */
  takeRate(): void {
    if (this.#is_recorded) this.#admin.rates?.takeChange(this.#admin.client.identity);
  }

  /** To be called before an allowed request runs. Rejects with `audit-unavailable`: the request must then not run. */
  async begin(): Promise<void> {
    if (!this.#is_recorded || this.#audited === undefined) return;
    this.#finish = await this.#admin.audit?.begin(this.#audited);
  }

  /** Records the answer with which the request ended, or how the reading of the returned one ends. Never rejects. */
  async end(response: Response): Promise<Response> {
    const { audit } = this.#admin;
    if (audit === undefined) return response;
    const { body, status } = response;
    const ended = { status, reason: await reasonOf(response) };
    const finish = this.#finish;
    if (this.#is_read && finish !== undefined && status < 400 && body !== null) {
      const flush = () => finish(ended);
      const cancel = () => finish({ ...ended, is_cut: true });
      return new Response(body.pipeThrough(new TransformStream({ flush, cancel })), response);
    }
    if (finish !== undefined) await finish(ended);
    else if (this.#audited !== undefined && isRefusal(ended, this.#is_recorded)) {
      await audit.refused(this.#audited, ended);
    }
    return response;
  }
}

/** Whether an outcome is recorded: of reads only forbidden ones, of changes every refusal. */
function isRefusal({ status, reason }: Ended, is_recorded: boolean): boolean {
  // If the log is unavailable, its refusal cannot be recorded either.
  if (status < 400 || reason === "audit-unavailable") return false;
  return is_recorded || status === 403;
}
