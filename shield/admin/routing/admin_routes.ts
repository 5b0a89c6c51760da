/**
 * Routes of the admin API as tables. Each part exports one table with the method, path, scope (`RouteScope`),
 * description and handler of each route. `admin_router.ts` finds the route of a request and checks the request before
 * the handler runs.
 */
import type { z } from "zod";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Admin, RouteScope } from "./admin_scope.ts";
import { bodyOf, namesOf } from "../../openapi/openapi_parts.ts";
import type { DescribedBody, RouteAbout } from "../../openapi/openapi_parts.ts";

/** A request without its body: a handler gets the body only by `withBody`, which describes it. */
export type RequestHead = Pick<Request, "headers" | "method" | "signal" | "url">;

/** One parsed request of an admin. */
export interface AdminCall extends Admin {
  readonly request: RequestHead;
  readonly url: URL;
  /** The path's parameters by name, decoded; only tenants, rooms and connections are checked. */
  readonly names: Readonly<Record<string, string>>;
  /** The tenant and the room of the path; "" if it has none. */
  readonly tenant: string;
  readonly room: string;
}

/** Answers one method of one path. */
export type AdminHandler<C> = (context: C, call: AdminCall) => Response | Promise<Response>;

/** A body that has been read, the tenant that it names, and the handler that runs if that tenant is allowed. */
interface NamedInBody {
  readonly tenant: string;
  readonly answer: () => Promise<Response>;
}

/**
 * What the audit log calls the requests of a route that changes something, or reads what users have written: recorded
 * with what their body is about. `private`: without, since the body is a user's. `read`: with how the reading of their
 * answer ended. `refused`: it changes and reads nothing of the kind, and is recorded only when it was refused.
 */
export type RouteAudit = string | { private: string } | { read: string } | { refused: string };

/** The name alone. */
export const actionOf = (audit: RouteAudit): string =>
  typeof audit === "string" ? audit : Object.values(audit).join();

/** What answers a method. Without a scope it is for operators. */
export type Answering<C> =
  & {
    /** Absent: it is no change and reads nothing of users; its refusals are "read". */
    readonly audit?: RouteAudit;
    /** What reads it; absent: it has no body, and its handler cannot come by one. */
    readonly body?: DescribedBody;
    /** The handler refuses unknown parameters itself, with the same message as the client API. */
    readonly is_query_strict?: true;
  }
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

/**
 * The routes of a part, by `METHOD /path`. Parameters that its `query` does not name are refused before the handler
 * runs: a handler that ignored a misspelled `dry_run` would make a change that the caller did not want.
 */
export type AdminRoutes<C> = Readonly<
  Record<`${string} /v1/${string}`, Omit<RouteAbout, "tag"> & Answering<C>>
>;

/** A body of a request: its description, and the function that reads it. */
export interface RouteBody<C, B> extends DescribedBody {
  /** Reads the body of a request. Rejects with a refusal if the body is not as described. */
  readonly read: (request: Request, context: C) => Promise<B>;
}

/** A body of JSON; the schema that describes it also reads it. */
export function jsonBody<C, Z extends z.ZodType>(
  schema: Z,
  read: (request: Request, schema: Z, context: C) => Promise<z.output<Z>>,
): RouteBody<C, z.output<Z>> {
  return {
    get schema() {
      return bodyOf(schema);
    },
    read: (request, context) => read(request, schema, context),
  };
}

async function bodyIn<C, B>({ read }: RouteBody<C, B>, context: C, call: AdminCall): Promise<B> {
  // The call has the whole request; only its type hides the body from handlers.
  const given = await read(call.request as Request, context);
  // A client may send it slowly.
  call.requireStill?.();
  return given;
}

/** The body and the handler of a method with a body; the body is read after every other check. */
export function withBody<C, B, Call extends AdminCall = AdminCall>(
  body: RouteBody<C, B>,
  handle: (context: C, call: Call, body: B) => Response | Promise<Response>,
): { readonly body: DescribedBody; handle(context: C, call: Call): Promise<Response> } {
  return {
    body,
    async handle(context, call) {
      return await handle(context, call, await bodyIn(body, context, call));
    },
  };
}

/** A method whose body names the tenant. Reading it must change nothing. */
export function inBody<C, B extends { readonly tenant: string }>(
  body: RouteBody<C, B>,
  handle: (context: C, call: AdminCall, body: B) => Promise<Response>,
): Extract<Answering<C>, { readonly scope: "tenant-in-body" }> {
  return {
    body,
    scope: "tenant-in-body",
    async read(context, call) {
      const given = await bodyIn(body, context, call);
      return { tenant: given.tenant, answer: () => handle(context, call, given) };
    },
  };
}

/** One method of one route, for descriptions and tests. */
export interface ListedRoute {
  readonly template: string;
  readonly method: string;
  readonly scope: RouteScope;
  /** Names of its parameters. */
  readonly query: readonly string[];
  readonly about: RouteAbout;
  readonly body: DescribedBody | undefined;
  readonly audit: RouteAudit | undefined;
}

/** A handler, bound to the part of the process that it acts on. */
type BoundHandler =
  | {
    readonly scope: Exclude<RouteScope, "tenant-in-body">;
    readonly handle: (call: AdminCall) => Response | Promise<Response>;
  }
  | {
    readonly scope: "tenant-in-body";
    readonly read: (call: AdminCall) => Promise<NamedInBody>;
  };

/** One method of one route, ready to answer. */
export type ServedRoute =
  & Pick<ListedRoute, "template" | "method" | "query" | "audit">
  & BoundHandler
  & {
    readonly is_query_strict: boolean;
    /** Answers an error that only this part knows; undefined for any other error. */
    readonly refusalOf: (error: unknown) => Response | undefined;
    readonly log: Logger;
  };

/** The routes of one part of the admin API. */
export class AdminTable<C extends { readonly log: Logger }> {
  readonly #tag: string;
  readonly #routes: AdminRoutes<C>;
  readonly #refusalOf: ServedRoute["refusalOf"];

  /** Routes are described under `tag`. `refusalOf` answers errors that only this part knows, never an ArqonError. */
  constructor(
    tag: string,
    routes: AdminRoutes<C>,
    refusalOf: ServedRoute["refusalOf"] = () => undefined,
  ) {
    this.#tag = tag;
    this.#routes = routes;
    this.#refusalOf = refusalOf;
  }

  *list(): Iterable<ListedRoute> {
    for (const [name, { scope = "bus", body, audit, ...about }] of Object.entries(this.#routes)) {
      yield { ...nameOf(name, about), scope, about: { ...about, tag: this.#tag }, body, audit };
    }
  }

  /**
   * All routes of the table with handlers that act on `context`; without a context the part is switched off, and the
   * routes have no handlers.
   */
  *serve(context: C | undefined): Iterable<ServedRoute> {
    if (context === undefined) return;
    for (const [name, route] of Object.entries(this.#routes)) {
      yield {
        ...nameOf(name, route),
        audit: route.audit,
        is_query_strict: route.is_query_strict === true,
        refusalOf: this.#refusalOf,
        log: context.log,
        ...boundTo(context, route),
      };
    }
  }
}

/** The method and path of a route, and the parameters that it knows. */
function nameOf(name: string, { query = [] }: Pick<RouteAbout, "query">) {
  const [method = "", template = ""] = name.split(" ");
  return { method, template, query: namesOf(query) };
}

function boundTo<C>(context: C, route: Answering<C>): BoundHandler {
  if (route.scope === "tenant-in-body") {
    return { scope: route.scope, read: (call) => route.read(context, call) };
  }
  return { scope: route.scope ?? "bus", handle: (call) => route.handle(context, call) };
}
