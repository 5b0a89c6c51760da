/**
 * The description of the client listener's HTTP API (OpenAPI 3.1), for `GET /v1/openapi.json`. It is generated from the
 * route tables, `own_routes.ts` and those of capabilities; `openapi_answers.ts` has the schemas of answers.
 */
import { ID, inPath, operation, PROBLEM } from "../openapi/openapi_parts.ts";
import type { Parameter, RefusalWords, Schema } from "../openapi/openapi_parts.ts";
import { commandAbout } from "./http_commands.ts";
import { FIELD, USER } from "./members.ts";
import { ANSWERS } from "./openapi_answers.ts";
import { LISTENER_ROUTES, OWN_ROUTES } from "./own_routes.ts";
import { templateNames } from "../../shared/path_template.ts";
import type { DescribedRoute } from "./route.ts";
import type { ClientSide } from "../capability.ts";

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

type Described = Pick<ClientSide, "described" | "commands" | "tags" | "schemas">;

function paths(sides: readonly Described[]): Record<string, Record<string, Schema>> {
  const all: Record<string, Record<string, Schema>> = {};
  const commands = sides.flatMap((side) => side.commands ?? [])
    .map((route) => ({ ...route, about: commandAbout(route) }));
  const own: readonly DescribedRoute[] = Object.values(OWN_ROUTES);
  const described = sides.flatMap((side) => side.described ?? []);
  for (const route of [...own, ...described, ...LISTENER_ROUTES, ...commands]) {
    const { method, template, about: { query = [], ...about } } = route;
    const parameters = [...partsOf(template), ...query];
    const described = operation({ ...about, parameters, words: WORDS });
    all[template] = { ...all[template], [method.toLowerCase()]: described };
  }
  return all;
}

/** The whole document. */
export const clientOpenApi = (sides: readonly Described[]): Schema => ({
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
      { Problem: PROBLEM, ...ANSWERS },
      ...sides.map(({ schemas }) => schemas),
    ),
  },
});
