/**
 * The capability that describes both HTTP APIs of a Shield (OpenAPI 3.1): that of the client listener here, from the
 * tables of routes, `own_routes.ts` and those of capabilities; that of the admin listener in `admin_api.ts`.
 */
import type { Capability, ClientSide } from "../capability.ts";
import { ID, inPath, object, parametersOf, ref, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import type { Parameter, Schema } from "../openapi/openapi_parts.ts";
import { adminOpenApi } from "./admin_api.ts";
import { templateNames } from "../../shared/path_template.ts";
import { commandAbout } from "../http/http_commands.ts";
import { FIELD, USER } from "../http/members.ts";
import { OWN_ROUTES } from "../http/own_routes.ts";
import type { DescribedRoute } from "../http/route.ts";
import { operation, PROBLEM, type RefusalWords } from "./operation.ts";

const TAGS: Readonly<Record<string, string>> = {
  messages: "publish, and read history",
  commands: "any command, as sent over a socket",
  client: "this API and the caller's token",
};

const WORDS: RefusalWords = {
  texts: {
    400: "the request is invalid: the text says where, and what is expected",
    401: "no token, or an invalid one",
    403: "no grant or role for it, a ban, a policy's refusal, or a forbidden origin of the page",
    404: "the path does not exist",
    405: "the path does not support this method; see Allow",
    406: "the request accepts no answer of this type; see Accept",
    408: "no answer in time: the request may have taken effect; repeat it with the same command_id",
    409: "the version, the fence or the lock has changed; see Retry-After for a lock",
    410: "deleted or expired",
    413: "too large",
    415: "the body has another content type",
    429: "too many, too fast or over a limit; see Retry-After",
    500: "an error of the Shield or Brain, which is in its log",
    503: "a service that it needs is unavailable; see Retry-After",
  },
  usual: [400, 401, 403, 413, 429, 500, 503],
};

/** The path of the descriptions of both listeners, which needs no token. */
const DESCRIPTION_PATH = "/v1/openapi.json";

/** The description itself. */
const DESCRIPTION_ROUTE: DescribedRoute = {
  method: "GET",
  template: DESCRIPTION_PATH,
  about: {
    id: "openapi",
    tag: "client",
    summary: "This description",
    open: true,
    answer: { type: "object" },
  },
};

/** The route that the listener answers itself (`shield/http/http.ts`). */
const AUTH_CHECK: DescribedRoute = {
  method: "GET",
  template: "/v1/auth/check",
  about: {
    id: "authCheck",
    tag: "client",
    summary: "Shows the identity of the token, or why it is refused",
    answer: ref("Identity"),
  },
};

const IDENTITY = object({ tenant_id: ID, user_id: TEXT, role: TEXT, token_expires_ms: UNIX_MS });

/** The parts of paths, by name. */
const PARTS: Readonly<Record<string, Parameter>> = {
  room: inPath("room", "the room", ID),
  connection: inPath("connection", "the connection, as its stream reports it", ID),
  key: inPath("key", "the key, percent-encoded; 1 to 256 bytes", { ...FIELD, minLength: 1 }),
  user: inPath("user", "the user, percent-encoded; 1 to 128 bytes", USER),
};

function partsOf(template: string): Parameter[] {
  return templateNames(template).flatMap((name) => PARTS[name] ?? []);
}

function paths(sides: readonly ClientSide[]): Record<string, Record<string, Schema>> {
  const all: Record<string, Record<string, Schema>> = {};
  const commands = sides.flatMap((side) => side.commands ?? [])
    .map((route) => ({ ...route, about: commandAbout(route) }));
  const own: readonly DescribedRoute[] = [...Object.values(OWN_ROUTES), AUTH_CHECK];
  const described = sides.flatMap((side) => side.described ?? []);
  for (const route of [...own, ...described, ...commands]) {
    const { method, template, about: { query = [], ...about } } = route;
    const parameters = [...partsOf(template), ...parametersOf(query)];
    const described = operation({ ...about, parameters, words: WORDS });
    all[template] = { ...all[template], [method.toLowerCase()]: described };
  }
  return all;
}

/** The whole document. */
function clientOpenApi(all: readonly { readonly client?: ClientSide }[]): Schema {
  const sides = all.flatMap(({ client }) => client ?? []);
  return {
    openapi: "3.1.0",
    info: {
      title: "ArqonBus client API",
      version: "1",
      description: "On the client listener of every Shield ([server], port 4000). Tokens, " +
        "grants, policies, schemas, limits and refusals are the same as over WebSocket. Answers are the text form " +
        "of an ACK; refusals are problem bodies (RFC 9457) whose status is the code.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "the Shield that served this description" }],
    security: [{ token: [] }],
    tags: Object.entries(Object.assign({}, TAGS, ...sides.map(({ tags }) => tags))).map((
      [name, description],
    ) => ({ name, description })),
    paths: paths(sides),
    components: {
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "a client's token",
        },
      },
      schemas: Object.assign(
        { Problem: PROBLEM, Identity: IDENTITY },
        ...sides.map(({ schemas }) => schemas),
      ),
    },
  };
}

/** Answers with a document that is made at the first request: at the start it would take 50 ms of a core. */
function describedBy(document: () => Schema): () => Response {
  let text: string | undefined;
  const headers = { "content-type": "application/json" };
  return () => new Response(text ??= JSON.stringify(document()), { headers });
}

/** The capability, for a Shield's list. */
export const DESCRIPTION: Capability = {
  name: "description",
  title: "OpenAPI descriptions of both HTTP APIs",
  client: { described: [DESCRIPTION_ROUTE] },
  documents: (all) => ({
    admin: { [DESCRIPTION_PATH]: describedBy(() => adminOpenApi(all)) },
    client: { [DESCRIPTION_PATH]: describedBy(() => clientOpenApi(all)) },
  }),
};
