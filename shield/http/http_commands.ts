/** Commands with their own path over HTTP, and their description. `command_call.ts` makes the command of a request. */
import type { ClientRoute, DescribedRoute } from "./route.ts";
import type { CommandMember } from "./members.ts";
import { inQuery, ref } from "../openapi/openapi_parts.ts";
import type { DescribedBody } from "../openapi/openapi_parts.ts";
import { ackOf } from "./openapi_answers.ts";

/** A command with its own path over HTTP. */
export interface CommandRoute extends Pick<ClientRoute, "method" | "template"> {
  /** The name of the operation in generated clients. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly command: string;
  /** Members of the data that are parts of the path: name in the template to name in the data. */
  readonly path?: Readonly<Record<string, string>>;
  /** Members of the data whose values follow from the path. */
  readonly fixed?: Readonly<Record<string, string>>;
  /** The members that it accepts: in the query for GET and DELETE, in the body otherwise. */
  readonly members: readonly CommandMember[];
  /** Members of which exactly one is required. */
  readonly either?: readonly string[];
  /** The name of the result's schema. */
  readonly result: string;
}

/**
 * The room of bans from the whole tenant if no room is named. It is an ordinary room: such bans need a grant for it,
 * and its subscribers are notified.
 */
export const TENANT_ROOM = "~tenant";

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
