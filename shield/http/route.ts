/**
 * The HTTP API of the client listener as a table: the methods of each path, with their handlers. `shield/http/http.ts`
 * handles tokens, Origin and refusals; the other files in this folder have the routes.
 */
import { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { Caller, Client } from "../message/caller.ts";
import type { OperationOptions, RouteAbout } from "../openapi/openapi_parts.ts";
import { templateNames, templateShape } from "../../shared/path_template.ts";
import { policyHeaders } from "../auth/request_headers.ts";
import type { ScannedEnvelope } from "@arqon/proto";
import { parseTraceparent, TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { clientTraceId } from "../../shared/telemetry/trace_parent.ts";

/** One request of an authenticated client. */
export interface ClientCall {
  readonly request: Request;
  readonly client: Client;
  readonly url: URL;
  /** The path's parameters by name, decoded and otherwise unchecked. */
  readonly names: Readonly<Record<string, string>>;
  /** Reads the body as `readBody` does. Rejects with 401 if the token has ended while it came, maybe slowly. */
  readonly body: (bytes_max: number) => Promise<Uint8Array>;
  /**
   * A signal for handlers that wait, to be requested once the body is read: it aborts when the client disconnects,
   * which frees the client's slot.
   */
  readonly gone: () => AbortSignal;
  /** Throws if the caller has lost its right while the request waited; a GET is checked before it is answered. */
  readonly requireStill: () => void;
}

/** Answers one method of one path. Rejects with a refusal. */
export type ClientHandler = (call: ClientCall) => Promise<Response>;

/** The description of a route, without its path parameters, which are described in one place. */
type ClientAbout = OperationOptions & Pick<RouteAbout, "query">;

/** One method of one path, with its description. */
export interface DescribedRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** The path's template, for example `/v1/rooms/{room}/state/{key}`. */
  readonly template: string;
  readonly about: ClientAbout;
  /**
   * The requests belong to an open connection: they are answered as its frames over WebSocket are, also during a drain,
   * when a moving connection still needs them, and while bans are unknown.
   */
  readonly of_connection?: true;
}

/** One method of one path, with its handler. Every route has a description. */
export interface ClientRoute extends DescribedRoute {
  readonly answer: ClientHandler;
  /** The identity by a proof in the URL in place of a token, which a HEAD does not use up; undefined: it has none. */
  readonly identify?: (url: URL, method: string) => Promise<Identity> | undefined;
  /** The answer to a refused request, if it is not the refusal's status. */
  readonly refused?: (request: Request, refusal: ArqonError) => Response | undefined;
}

/** The table's entry for one path. */
export interface FoundPath {
  /** The methods of the path, at least one. */
  readonly methods: ReadonlyMap<string, ClientHandler>;
  /** As `DescribedRoute.of_connection`. */
  readonly of_connection: boolean;
  /** As `ClientRoute.identify`; absent: the path accepts only tokens. */
  readonly identify?: ClientRoute["identify"];
  /** As `ClientRoute.refused`. */
  readonly refused?: ClientRoute["refused"];
  /** The path's parameters. Throws `invalid-room` or `invalid-field` for a malformed % escape. */
  readonly names: () => Readonly<Record<string, string>>;
}

interface CompiledPath extends Pick<FoundPath, "of_connection" | "identify" | "refused"> {
  readonly shape: RegExp;
  readonly names: readonly string[];
  readonly methods: Map<string, ClientHandler>;
}

/** The routes, by path. */
export class ClientTable {
  readonly #paths = new Map<string, CompiledPath>();

  constructor(routes: Iterable<ClientRoute>) {
    for (const route of routes) {
      const { method, template, answer, identify, refused, of_connection = false } = route;
      const path = this.#paths.get(template) ?? {
        shape: templateShape(template, "[^/]*"),
        names: templateNames(template),
        of_connection,
        ...(identify && { identify }),
        ...(refused && { refused }),
        methods: new Map(),
      };
      this.#paths.set(template, path);
      path.methods.set(method, answer);
    }
  }

  *list(): Iterable<string> {
    for (const [template, { methods }] of this.#paths) {
      for (const method of methods.keys()) yield `${method} ${template}`;
    }
  }

  find(pathname: string): FoundPath | undefined {
    for (const path of this.#paths.values()) {
      const match = path.shape.exec(pathname);
      if (match === null) continue;
      const part = (name: string, at: number) => [name, decodedPart(name, match[at + 1] ?? "")];
      return { ...path, names: () => Object.fromEntries(path.names.map(part)) };
    }
    return undefined;
  }
}

/** A part of a path. Throws `invalid-room` or `invalid-field` for a malformed % escape. */
export function decodedPart(name: string, encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    const reason = name === "room" ? "invalid-room" : "invalid-field";
    throw new ArqonError(reason, "the path has a malformed % escape");
  }
}

/** The caller for policies: all requests of one user look like requests of one connection. */
export function httpCaller(client: Client, headers: Headers): Caller {
  const connection_id = `http:${client.identity.user_key}`;
  const trace = parseTraceparent(headers.get(TRACEPARENT) ?? "");
  return { ...client, connection_id, request_headers: policyHeaders(headers), trace };
}

/** Gives the message the trace of its caller's request, unless it has its own. */
export function inRequestTrace(
  { traces }: Pick<MessagePath, "traces">,
  envelope: ScannedEnvelope,
  { trace }: Pick<Caller, "trace">,
): ScannedEnvelope {
  if (trace === undefined || envelope.trace_id !== "") return envelope;
  if (clientTraceId(envelope) !== undefined) return envelope;
  const placed = { ...envelope, trace_id: trace.trace_id };
  traces?.place(placed, trace);
  return placed;
}
