/**
 * The router of the admin API: it finds the route of a request, checks that the admin may use it, and makes refusals.
 * It enforces what the route's table declares before the handler runs. The routes themselves are in the tables
 * (`admin_routes.ts`).
 */
import { ArqonError } from "@arqon/proto";
import { problemResponse } from "../../../shared/problem.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import type { AdminCall, ServedRoute } from "./admin_routes.ts";
import { type Admin, requireScope, type RouteScope } from "./admin_scope.ts";
import { templateNames, templateShape } from "../../../shared/path_template.ts";
import { requireId, requireKnown } from "./query.ts";
import { RequestRecord } from "./request_record.ts";

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
