/**
 * The table of commands of rooms with their own path over HTTP, and their description. `command_call.ts` turns a
 * request into the command.
 */
import type { ClientRoute, DescribedRoute } from "./route.ts";
import { DATA, HOLDER, READ, WRITE } from "./members.ts";
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

const ROOM = "/v1/rooms/{room}";
const needed = (member: CommandMember): CommandMember => ({ ...member, required: true });

const STATE: readonly CommandRoute[] = [
  {
    ...{ method: "GET", template: `${ROOM}/state`, id: "getState", tag: "state" },
    summary: "Reads the whole state of a room, and its lock",
    command: "room.get",
    members: [DATA.events_after, ...READ],
    result: "State",
  },
  {
    ...{ method: "GET", template: `${ROOM}/state/{key}`, id: "getKey", tag: "state" },
    summary: "Reads one key of a room's state",
    command: "room.get",
    path: { key: "key" },
    members: [DATA.events_after, ...READ],
    result: "Value",
  },
  {
    ...{ method: "PUT", template: `${ROOM}/state/{key}`, id: "setKey", tag: "state" },
    summary: "Sets one key of a room's state",
    command: "room.set",
    path: { key: "key" },
    members: [DATA.value, HOLDER, ...WRITE],
    result: "Written",
  },
  {
    ...{ method: "DELETE", template: `${ROOM}/state/{key}`, id: "deleteKey", tag: "state" },
    summary: "Deletes one key of a room's state",
    command: "room.delete",
    path: { key: "key" },
    members: [HOLDER, ...WRITE],
    result: "Written",
  },
];

const LOCKS: readonly CommandRoute[] = [
  {
    ...{ method: "POST", template: `${ROOM}/lock`, id: "lock", tag: "locks" },
    summary: "Acquires a room's lock, or extends the lease of the caller's lock",
    command: "room.lock",
    members: [DATA.lease_ms, HOLDER, ...WRITE],
    result: "Locked",
  },
  {
    ...{ method: "DELETE", template: `${ROOM}/lock`, id: "unlock", tag: "locks" },
    summary: "Releases the caller's lock",
    command: "room.unlock",
    members: [HOLDER, ...WRITE],
    result: "Written",
  },
];

const MODERATION: readonly CommandRoute[] = [
  {
    ...{ method: "POST", template: `${ROOM}/kick`, id: "kick", tag: "moderation" },
    summary: "Ends the subscriptions of a user, or of one connection, to a room",
    command: "room.kick",
    members: [DATA.user_id, DATA.connection_id, DATA.reason, ...WRITE],
    either: ["user_id", "connection_id"],
    result: "Written",
  },
  {
    ...{ method: "GET", template: `${ROOM}/bans`, id: "listRoomBans", tag: "moderation" },
    summary: "Lists bans from a room, including those from the whole tenant",
    command: "room.bans",
    members: [DATA.scope, DATA.limit, DATA.after],
    result: "Bans",
  },
  {
    ...{ method: "POST", template: `${ROOM}/bans`, id: "banFromRoom", tag: "moderation" },
    summary: "Bans a user from a room",
    command: "room.ban",
    fixed: { scope: "room" },
    members: [needed(DATA.user_id), DATA.ban_ms, DATA.reason, ...WRITE],
    result: "Written",
  },
  {
    ...{ method: "DELETE", template: `${ROOM}/bans/{user}`, id: "unbanFromRoom" },
    tag: "moderation",
    summary: "Lifts a ban from a room",
    command: "room.unban",
    path: { user: "user_id" },
    fixed: { scope: "room" },
    members: WRITE,
    result: "Written",
  },
  {
    ...{ method: "GET", template: "/v1/bans", id: "listBans", tag: "moderation" },
    summary: "Lists bans from the whole tenant",
    command: "room.bans",
    fixed: { scope: "tenant" },
    members: [DATA.limit, DATA.after],
    result: "Bans",
  },
  {
    ...{ method: "POST", template: "/v1/bans", id: "ban", tag: "moderation" },
    summary: "Bans a user from the whole tenant",
    command: "room.ban",
    fixed: { scope: "tenant" },
    members: [needed(DATA.user_id), DATA.ban_ms, DATA.reason, ...WRITE],
    result: "Written",
  },
  {
    ...{ method: "DELETE", template: "/v1/bans/{user}", id: "unban", tag: "moderation" },
    summary: "Lifts a ban from the tenant",
    command: "room.unban",
    path: { user: "user_id" },
    fixed: { scope: "tenant" },
    members: WRITE,
    result: "Written",
  },
];

/** The kernel's commands with their own path. */
export const COMMAND_ROUTES: readonly CommandRoute[] = [...STATE, ...LOCKS, ...MODERATION];

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
