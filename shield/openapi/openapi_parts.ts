/** What routes declare for the OpenAPI 3.1 descriptions of the HTTP APIs: parameters, bodies and answers. */
import { z } from "zod";

/** A JSON Schema (2020-12), as in OpenAPI 3.1. */
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
  /** The operation's name in generated clients. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly body?: { readonly type?: string; readonly schema: Schema; readonly optional?: true };
  readonly answer: Schema | undefined;
  /** 200 by default. */
  readonly status?: number;
  /** JSON by default. */
  readonly type?: string;
  /** Statuses of refusals, in addition to the usual ones. */
  readonly refusals?: readonly number[];
  /** The operation needs no token. */
  readonly open?: true;
}

/** The documentation of a route of the admin API; its path, scope and body complete the description. */
export interface RouteAbout
  extends
    Pick<OperationOptions, "id" | "tag" | "summary" | "answer" | "status" | "type" | "refusals"> {
  readonly query?: Query;
}

/** The parameters of a query, or the schemas that read them; others are refused. */
export type Query = readonly Parameter[] | z.ZodRawShape;

/** The documented body of a route. */
export type DescribedBody = NonNullable<OperationOptions["body"]>;

/** 1 to 64 of `[A-Za-z0-9_~:=-]`: tenants, rooms, connections, nodes. */
export const ID: Schema = { type: "string", pattern: "^[A-Za-z0-9_~:=-]{1,64}$" };
/** Milliseconds since 1970. */
export const UNIX_MS: Schema = { type: "number", description: "Unix time in milliseconds" };
/** The schema of a count. */
export const COUNT: Schema = { type: "number", minimum: 0 };
/** The schema of a boolean. */
export const BOOLEAN: Schema = { type: "boolean" };
/** The schema of an integer within these bounds. */
export const integer = (minimum: number, maximum?: number, by_default?: number): Schema => ({
  type: "integer",
  minimum,
  ...(maximum === undefined ? {} : { maximum }),
  ...(by_default === undefined ? {} : { default: by_default }),
});
/** The schema of any text. */
export const TEXT: Schema = { type: "string" };

/** The schema of a list of such items. */
export const list = (items: Schema): Schema => ({ type: "array", items });
/** An object with these members, all of which are required unless they are in `optional`. */
export const object = (
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema => ({
  type: "object",
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});
/** A reference to a schema in `components.schemas`. */
export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** The JSON Schema of answers that match a zod schema. */
export const answerOf = (schema: z.ZodType): Schema => jsonSchema(schema, "output");
/** The JSON Schema of request bodies that match a zod schema. */
export const bodyOf = (schema: z.ZodType): Schema => jsonSchema(schema, "input");

function jsonSchema(schema: z.ZodType, io: "input" | "output"): Schema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}

/** A path parameter. */
export const inPath = (name: string, description: string, schema: Schema = ID): Parameter => ({
  name,
  in: "path",
  required: true,
  description,
  schema,
});
/** A query parameter. */
export const inQuery = (
  name: string,
  description: string,
  schema: Schema = ID,
  required = false,
): Parameter => ({ name, in: "query", required, description, schema });

/** What a parameter means, and how it is described if its schema reads a text as something else. */
export const about = (description: string, shown?: Schema) => ({ description, shown });

const isListed = (query: Query): query is readonly Parameter[] => Array.isArray(query);
/** The names of a query's parameters. */
export const namesOf = (query: Query): readonly string[] =>
  isListed(query) ? query.map(({ name }) => name) : Object.keys(query);
/** The parameters of a query. */
export function parametersOf(query: Query): readonly Parameter[] {
  if (isListed(query)) return query;
  return Object.entries(query as Record<string, z.ZodType>).map(([name, read]) => {
    const { description, shown, default: by_default, ...rest } = bodyOf(read);
    const schema = by_default === undefined ? rest : { ...rest, default: by_default };
    const is_required = !read.safeParse(undefined).success;
    return inQuery(name, String(description), (shown ?? schema) as Schema, is_required);
  });
}

/** `?tenant=`, which is required. */
export const TENANT = inQuery("tenant", "the tenant", ID, true);
