/**
 * The methods of Centrifugo's server API. They use messages and commands as the HTTP API does, and the operators'
 * queries about the cluster, limited to the key's tenant.
 */
import { ArqonError, encodeUtf8, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { z } from "zod";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import { connections, type ListContext, rooms, tenants } from "../admin/inspect/lists.ts";
import { runCommand } from "../message/command.ts";
import type { HttpPublishContext } from "../http/http_publish.ts";
import type { GivenMembers } from "../http/members.ts";
import { inRequestTrace } from "../http/route.ts";
import type { Caller } from "../message/caller.ts";
import { admit, publishAdmitted } from "../message/pipeline.ts";
import { NONE_ADDED } from "../message/stamp.ts";
import { type ReadCommand, readOf } from "./answers.ts";
import { channelOf, roomOf } from "./channel.ts";
import { clientError, ERROR, Refusal } from "./codes.ts";
import { dataOf } from "./forms.ts";
import { jsonData } from "./messages.ts";
import type { Data } from "./messages.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { Order, SendOrder } from "./orders.ts";
import { EVENT_TYPE } from "./tags.ts";
import { memberMetaOf } from "./tokens.ts";

const REASON_BYTES_MAX = 123;
/** Concurrent publishes of a broadcast. */
const AT_ONCE = 16;
/** The most rooms or connections in a query, and the most entries of a parameter. */
const LIST_MAX = 1_000;
/** The most characters of a pattern, the same as of a channel: each channel is matched against all of it. */
const PATTERN_MAX = 255;

/** The methods' dependencies in the process. */
export interface MethodContext extends HttpPublishContext {
  readonly limits: HttpPublishContext["limits"] & {
    readonly batch_bytes: number;
    readonly batch_messages: number;
    readonly history_messages: number;
  };
  readonly room_prefix: string;
  /** Throws `not-found` for a channel whose namespace has no class. */
  readonly requireKnown: (tenant_id: string, channel: string, room_id: string) => void;
  readonly version: string;
  /** The expiry for an `expire_at`, Unix ms; Infinity for 0. */
  readonly untilOf: (expire_at: number) => number;
  /** Whether the server may subscribe clients to a room. */
  readonly isServerSide: (room_id: string) => boolean;
  /** Sends orders to Shields; undefined until this process can. */
  readonly orders: () => SendOrder | undefined;
  /** Queries the whole cluster; undefined if this process cannot. */
  readonly lists: () => ListContext | undefined;
}

/** A call of a method. */
export interface MethodCall {
  /** The JSON text of each parameter. */
  readonly params: GivenMembers;
  readonly caller: Caller;
  /** Counts a refusal and returns its reply. */
  readonly refused: (error: unknown) => Refused;
}

/** The reply to a refused command. */
export interface Refused {
  readonly error: { readonly code: number; readonly message: string };
}

/** A command that has started, so that later ones are ordered behind it. Its result may come later. */
interface Passed {
  readonly result: object | Promise<object>;
}

type Method = (context: MethodContext, call: MethodCall) => Promise<Passed>;

type Run<Z extends z.ZodType, R> = (
  context: MethodContext,
  call: MethodCall,
  given: z.output<Z>,
) => Promise<R>;

/** A method with parameters of this schema. It ignores unknown parameters. */
function method<Z extends z.ZodObject>(schema: Z, run: Run<Z, object>): Method {
  return passing(schema, async (...args) => ({ result: await run(...args) }));
}

/** Like `method`, for a result that may come later. */
function passing<Z extends z.ZodObject>(schema: Z, run: Run<Z, Passed>): Method {
  return (context, call) => {
    const parsed = schema.safeParse(namedOf(schema, call.params));
    if (parsed.success) return run(context, call, parsed.data);
    const [issue] = parsed.error.issues;
    throw new ArqonError("invalid-field", `${issue?.path.join(".")}: ${issue?.message}`);
  };
}

/** Parses a schema's parameters; libraries of typed languages write null for an absent one. Data stays unparsed. */
function namedOf({ shape }: z.ZodObject, params: GivenMembers): object {
  const known = [...params].filter(([name, text]) => Object.hasOwn(shape, name) && text !== "null");
  return Object.fromEntries(known.map(([name, text]) => {
    const value: unknown = JSON.parse(text);
    const many = typeof value === "object" && value !== null ? Object.keys(value).length : 0;
    // Each wrong entry would produce an error of its own.
    if (many > LIST_MAX) throw new ArqonError("too-large", `more than ${LIST_MAX} ${name}`);
    return [name, value];
  }));
}

const unavailable = (what: string) => new Refusal(ERROR.not_available, `${what} is not available`);

const Channel = z.object({ channel: z.string() });
// Each half of a surrogate pair would become the same character.
const Text = z.string().refine((text) => text.isWellFormed(), { error: "expected Unicode" });
// `z.record` leaves out a tag named `__proto__`.
const Tags = z.preprocess(
  (tags) => typeof tags === "object" && tags !== null ? new Map(Object.entries(tags)) : tags,
  z.map(Text, Text, { error: "expected an object of texts" }),
).transform((tags): Record<string, string> => Object.fromEntries(tags));
const Publishing = z.object({
  b64data: z.base64().default(""),
  skip_history: z.boolean().default(false),
  tags: Tags.default({}),
  idempotency_key: Text.optional(),
  version: z.int().default(0),
});
const Broadcast = Publishing.extend({ channels: z.array(z.string()) });

/** `b64data`, or the unchanged text of `data`; undefined if it is absent. */
function dataIn(params: GivenMembers, b64data: string): Data | undefined {
  if (b64data !== "") return dataOf(Uint8Array.fromBase64(b64data));
  const json = params.get("data");
  return json === undefined ? undefined : jsonData(json);
}

/** A publication without its room; the text of its data is unchanged. */
function messageOf(
  { limits }: MethodContext,
  { params }: MethodCall,
  { b64data, tags, idempotency_key: message_id, version }: z.output<typeof Publishing>,
): ScannedEnvelope {
  if (version !== 0) throw unavailable("version");
  const data = dataIn(params, b64data);
  if (data === undefined) throw new ArqonError("invalid-field", "expected data or b64data");
  const event = { type: EVENT_TYPE, data: data.bytes, content_type: data.content_type };
  return scanEnvelope(writeEnvelope({ headers: tags, message_id, event }), limits);
}

/** The room of a channel. Throws for an invalid or unknown channel. */
function roomIn(
  { room_prefix, requireKnown }: MethodContext,
  { caller: { identity } }: MethodCall,
  channel: string,
): string {
  const room_id = roomOf(channel, room_prefix);
  requireKnown(identity.tenant_id, channel, room_id);
  return room_id;
}

async function publishIn(
  context: MethodContext,
  call: MethodCall,
  { skip_history }: z.output<typeof Publishing>,
  message: ScannedEnvelope,
  channel: string,
): Promise<Passed> {
  const { path, flushes } = context;
  const { caller } = call;
  const room_id = roomIn(context, call, channel);
  if (skip_history && path.classes.of(caller.identity.tenant_id, room_id).durable) {
    throw unavailable("skip_history in a durable room");
  }
  const envelope = inRequestTrace(path, { ...message, room_id }, caller);
  const added = await admit(path, caller, envelope) ?? NONE_ADDED;
  const stored = publishAdmitted(path, caller, undefined, envelope, added, path.now());
  const result = stored === undefined
    ? flushes.confirmed().then(() => ({}))
    : stored.then(({ offset, stream }) => ({ offset, epoch: roomEpoch(stream, room_id) }));
  return { result };
}

async function broadcast(
  context: MethodContext,
  call: MethodCall,
  given: z.output<typeof Broadcast>,
): Promise<Passed> {
  const { limits: { batch_messages }, rates } = context;
  if (given.channels.length > batch_messages) {
    throw new ArqonError("too-large", `more than ${batch_messages} channels`);
  }
  const message = messageOf(context, call, given);
  const { identity } = call.caller;
  const passOn = async (channel: string, index: number) => {
    try {
      if (index > 0) rates.take(identity, message.size_bytes);
      return answerOf(await publishIn(context, call, given, message, channel), call);
    } catch (error) {
      return { answer: call.refused(error) };
    }
  };
  const passed: Awaited<ReturnType<typeof passOn>>[] = [];
  for (let from = 0; from < given.channels.length; from += AT_ONCE) {
    await slice(identity.tenant_id);
    const channels = given.channels.slice(from, from + AT_ONCE);
    passed.push(...await Promise.all(channels.map((channel, at) => passOn(channel, from + at))));
  }
  const responses = Promise.all(passed.map(({ answer }) => answer));
  return { result: responses.then((all) => ({ responses: all })) };
}

/** The reply to a started command; `answer` never rejects. */
export function answerOf({ result }: Passed, { refused }: MethodCall) {
  return { answer: Promise.resolve(result).then((result) => ({ result }), refused) };
}

/** Runs a command in a channel's room and returns its ACK. Rejects with its refusal. */
async function command(
  context: MethodContext,
  call: MethodCall,
  channel: string,
  name: string,
  { bytes: data, content_type }: Data,
): Promise<Ack> {
  const command = { name, data, content_type };
  const bytes = writeEnvelope({ room_id: roomIn(context, call, channel), command });
  const envelope = inRequestTrace(context.path, scanEnvelope(bytes, context.limits), call.caller);
  const ack = await runCommand(context, call.caller, envelope);
  if (ack.code !== 0) {
    const { code, message } = clientError(ack);
    throw new Refusal(code, message);
  }
  return ack;
}

/** Runs a read of a channel and returns its result. Rejects with its refusal. */
async function read(
  context: MethodContext,
  call: MethodCall,
  wanted: ReadCommand,
): Promise<object> {
  const { channel = "", name, data, answered } = readOf(wanted, context.limits.history_messages)!;
  const ack = await command(context, call, channel, name, data);
  await slice(call.caller.identity.tenant_id);
  const { error, ...result } = answered(ack);
  if (error !== undefined) throw new Refusal(error.code ?? 0, error.message ?? "");
  const [read = {}] = Object.values(result);
  return read;
}

const Since = z.object({ offset: z.int().min(0).default(0), epoch: z.string().default("") })
  .optional();
const History = Channel.extend({
  limit: z.int().default(0),
  since: Since,
  reverse: z.boolean().default(false),
});

const User = z.object({
  user: z.string(),
  client: z.string().default(""),
  session: z.string().default(""),
});
const Leaving = User.extend(Channel.shape);
const Disconnected = User.extend({
  whitelist: z.array(z.string()).default([]),
  disconnect: z.object({
    code: z.int().refine((code) => code === 0 || code >= 3_000 && code < 5_000, {
      error: "expected 3000 to 4999",
    }).default(0),
    reason: z.string().refine((text) => encodeUtf8(text).length <= REASON_BYTES_MAX, {
      error: `expected at most ${REASON_BYTES_MAX} bytes`,
    }).default(""),
  }).default({ code: 0, reason: "" }),
});
const Subscribing = Leaving.extend({
  info: z.unknown().optional(),
  b64info: z.unknown().optional(),
  b64data: z.base64().default(""),
  expire_at: z.int().default(0),
  recover_since: Since,
  override: z.unknown().optional(),
});

/** The cluster's answer about the key's tenant. Rejects if `then` does, and without the answer of a Shield. */
async function ask(
  { lists }: MethodContext,
  { caller: { identity: { tenant_id: only_tenant } } }: MethodCall,
  list: typeof rooms,
  query: Record<string, string>,
  then?: (nodes: readonly string[]) => Promise<void>,
) {
  const context = lists();
  if (context === undefined) throw unavailable("the cluster");
  const url = new URL(`http://bus/?${new URLSearchParams({ limit: `${LIST_MAX}`, ...query })}`);
  const found = await list(context, { url, only_tenant });
  const { answered, silent } = found.nodes as Record<"answered" | "silent", string[]>;
  await then?.(answered);
  if (silent.length > 0) throw new ArqonError("process-unavailable", silent.join().slice(0, 500));
  return found;
}

/** Sends an order to every Shield, which finds the user's connections: there may be more than a list shows. */
async function order(
  context: MethodContext,
  call: MethodCall,
  given: z.output<typeof User> & Partial<Omit<Order, "tenant_id" | "user_id" | "client">>,
): Promise<object> {
  if (given.session !== "") throw unavailable("session");
  const { user: user_id, client, whitelist = [], disconnect, subscribe, unsubscribe } = given;
  const { tenant_id } = call.caller.identity;
  const about = { tenant_id, user_id, client, whitelist, disconnect, subscribe, unsubscribe };
  const send = async (nodes: readonly string[]) => void await context.orders()?.(nodes, about);
  await ask(context, call, connections, { user: user_id, limit: "1" }, send);
  return {};
}

/** Subscribes a user's clients to a channel, if its room is in `[centrifugo] server_side`. */
function subscribe(
  context: MethodContext,
  call: MethodCall,
  given: z.output<typeof Subscribing>,
): Promise<object> {
  const { channel, b64data, expire_at, recover_since, override, info, b64info } = given;
  if (override !== undefined) throw unavailable("override");
  if (!context.isServerSide(roomIn(context, call, channel))) {
    const message = `${channel} is of no room of [centrifugo] server_side`;
    throw new Refusal(ERROR.permission_denied, message);
  }
  const until_ms = context.untilOf(expire_at);
  if (until_ms <= context.path.now()) {
    throw new ArqonError("invalid-field", "expire_at is over");
  }
  const data = dataIn(call.params, b64data);
  const resumed = recover_since === undefined ? {} : { ...recover_since, recover: true };
  const server = { channel, info: memberMetaOf({ info, b64info }), data };
  return order(context, call, {
    ...given,
    subscribe: { ...server, until_ms: until_ms === Infinity ? 0 : until_ms, resumed },
  });
}

/** The channels with subscribers. In a pattern `*` matches any text. */
async function listChannels(
  context: MethodContext,
  call: MethodCall,
  { pattern }: { readonly pattern: string },
): Promise<object> {
  if (/[?[\]{}\\!]/.test(pattern)) throw unavailable("a pattern with more than *");
  const { room_prefix: prefix } = context;
  const query = prefix === "" ? {} : { prefix };
  const found = await ask(context, call, rooms, { ...query, sort: "subscribers" });
  const channels = (found.rooms as { room_id: string; subscribers: number }[]).flatMap(
    ({ room_id, subscribers: num_clients }) => {
      const channel = channelOf(room_id, prefix);
      const is_wanted = channel !== undefined && (pattern === "" || isLike(channel, pattern));
      return is_wanted ? [[channel, { num_clients }] as const] : [];
    },
  );
  return { channels: Object.fromEntries(channels) };
}

/** Whether a text matches a pattern, in which `*` is any text. */
function isLike(text: string, pattern: string): boolean {
  const [start = "", ...parts] = pattern.split("*");
  const end = parts.pop();
  if (end === undefined) return text === start;
  if (!text.startsWith(start) || !text.endsWith(end)) return false;
  let at = start.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - end.length;
}

async function info(context: MethodContext, call: MethodCall): Promise<object> {
  const found = await ask(context, call, tenants, {});
  const [own] = found.tenants as { connections: number; users: number; rooms: number }[];
  const { connections: num_clients = 0, users: num_users = 0, rooms: num_channels = 0 } = own ?? {};
  const node = { uid: "arqonbus", name: "ArqonBus", version: context.version };
  return { nodes: [{ ...node, num_clients, num_users, num_channels }] };
}

/** Methods that libraries offer and the bus does not support. */
const MISSING = ["refresh", "history_remove", "rpc", "connections"] as const;

/** Methods that publish: a batch starts them in order and awaits their confirmations together. */
export const PASSING: readonly string[] = ["publish", "broadcast"];

/** Every method except `batch`, by name. */
export const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ...MISSING.map((name): [string, Method] => [name, () => Promise.reject(unavailable(name))]),
  [
    "publish",
    passing(
      Publishing.extend(Channel.shape),
      (context, call, given) =>
        publishIn(context, call, given, messageOf(context, call, given), given.channel),
    ),
  ],
  ["broadcast", passing(Broadcast, broadcast)],
  ...Object.entries({ presence: Channel, presence_stats: Channel, history: History }).map(
    ([name, schema]): [string, Method] => [
      name,
      method(schema, (context, call, params) => read(context, call, { [name]: params })),
    ],
  ),
  [
    "unsubscribe",
    method(Leaving, async (context, call, given) => {
      const { user: user_id, client: connection_id, channel } = given;
      // A kick does not end a pending subscription.
      const ordering = order(context, call, { ...given, unsubscribe: channel });
      const [ordered] = await Promise.allSettled([ordering]);
      const whom = connection_id === "" ? { user_id } : { connection_id };
      await command(context, call, channel, "room.kick", jsonData(JSON.stringify(whom)));
      if (ordered.status === "rejected") throw ordered.reason;
      return {};
    }),
  ],
  ["disconnect", method(Disconnected, order)],
  ["subscribe", method(Subscribing, subscribe)],
  [
    "channels",
    method(z.object({ pattern: z.string().max(PATTERN_MAX).default("") }), listChannels),
  ],
  ["info", method(z.object({}), info)],
]);
