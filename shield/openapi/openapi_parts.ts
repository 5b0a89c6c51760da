/**
 * The words that the descriptions of the HTTP APIs are written with: parameters, bodies, answers and
 * refusals of OpenAPI 3.1. What there is to describe is in the other `openapi_*.ts`.
 */
import { z } from "zod";

/** A JSON Schema (2020-12), as OpenAPI 3.1 has it. */
export type Schema = Readonly<Record<string, unknown>>;

/** One parameter of a path or query. */
export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required: boolean;
  readonly description: string;
  readonly schema: Schema;
}

/** One method of one path. */
export interface OperationOptions {
  /** Names it in generated clients. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly body?: { readonly type?: string; readonly schema: Schema; readonly optional?: true };
  readonly answer: Schema | undefined;
  /** 200 unless it says otherwise. */
  readonly status?: number;
  /** JSON unless it says otherwise. */
  readonly type?: string;
  /** Statuses of refusals beside those that every path has. */
  readonly refusals?: readonly number[];
  /** Needs no token. */
  readonly open?: true;
  /** What refusals mean, and which every path has; absent: as on the admin listener. */
  readonly words?: RefusalWords;
}

/**
 * What a route of the admin API says of itself: its description is made of this, its path, its scope
 * and its body.
 */
export interface RouteAbout
  extends
    Pick<OperationOptions, "id" | "tag" | "summary" | "answer" | "status" | "type" | "refusals"> {
  /** Parameters of the query; it takes no others. */
  readonly query?: readonly Parameter[];
}

/** The body of a route, as it is described. */
export type DescribedBody = NonNullable<OperationOptions["body"]>;

/** The refusals of an API. */
export interface RefusalWords {
  /** The text of each status. */
  readonly texts: Readonly<Record<number, string>>;
  /** Statuses of every path with a token. */
  readonly usual: readonly number[];
}

/** 1 to 64 of `[A-Za-z0-9_~:=-]`: tenants, rooms, connections, nodes. */
export const ID: Schema = { type: "string", pattern: "^[A-Za-z0-9_~:=-]{1,64}$" };
/** Milliseconds since 1970. */
export const UNIX_MS: Schema = { type: "number", description: "Unix time in milliseconds" };
/** A count of things. */
export const COUNT: Schema = { type: "number", minimum: 0 };
/** Yes or no. */
export const BOOLEAN: Schema = { type: "boolean" };
/** Any text. */
export const TEXT: Schema = { type: "string" };

/** A list. */
export const list = (items: Schema): Schema => ({ type: "array", items });
/** An object with these members, all of which are there unless they are in `optional`. */
export const object = (
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema => ({
  type: "object",
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
/** What `components.schemas` has under that name. */
export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** A zod schema of what is answered. */
export const answerOf = (schema: z.ZodType): Schema => jsonSchema(schema, "output");
/** A zod schema of what is sent. */
export const bodyOf = (schema: z.ZodType): Schema => jsonSchema(schema, "input");

function jsonSchema(schema: z.ZodType, io: "input" | "output"): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}

/** A part of the path. */
export const inPath = (name: string, description: string, schema: Schema = ID): Parameter => ({
  name,
  in: "path",
  required: true,
  description,
  schema,
});
/** A parameter of the query. */
export const inQuery = (
  name: string,
  description: string,
  schema: Schema = ID,
  required = false,
): Parameter => ({ name, in: "query", required, description, schema });

/** `?node=`. */
export const NODE = inQuery("node", "only this Shield or Brain");
/** `?limit=`. */
export const LIMIT = inQuery("limit", "how many rows", {
  type: "integer",
  minimum: 1,
  maximum: 1_000,
  default: 100,
});
/** `?sort=`, one of these, the first by default. */
export const sortBy = (...names: string[]) =>
  inQuery("sort", "what comes first: the most of it", {
    type: "string",
    enum: names,
    default: names[0],
  });
/** `?tenant=`, where it must be. */
export const TENANT = inQuery("tenant", "the tenant", ID, true);

/** A refusal's body. */
export const PROBLEM: Schema = object({
  type: TEXT,
  title: TEXT,
  status: COUNT,
  detail: TEXT,
  reason: TEXT,
  code: COUNT,
  retry_after_ms: COUNT,
}, ["retry_after_ms"]);

const REFUSALS: RefusalWords["texts"] = {
  400: "something asked for is not as it should be: the text says what is right",
  401: "no token, or one that is not good",
  403:
    "the token's role is not admin, it takes an operator, the admin is of another tenant, or a " +
    "page of another site asks",
  404: "there is no such thing",
  405: "the path does not take this method",
  408: "no answer in time; it may have been done",
  409: "it does not fit what is there",
  413: "the body is too large",
  415: "the body has another content type",
  429: "too many at once; see Retry-After",
  500: "an error of the Shield, which has logged it",
  503: "what is needed is not available; see Retry-After",
};
const ADMIN_WORDS: RefusalWords = { texts: REFUSALS, usual: [400, 401, 403, 429, 500, 503] };
const OPEN = [403];

function refusal(status: number, { texts }: RefusalWords): Schema {
  return {
    description: texts[status],
    content: { "application/problem+json": { schema: ref("Problem") } },
  };
}

/** Answers with a document, which is made when it is first asked for: that takes 50 ms of a core, of each start. */
export function describedBy(document: () => Schema): () => Response {
  let text: string | undefined;
  const headers = { "content-type": "application/json" };
  return () => new Response(text ??= JSON.stringify(document()), { headers });
}

/** The operation as OpenAPI writes it. */
export function operation(options: OperationOptions): Schema {
  const { id, tag, summary, parameters = [], body, answer, status = 200 } = options;
  const { type = "application/json", refusals = [], open, words = ADMIN_WORDS } = options;
  const statuses = [...new Set([...(open === true ? OPEN : words.usual), ...refusals])];
  if (body !== undefined) statuses.push(413, 415);
  const content = answer === undefined ? {} : { content: { [type]: { schema: answer } } };
  const { type: body_type = "application/json", schema, optional } = body ?? {};
  const request = body === undefined ? {} : {
    requestBody: { required: optional !== true, content: { [body_type]: { schema } } },
  };
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...request,
    responses: {
      [status]: { description: summary, ...content },
      ...Object.fromEntries(statuses.map((one) => [one, refusal(one, words)])),
    },
    ...(open === true ? { security: [] } : {}),
  };
}
