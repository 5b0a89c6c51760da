/**
 * Routes of the admin API as tables, and how one request is answered by them: which method of which
 * path, for whom, and what a refusal looks like. Each part has a table of its own, which also says what
 * a route is about (`RouteScope`): here it is held to that, before the handler does anything.
 */
import { ArqonError } from "@arqon/proto";
import type { z } from "zod";
import type { Logger } from "../../../shared/logs/log.ts";
import { problemResponse } from "../../../shared/problem.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import { requireScope } from "./admin_scope.ts";
import type { Admin, RouteScope } from "./admin_scope.ts";
import { RequestRecord } from "./request_record.ts";
import { bodyOf } from "../../openapi/openapi_parts.ts";
import type { DescribedBody, RouteAbout } from "../../openapi/openapi_parts.ts";
import { requireId, requireKnown } from "./query.ts";

/** A request without its body: only what a route declares to read it can (`withBody`). */
export type RequestHead = Pick<Request, "headers" | "method" | "signal" | "url">;

/** One request of an admin, taken apart. */
export interface AdminCall extends Admin {
  readonly request: RequestHead;
  readonly url: URL;
  /** Parts of the path by their names in the template, decoded; only `tenant` is checked. */
  readonly names: Readonly<Record<string, string>>;
  /** The tenant of the path, else "". */
  readonly tenant: string;
}

/** Answers one method of one path. */
export type AdminHandler<C> = (context: C, call: AdminCall) => Response | Promise<Response>;

/** A body that has been read, the tenant that it names, and what answers once that is allowed. */
interface NamedInBody {
  readonly tenant: string;
  readonly answer: () => Promise<Response>;
}

/** What every method of a path says of itself. There is none without a description. */
interface Described {
  readonly about: RouteAbout;
  /** What reads it; absent: it has no body, and its handler cannot come by one. */
  readonly body?: DescribedBody;
  /** Answers as the route of this template does, which describes it: it is described no second time. */
  readonly same_as?: string;
  /** The handler refuses unknown parameters itself, in the words that clients get for the same. */
  readonly is_query_strict?: true;
}

/**
 * One method of one path, and what it is about; without a scope it is for operators. Parameters that
 * `about.query` does not name are refused before the handler runs: one that is overlooked, such as a
 * `dry_run` that there is not, would let the rest happen.
 */
export type AdminMethod<C> =
  & Described
  & (
    | {
      readonly scope?: Exclude<RouteScope, "tenant-in-body">;
      readonly handle: AdminHandler<C>;
    }
    | {
      readonly scope: "tenant-in-body";
      readonly read: (context: C, call: AdminCall) => Promise<NamedInBody>;
    }
  );

/** A body: what it may be, and what reads it as that. */
export interface RouteBody<C, B> extends DescribedBody {
  /** Rejects with what refuses it. */
  readonly read: (request: Request, context: C) => Promise<B>;
}

/** A body of JSON: `read` is given the very schema that describes it. */
export function jsonBody<C, Z extends z.ZodType>(
  schema: Z,
  read: (request: Request, schema: Z, context: C) => Promise<z.output<Z>>,
): RouteBody<C, z.output<Z>> {
  return {
    schema: bodyOf(schema),
    read: (request, context) => read(request, schema, context),
  };
}

function readBody<C, B>({ read }: RouteBody<C, B>, context: C, call: AdminCall): Promise<B> {
  // It is the whole request; the type hides its body from handlers.
  return read(call.request as Request, context);
}

/** The body and the handler of a method that has one; it is read when everything else is allowed. */
export function withBody<C, B, Call extends AdminCall = AdminCall>(
  body: RouteBody<C, B>,
  handle: (context: C, call: Call, body: B) => Response | Promise<Response>,
): { readonly body: DescribedBody; handle(context: C, call: Call): Promise<Response> } {
  return {
    body,
    async handle(context, call) {
      return await handle(context, call, await readBody(body, context, call));
    },
  };
}

/** The routes of a part: by template, for example `/v1/rooms/{tenant}/{room}`, then by method. */
export type AdminRoutes<C> = Readonly<
  Record<string, Readonly<Record<string, AdminMethod<C>>>>
>;

/** A method whose body names the tenant. Reading it must change nothing. */
export function tenantInBody<C, B extends { readonly tenant: string }>(
  about: RouteAbout,
  body: RouteBody<C, B>,
  handle: (context: C, call: AdminCall, body: B) => Promise<Response>,
): AdminMethod<C> {
  return {
    about,
    body,
    scope: "tenant-in-body",
    async read(context, call) {
      const given = await readBody(body, context, call);
      return { tenant: given.tenant, answer: () => handle(context, call, given) };
    },
  };
}

interface CompiledRoute<C> {
  readonly template: string;
  readonly shape: RegExp;
  readonly names: readonly string[];
  readonly methods: Readonly<Record<string, AdminMethod<C>>>;
}

/** What a table has for one path. */
interface FoundRoute<C> {
  readonly methods: Readonly<Record<string, AdminMethod<C>>>;
  /** The route of each method. */
  readonly templates: Readonly<Record<string, string>>;
  readonly names: Readonly<Record<string, string>>;
}

/** One method of one route, as descriptions and tests want it. */
export interface ListedRoute {
  readonly template: string;
  readonly method: string;
  readonly scope: RouteScope;
  /** Names of its parameters. */
  readonly query: readonly string[];
  readonly about: RouteAbout;
  readonly body: DescribedBody | undefined;
  /** The template that describes it; undefined: its own. */
  readonly same_as: string | undefined;
}

const NAME = /\{([a-z]+)\}/g;

/** Text with a malformed % escape stays as it is: no id has a `%`. */
function decoded(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** The routes of one part, looked up by path. */
export class AdminTable<C> {
  readonly #routes: readonly CompiledRoute<C>[];

  constructor(routes: AdminRoutes<C>) {
    const all = Object.entries(routes).map(([template, methods]) => ({
      template,
      shape: new RegExp(`^${template.replaceAll(NAME, "([^/]+)")}$`),
      names: [...template.matchAll(NAME)].map(([, name = ""]) => name),
      methods,
    }));
    // What is named in full comes last, and so wins where both take a method.
    this.#routes = all.sort((a, b) => b.names.length - a.names.length);
  }

  /** Whether a path is one of these. */
  has(path: string): boolean {
    return this.#routes.some(({ shape }) => shape.test(path));
  }

  /** Methods of every template that fits: a policy may be called as another path here is. */
  find(path: string): FoundRoute<C> {
    let methods: FoundRoute<C>["methods"] = {};
    const names: Record<string, string> = {};
    const templates: Record<string, string> = {};
    for (const route of this.#routes) {
      const match = route.shape.exec(path);
      if (match === null) continue;
      for (const [at, name] of route.names.entries()) names[name] = decoded(match[at + 1] ?? "");
      methods = { ...methods, ...route.methods };
      for (const method of Object.keys(route.methods)) templates[method] = route.template;
    }
    return { methods, templates, names };
  }

  /** All routes of the table. */
  *list(): Iterable<ListedRoute> {
    for (const { template, methods } of this.#routes) {
      for (const [method, route] of Object.entries(methods)) {
        const { scope = "bus", about, body, same_as } = route;
        yield { template, method, scope, query: knownBy(route), about, body, same_as };
      }
    }
  }
}

/** The parameters that a route knows. */
function knownBy({ about: { query = [] } }: Described): readonly string[] {
  return query.map(({ name }) => name);
}

/** The tenants that a request names where its route's scope says, whatever else is wrong with it. */
function namedTenants(
  scope: RouteScope,
  { url: { searchParams }, names }: Pick<AdminCall, "url" | "names">,
): readonly string[] {
  switch (scope) {
    case "tenant-in-path":
      return names.tenant === undefined ? [] : [names.tenant];
    case "own":
    case "tenant-in-query":
      return searchParams.getAll("tenant");
    case "tenant-in-subject":
      // What is no subject is nobody's.
      return searchParams.getAll("subject").map((one) => parseRoomSubject(one)?.tenantId ?? "");
    case "bus":
    case "shared":
    case "tenant-in-body":
      return [];
    default:
      return scope satisfies never;
  }
}

async function answerFound<C>(
  { methods, templates, names }: FoundRoute<C>,
  context: C,
  request: Request,
  admin: Admin,
  record: RequestRecord,
): Promise<Response> {
  const url = new URL(request.url);
  const allowed = Object.keys(methods);
  if (allowed.length === 0) throw new ArqonError("not-found", url.pathname);
  const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  if (method === undefined) {
    const refusal = new ArqonError("method-not-allowed", request.method);
    return problemResponse(refusal, { allow: allowed.join(", ") });
  }
  const call = { ...admin, request, url, names, tenant: names.tenant ?? "" };
  const { scope = "bus" } = method;
  const named = namedTenants(scope, call);
  record.find(templates[request.method] ?? "", named[0]);
  if (method.scope === "tenant-in-body") {
    requireKnown(url, knownBy(method));
    const { tenant, answer } = await method.read(context, call);
    record.name(tenant);
    requireScope(scope, admin, [tenant]);
    record.takeRate();
    await record.begin();
    return await answer();
  }
  requireScope(scope, admin, named);
  if (method.is_query_strict !== true) requireKnown(url, knownBy(method));
  if (names.tenant !== undefined) requireId(names.tenant, "tenant");
  record.takeRate();
  await record.begin();
  return await method.handle(context, call);
}

/**
 * Answers one request of an admin by a part's table. `special` answers errors that only the part knows;
 * anything else that is no ArqonError is a bug, which is logged. Never rejects.
 */
export async function answerAdmin<C extends { readonly log: Logger }>(
  table: AdminTable<C>,
  context: C,
  request: Request,
  admin: Admin,
  special: (error: unknown) => Response | undefined = () => undefined,
): Promise<Response> {
  const { pathname: path } = new URL(request.url);
  const record = new RequestRecord(admin, request);
  let response: Response;
  try {
    response = await answerFound(table.find(path), context, request, admin, record);
  } catch (error) {
    const known = error instanceof ArqonError ? error : undefined;
    response = (known === undefined ? special(error) : undefined) ??
      problemResponse(known ?? new ArqonError("internal"));
    if (response.status === 500) context.log.error("admin request failed", { path, error });
  }
  return await record.end(response);
}
