/**
 * The description of the HTTP API of the client listener (OpenAPI 3.1), as `GET /v1/openapi.json` gives
 * it there. Commands are described by their table; the schemas of answers are `openapi_answers.ts`.
 */
import { ID, inPath, inQuery, operation, PROBLEM, ref } from "../inspect/openapi_parts.ts";
import type {
  OperationOptions,
  Parameter,
  RefusalWords,
  Schema,
} from "../inspect/openapi_parts.ts";
import { COMMAND_ROUTES } from "./commands.ts";
import type { CommandRoute } from "./commands.ts";
import { FIELD, USER } from "./members.ts";
import { ackOf, ANSWERS, BATCH, COMMAND, MESSAGE } from "./openapi_answers.ts";

/** Where it is found; it needs no token. */
export const OPENAPI_PATH = "/v1/openapi.json";

const TAGS: Readonly<Record<string, string>> = {
  messages: "publish, and read what was kept",
  state: "keys and values of a room",
  locks: "leases with a fence",
  presence: "who is in a room",
  moderation: "who may not be in it; for tokens of role service or admin",
  commands: "any command, as it is sent over a socket",
  client: "about this API and one's token",
};

const WORDS: RefusalWords = {
  texts: {
    400: "what is asked for is not as it should be: the text says where, and what is right",
    401: "no token, or one that is not good",
    403:
      "no grant or role for it, banned, refused by a policy, or the page's origin is not allowed",
    404: "there is no such path",
    405: "the path does not take this method; see Allow",
    408: "no answer in time: it may have been done; repeat it with the same command_id",
    409: "the version, the fence or the lock is another one; see Retry-After for a lock",
    413: "too large",
    415: "the body has another content type",
    429: "too many, too fast or over a limit; see Retry-After",
    500: "an error of the Shield or Brain, which has logged it",
    503: "what is needed is not available now; see Retry-After",
  },
  usual: [400, 401, 403, 413, 429, 500, 503],
};

/** What a path's parts are. */
const PARTS: Readonly<Record<string, Parameter>> = {
  room: inPath("room", "the room", ID),
  key: inPath("key", "the key, percent-encoded; 1 to 256 bytes", { ...FIELD, minLength: 1 }),
  user: inPath("user", "the user, percent-encoded; 1 to 128 bytes", USER),
};

const HISTORY_QUERY = [
  inQuery("after", "messages above this offset", { type: "integer", minimum: 0 }),
  inQuery("before", "messages below this offset", { type: "integer", minimum: 0 }),
  inQuery("limit", "how many", { type: "integer", minimum: 1, maximum: 1_000, default: 100 }),
  inQuery("reverse", "the newest first", { type: "boolean" }),
];

function partsOf(template: string): Parameter[] {
  const names = [...template.matchAll(/\{([a-z]+)\}/g)].map(([, name = ""]) => name);
  return names.flatMap((name) => PARTS[name] ?? []);
}

function bodyOf({ members, either }: CommandRoute): OperationOptions["body"] {
  const required = members.filter((member) => member.required === true).map(({ name }) => name);
  const schema = {
    type: "object",
    properties: Object.fromEntries(
      members.map(({ name, description, schema }) => [name, { description, ...schema }]),
    ),
    ...(required.length === 0 ? {} : { required }),
    ...(either === undefined ? {} : { oneOf: either.map((name) => ({ required: [name] })) }),
    additionalProperties: false,
  };
  const optional = required.length === 0 && either === undefined;
  return optional ? { schema, optional } : { schema };
}

function commandOperation(route: CommandRoute): Schema {
  const { method, template, id, tag, summary, members, result } = route;
  const in_body = method === "PUT" || method === "POST";
  const query = in_body
    ? []
    : members.map(({ name, description, schema }) => inQuery(name, description, schema));
  const body = in_body ? bodyOf(route) : undefined;
  return operation({
    ...{ id, tag, summary, words: WORDS },
    parameters: [...partsOf(template), ...query],
    ...(body === undefined ? {} : { body }),
    answer: ackOf(ref(result)),
    refusals: [408, 409],
  });
}

const ROOM_MESSAGES = "/v1/rooms/{room}/messages";

/** Everything that is no command with a path of its own, by path and method. */
const OTHERS: readonly (readonly [path: string, method: string, OperationOptions])[] = [
  [ROOM_MESSAGES, "post", {
    ...{ id: "publish", tag: "messages", summary: "Publishes one message" },
    parameters: partsOf(ROOM_MESSAGES),
    body: { schema: MESSAGE },
    answer: ackOf(undefined),
    refusals: [408, 409],
  }],
  [ROOM_MESSAGES, "get", {
    ...{ id: "history", tag: "messages", summary: "The kept messages of a durable room" },
    parameters: [...partsOf(ROOM_MESSAGES), ...HISTORY_QUERY],
    answer: ref("History"),
    refusals: [409],
  }],
  ["/v1/messages", "post", {
    ...{ id: "publishMany", tag: "messages" },
    summary: "Publishes many messages, or one to many rooms; each has its answer",
    body: { schema: BATCH },
    answer: ref("BatchAnswer"),
  }],
  ["/v1/rooms/{room}/commands", "post", {
    ...{ id: "command", tag: "commands", summary: "Runs any command, as over a socket" },
    parameters: partsOf("/v1/rooms/{room}/commands"),
    body: { schema: COMMAND },
    answer: ackOf({ type: "object" }),
    refusals: [408, 409],
  }],
  ["/v1/auth/check", "get", {
    ...{ id: "authCheck", tag: "client", summary: "Who the token is, or why it is refused" },
    answer: ref("Identity"),
  }],
  [OPENAPI_PATH, "get", {
    ...{ id: "openapi", tag: "client", summary: "This description", open: true },
    answer: { type: "object" },
  }],
];

function paths(): Record<string, Record<string, Schema>> {
  const all: Record<string, Record<string, Schema>> = {};
  for (const [path, method, options] of OTHERS) {
    all[path] = { ...all[path], [method]: operation({ ...options, words: WORDS }) };
  }
  for (const route of COMMAND_ROUTES) {
    const method = route.method.toLowerCase();
    all[route.template] = { ...all[route.template], [method]: commandOperation(route) };
  }
  return all;
}

/** The whole document. */
export const CLIENT_OPENAPI: Schema = {
  openapi: "3.1.0",
  info: {
    title: "ArqonBus client API",
    version: "1",
    description: "On the client listener of every Shield ([server], port 4000). The same tokens, " +
      "grants, policies, schemas, limits and refusals as over WebSocket. Answers are the text form " +
      "of an ACK; refusals are problem bodies (RFC 9457) whose status is the code.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/", description: "the Shield that gave this description" }],
  security: [{ token: [] }],
  tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
  paths: paths(),
  components: {
    securitySchemes: {
      token: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description: "a client's token",
      },
    },
    schemas: { Problem: PROBLEM, ...ANSWERS },
  },
};
