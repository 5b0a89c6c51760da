/**
 * A command over HTTP: the request becomes the text form of `cmd`, is decoded like a client's text frame, and takes the
 * path of all commands (`shield/message/command.ts`). `shield/rooms/` has the routes.
 */
import { type IngressContext, takeIngress } from "../rates/http_rates.ts";
import { createHash } from "node:crypto";
import { ArqonError, decodeClientText, encodeTextAck, isId } from "@arqon/proto";
import type { Ack } from "@arqon/proto";
import { problemResponse } from "../../shared/problem.ts";
import { runCommand } from "../message/command.ts";
import type { CommandAnswers } from "../message/command.ts";
import type { Limits } from "../../shared/config/schema.ts";
import { bodyText, objectWith, requireJson } from "./http_body.ts";
import type { Identity } from "../auth/identity.ts";
import { fullCommandName } from "../../shared/records/command_name.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import { commandAbout, TENANT_ROOM } from "./http_commands.ts";
import type { CommandRoute } from "./http_commands.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import { httpCaller, inRequestTrace } from "./route.ts";
import { membersOfBody, membersOfQuery, refuseBody } from "./members.ts";
import type { CommandMember, GivenMembers } from "./members.ts";
import type { ClientCall, ClientHandler, ClientRoute } from "./route.ts";

/** The path of commands over HTTP. */
export interface CommandContext extends IngressContext, CommandAnswers {
  readonly limits: Limits;
  /** Whether tokens may be in the URL. */
  readonly query_token: boolean;
  /** The commands that only read, where any command may come. */
  readonly reads?: ReadonlySet<string>;
}

const HOLDER_UNITS_MAX = 32;
const DIGEST_UNITS = 16;

/**
 * The holder of a lock that was taken over HTTP. There is no connection, so its id is made from the user and a name
 * that the caller chooses. No connection has such an id, and no other user can produce it.
 */
function holderId({ user_key }: Pick<Identity, "user_key">, name: string): string {
  if (!isId(name) || name.length > HOLDER_UNITS_MAX) {
    const right = `1 to ${HOLDER_UNITS_MAX} of [A-Za-z0-9_~:=-]`;
    throw new ArqonError("invalid-field", `holder_id: expected ${right}`);
  }
  const digest = createHash("sha256").update(user_key).digest("base64url").slice(0, DIGEST_UNITS);
  return `http:${digest}:${name}`;
}

/** The routes of these commands, and the route that takes any command. */
export function commandRoutes(
  context: CommandContext,
  commands: readonly CommandRoute[],
): ClientRoute[] {
  const reads = new Set(commands.flatMap((one) => one.method === "GET" ? [one.command] : []));
  const any: ClientHandler = (call) => answerAny({ ...context, reads }, call);
  return [
    ...commands.map((route): ClientRoute => ({
      ...route,
      about: commandAbout(route),
      answer: (call) => answerRoute(context, route, call),
    })),
    { ...OWN_ROUTES.command, answer: any },
  ];
}

async function answerRoute(
  context: CommandContext,
  route: CommandRoute,
  call: ClientCall,
): Promise<Response> {
  const { request, client, url, names } = call;
  const room = names["room"] ?? TENANT_ROOM;
  requireRoomId(room);
  const { method, members } = route;
  const others = context.query_token ? ["access_token"] : [];
  const in_body = method === "PUT" || method === "POST";
  if (!in_body) await refuseBody(request);
  const body = in_body ? await call.body(context.limits.max_frame_bytes) : new Uint8Array(0);
  takeIngress(context, client.identity, "http_command", request.url.length + body.length);
  const query = membersOfQuery(url, in_body ? [] : members, others);
  const given = in_body ? membersOfBody(request, body, members) : query;
  for (const { name, required } of members) {
    if (required === true && !given.has(name)) {
      throw new ArqonError("invalid-command", `${route.command} needs "${name}"`);
    }
  }
  const holder = holderOf(client.identity, given);
  const frame = frameOf(room, route, names, given);
  return await send(context, call, frame, holder);
}

/** Answers a request whose body is the text form of `cmd` without `op` and `room`. */
async function answerAny(context: CommandContext, call: ClientCall): Promise<Response> {
  const { request, client, url, names } = call;
  const { room = "" } = names;
  requireRoomId(room);
  requireJson(request);
  const body = await call.body(context.limits.max_frame_bytes);
  takeIngress(context, client.identity, "http_command", request.url.length + body.length);
  membersOfQuery(url, [], context.query_token ? ["access_token"] : []);
  const start = `{"op":"cmd","room":${JSON.stringify(room)}`;
  const frame = objectWith(start, bodyText(body), '{"name":"room.get","data":{"key":"topic"}}');
  return await send(context, call, frame, undefined);
}

/** The holder that the Brain receives instead of a connection, if the caller names one. */
function holderOf(identity: Identity, given: GivenMembers): string | undefined {
  const text = given.get("holder_id");
  if (text === undefined) return undefined;
  const name: unknown = JSON.parse(text);
  return holderId(identity, typeof name === "string" ? name : "");
}

/** A text frame as from a client, with each value as written. */
function frameOf(
  room: string,
  { command, path = {}, fixed = {}, members }: CommandRoute,
  names: ClientCall["names"],
  given: GivenMembers,
): string {
  const fromPath = Object.entries(path).map(([from, to]) => [to, names[from] ?? ""]);
  const settled = [...fromPath, ...Object.entries(fixed)]
    .map(([name, value]) => `"${name}":${JSON.stringify(value)}`);
  const membersIn = (where: CommandMember["of"]) =>
    members.filter(({ name, of }) => of === where && given.has(name))
      .map(({ name }) => `"${name}":${given.get(name)}`);
  const data = [...settled, ...membersIn("data")].join(",");
  const parts = [
    `"op":"cmd","room":${JSON.stringify(room)},"name":"${command}"`,
    ...(data === "" ? [] : [`"data":{${data}}`]),
    ...membersIn("command"),
  ];
  return `{${parts.join(",")}}`;
}

async function send(
  context: CommandContext,
  { request, client, gone, requireStill }: ClientCall,
  frame: string,
  holder: string | undefined,
): Promise<Response> {
  const operation = decodeClientText(frame, context.limits);
  if (operation.kind !== "publish") throw new ArqonError("malformed-body", "expected a command");
  const caller = httpCaller(client, request.headers);
  const envelope = inRequestTrace(context.path, operation.envelope, caller);
  // The command may wait for a version or a Brain, at most `command_timeout_ms`; a disconnected client frees its slot.
  gone();
  const ack = await runCommand(context, caller, envelope, holder);
  // The answer to a write says what has happened; a read is still to be given.
  if (context.reads?.has(fullCommandName(envelope.command?.name ?? ""))) requireStill();
  return ackResponse(ack);
}

/**
 * The response to an ACK: 200 with the text form of a positive one; a refusal, by the Shield or the Brain, is a problem
 * body.
 */
function ackResponse(ack: Ack): Response {
  if (ack.code !== 0) return problemResponse(ack);
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(encodeTextAck(ack), { headers });
}
