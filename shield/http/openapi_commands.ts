/** The description of a command with its own path, made from its members. */
import { inQuery, ref } from "../openapi/openapi_parts.ts";
import type { DescribedBody } from "../openapi/openapi_parts.ts";
import type { CommandRoute } from "./http_commands.ts";
import { ackOf } from "./openapi_answers.ts";
import type { DescribedRoute } from "./route.ts";

function bodyOf({ members, either }: CommandRoute): DescribedBody {
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

/** Its members are in the body of PUT and POST, and in the query of GET and DELETE. */
export function commandAbout(route: CommandRoute): DescribedRoute["about"] {
  const { method, id, tag, summary, members, result } = route;
  const about = { id, tag, summary, answer: ackOf(ref(result)), refusals: [408, 409] };
  if (method === "PUT" || method === "POST") return { ...about, body: bodyOf(route) };
  const query = members.map(({ name, description, schema }) => inQuery(name, description, schema));
  return { ...about, query };
}
