/** Operations and refusals, as the descriptions of both HTTP APIs have them. */
import { COUNT, object, ref, TEXT } from "../openapi/openapi_parts.ts";
import type { OperationOptions, Parameter, Schema } from "../openapi/openapi_parts.ts";

/** The refusals of an API. */
export interface RefusalWords {
  readonly texts: Readonly<Record<number, string>>;
  /** Statuses that every path with a token can answer. */
  readonly usual: readonly number[];
}

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

/** The refusals of a path without a token. */
const OPEN = [403];

function refusal(status: number, { texts }: RefusalWords): Schema {
  return {
    description: texts[status],
    content: { "application/problem+json": { schema: ref("Problem") } },
  };
}

/** The operation as OpenAPI writes it. */
export function operation(
  options: OperationOptions & {
    readonly parameters: readonly Parameter[];
    readonly words: RefusalWords;
  },
): Schema {
  const { id, tag, summary, parameters, body, answer, status = 200 } = options;
  const { type = "application/json", refusals = [], open, words } = options;
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
