/**
 * What backends ask of the Pusher endpoint: publish, and who is in a presence channel. Each request is signed with
 * the app's secret. It then takes the way of a message or command over HTTP. Source:
 * https://pusher.com/docs/channels/library_auth_reference/rest-api/
 */
import { ArqonError, decodeClientText } from "@arqon/proto";
import { z } from "zod";
import { showsToken } from "../../shared/http1/shown_token.ts";
import { isPusherClient } from "../auth/identity.ts";
import { runCommand } from "../http/command_call.ts";
import type { HttpPublishContext } from "../http/http_publish.ts";
import { readBody } from "../http/http_body.ts";
import type { PendingRequests } from "../http/pending.ts";
import { httpCaller } from "../http/route.ts";
import type { Caller } from "../message/caller.ts";
import { publish } from "../message/pipeline.ts";
import { takeIngress } from "../rates/ingress.ts";
import { type App, appOf, type Apps, backendIdentity } from "./apps.ts";
import { channelProblem, kindOf, roomOf, userChannel } from "./channel.ts";
import { EXCEPT_HEADER, OWN_EVENT, TERMINATE } from "./messages.ts";
import { PresenceRoll } from "./presence_roll.ts";
import { requestProblem } from "./signature.ts";

/** Channels of one event, and events of a batch, at most: those of Pusher. */
const CHANNELS_MAX = 100;
const BATCH_MAX = 10;
/** Members of a page. */
const PAGE = 1_000;

/** What the API needs of the process. */
export interface PusherApiContext extends HttpPublishContext {
  readonly apps: Apps;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  /** Throws when too many requests of the app are under way. */
  readonly pending: Pick<PendingRequests, "enter">;
  readonly request_skew_seconds: number;
  readonly presence_members: number;
  /** Unix ms. */
  readonly now: () => number;
}

const socket_id = z.string().regex(/^\d+\.\d+$/, { error: 'expected a socket id, "1234.5678"' });
const name = z.string().min(1).max(200).refine((text) => !OWN_EVENT.test(text), {
  error: 'expected an event that does not begin with "pusher:" or "pusher_internal:"',
});
const Event = z.object({
  name,
  data: z.string({ error: "expected text; JSON is sent as its text" }),
  channel: z.string().optional(),
  channels: z.array(z.string()).max(CHANNELS_MAX).optional(),
  socket_id: socket_id.nullish(),
  info: z.string().optional(),
}).refine(({ channel, channels }) => (channel === undefined) !== (channels === undefined), {
  error: "expected either channel or channels",
});
type Event = z.output<typeof Event>;
const Batch = z.object({ batch: z.array(Event).max(BATCH_MAX) });

const PATH =
  /^\/apps\/([^/]+)\/(events|batch_events|channels|users)(?:\/([^/]+)(\/users|\/terminate_connections)?)?$/;
const JSON_HEADERS = { "content-type": "application/json" };
const answer = (body: object) => new Response(JSON.stringify(body), { headers: JSON_HEADERS });

/** Answers a request below `/apps`. Rejects with a refusal. */
export async function answerBackend(
  context: PusherApiContext,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  const [, id, part, channel, tail] = PATH.exec(url.pathname) ?? [];
  if (id === undefined) throw new ArqonError("not-found", url.pathname);
  const app = appOf(context.apps, decoded(id));
  const { max_frame_bytes } = context.limits;
  const body = request.method === "POST"
    ? await readBody(request, max_frame_bytes)
    : new Uint8Array(0);
  const { pathname: path, searchParams: query } = url;
  const signed = { method: request.method, path, query, body };
  const problem = requestProblem(app, signed, context.now(), context.request_skew_seconds);
  if (problem !== undefined) throw new ArqonError("token-signature", problem);
  showsToken(request);
  context.requireOpen();
  const identity = backendIdentity(app);
  using _under_way = context.pending.enter(identity);
  const caller = httpCaller({ identity, remote_ip }, request.headers);
  const size_bytes = request.url.length + body.length;
  takeIngress(context, caller.identity, "pusher_request", size_bytes);
  const right = part === "channels" ? "GET" : "POST";
  if (request.method !== right) throw new ArqonError("method-not-allowed", request.method);
  if (part === "events" && channel === undefined) {
    const event = read(Event, body);
    await trigger(context, app, caller, [event]);
    return answer(await countsOf(context, app, caller, event));
  }
  if (part === "batch_events" && channel === undefined) {
    await trigger(context, app, caller, read(Batch, body).batch);
    return answer({});
  }
  if (part === "users" && channel !== undefined && tail === "/terminate_connections") {
    const event = { name: TERMINATE, data: "{}", channel: userChannel(decoded(channel)) };
    await trigger(context, app, caller, [event]);
    return answer({});
  }
  if (part !== "channels" || channel === undefined || tail === "/terminate_connections") {
    throw new ArqonError("not-found", "channels are not listed; ask for one: /channels/presence-…");
  }
  const roll = await rollOf(context, app, caller, decoded(channel));
  if (tail !== undefined) return answer({ users: roll.ids().map((id) => ({ id })) });
  return answer({ occupied: roll.size > 0, user_count: roll.size });
}

/** A part of a path. Throws `not-found` for one that is not well-formed. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new ArqonError("not-found", "the path has a malformed % escape");
  }
}

function read<T>(schema: z.ZodType<T>, body: Uint8Array): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new ArqonError(
      "malformed-body",
      'expected JSON, {"name":"…","channels":["…"],"data":"…"}',
    );
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join(".") ?? "";
  throw new ArqonError("invalid-field", `${place === "" ? "" : `${place}: `}${issue?.message}`);
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** The frame that publishes an event to a channel. Data that is JSON is an event's JSON on the bus, too. */
function frameOf({ name, data, socket_id }: Event, room: string): string {
  const headers = typeof socket_id === "string" ? { headers: { [EXCEPT_HEADER]: socket_id } } : {};
  const start = JSON.stringify({ op: "pub", room, type: name, ...headers }).slice(0, -1);
  if (isJson(data)) return `${start},"data":${data}}`;
  return `${start},"data":${JSON.stringify(data)},"content_type":"text/plain"}`;
}

/** Publishes. All channels are looked at before the first message goes out. */
async function trigger(
  context: PusherApiContext,
  app: App,
  caller: Caller,
  events: readonly Event[],
): Promise<void> {
  const frames = events.flatMap((event) =>
    (event.channels ?? [event.channel ?? ""]).map((channel) => {
      const problem = channelProblem(channel, app.room_prefix);
      if (problem !== undefined) throw new ArqonError("invalid-room", problem);
      return frameOf(event, roomOf(channel, app.room_prefix));
    })
  );
  const envelopes = frames.map((frame) => {
    const operation = decodeClientText(frame, context.limits);
    if (operation.kind === "publish") return operation.envelope;
    throw new ArqonError("malformed-body", "expected an event");
  });
  let is_stored = true;
  for (const envelope of envelopes) {
    const stored = await publish(context.path, { caller, origin: undefined }, envelope);
    is_stored &&= stored !== undefined;
  }
  if (!is_stored && envelopes.length > 0) await context.flushes.confirmed();
}

/** What `info` asks of the event's channels: how many users are in those with presence. */
async function countsOf(
  context: PusherApiContext,
  app: App,
  caller: Caller,
  { channel, channels = [channel ?? ""], info = "" }: Event,
): Promise<object> {
  if (!info.split(",").includes("user_count")) return {};
  const counts: Record<string, object> = {};
  for (const name of channels) {
    counts[name] = kindOf(name) !== "presence"
      ? {}
      : { user_count: (await rollOf(context, app, caller, name)).size };
  }
  return { channels: counts };
}

/** Who is in a presence channel. */
async function rollOf(
  context: PusherApiContext,
  app: App,
  caller: Caller,
  channel: string,
): Promise<PresenceRoll> {
  const problem = channelProblem(channel, app.room_prefix);
  if (problem !== undefined) throw new ArqonError("invalid-room", problem);
  if (kindOf(channel) !== "presence") {
    throw new ArqonError("invalid-room", `${channel}: only presence channels know who is there`);
  }
  const roll = new PresenceRoll(isPusherClient);
  const room = roomOf(channel, app.room_prefix);
  let after: string | undefined;
  do {
    const page = await members(context, caller, room, after);
    roll.take(page.members);
    after = page.next;
    if (roll.size > context.presence_members) {
      throw new ArqonError("invalid-room", `more than ${context.presence_members} users are there`);
    }
  } while (after !== undefined);
  return roll;
}

interface Page {
  readonly members: Parameters<PresenceRoll["take"]>[0];
  readonly next?: string;
}

async function members(
  context: PusherApiContext,
  caller: Caller,
  room: string,
  after: string | undefined,
): Promise<Page> {
  const data = { limit: PAGE, ...(after === undefined ? {} : { after }) };
  const frame = JSON.stringify({ op: "cmd", room, name: "presence.list", data });
  const operation = decodeClientText(frame, context.limits);
  if (operation.kind !== "publish") throw new ArqonError("internal");
  const ack = await runCommand(context, caller, operation.envelope);
  if (ack.code === 0) return JSON.parse(new TextDecoder().decode(ack.result));
  throw new ArqonError("presence-unavailable", ack.message);
}
