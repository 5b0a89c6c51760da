/**
 * Backends' requests at the Pusher endpoint: publish, and queries about channels (`channels.ts`). Each request is
 * signed with the app's secret. It is then handled like a message or command over HTTP. Source:
 * https://pusher.com/docs/channels/library_auth_reference/rest-api/
 */
import { ArqonError, decodeClientText } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { z } from "zod";
import { showsToken } from "../../shared/http1/handled_request.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { HttpPublishContext } from "../http/http_publish.ts";
import { readBody } from "../http/http_body.ts";
import type { PendingRequests } from "../http/pending.ts";
import { httpCaller, inRequestTrace } from "../http/route.ts";
import { publish } from "../message/pipeline.ts";
import { takeIngress } from "../rates/http_rates.ts";
import { appOf, type Apps, backendIdentity, connectionOf } from "./apps.ts";
import { userChannel } from "./channel.ts";
import { infosOf, listChannels, oneChannel, readInfo, requireRoom, rollOf } from "./channels.ts";
import type { Backend, ChannelsContext } from "./channels.ts";
import { dataMembers, OWN_EVENT, TERMINATE } from "./messages.ts";
import { requestProblem } from "./signature.ts";

/** The most channels of one event, and the most events of a batch: Pusher's limits. */
const CHANNELS_MAX = 100;
const BATCH_MAX = 10;

/** The dependencies of answers to backends, beyond those of messages over HTTP. */
export interface PusherApiContext
  extends HttpPublishContext, Pick<ChannelsContext, "lists" | "own"> {
  readonly apps: Apps;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  /** Throws when too many requests of the app are running. */
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
/** Libraries of typed languages write null for what is absent. */
const Event = z.object({
  name,
  data: z.string({ error: "expected text; JSON is sent as its text" }),
  channel: z.string().nullish(),
  channels: z.array(z.string()).max(CHANNELS_MAX).nullish(),
  socket_id: socket_id.nullish(),
  info: z.string().nullish(),
}).refine(({ channel, channels }) => typeof channel === "string" !== Array.isArray(channels), {
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
    ? await readBody(request, max_frame_bytes, app.tenant)
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
  const backend = { app, caller };
  if (part === "events" && channel === undefined) {
    return answer(await answerEvent(context, backend, read(Event, body)));
  }
  if (part === "batch_events" && channel === undefined) {
    return answer(await answerBatch(context, backend, read(Batch, body).batch));
  }
  if (part === "users" && channel !== undefined && tail === "/terminate_connections") {
    const event = { name: TERMINATE, data: "{}", channel: userChannel(decoded(channel)) };
    await trigger(context, backend, [event]);
    return answer({});
  }
  if (part !== "channels" || tail === "/terminate_connections") {
    throw new ArqonError("not-found", url.pathname);
  }
  if (channel === undefined) return answer(await listChannels(context, backend, query));
  if (tail === undefined) {
    return answer(await oneChannel(context, backend, decoded(channel), query));
  }
  const roll = await rollOf(context, backend, decoded(channel));
  return answer({ users: roll.ids().map((id) => ({ id })) });
}

const channelsOf = ({ channel, channels }: Event) => channels ?? [channel ?? ""];

/**
 * Publishes an event, and answers with the attributes in its `info`. They are read first: a backend repeats a request
 * that failed, and would publish the event again.
 */
async function answerEvent(
  context: PusherApiContext,
  backend: Backend,
  event: Event,
): Promise<object> {
  const info = readInfo(event.info);
  const channels = channelsOf(event);
  const infos = await infosOf(context, backend, channels, info);
  await trigger(context, backend, [event]);
  if (info.size === 0) return {};
  return { channels: Object.fromEntries(channels.map((name, at) => [name, infos[at]])) };
}

/** Publishes several events, and answers each one in its place; their attributes are read first, too. */
async function answerBatch(
  context: PusherApiContext,
  backend: Backend,
  events: readonly Event[],
): Promise<object> {
  const wanted = events.map(({ info }) => readInfo(info));
  const batch: object[] = [];
  for (const [at, event] of events.entries()) {
    batch.push(...await infosOf(context, backend, channelsOf(event).slice(0, 1), wanted[at]!));
  }
  await trigger(context, backend, events);
  return wanted.every(({ size }) => size === 0) ? {} : { batch };
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

function frameOf({ name, data }: Event, room: string): string {
  return `${JSON.stringify({ op: "pub", room, type: name }).slice(0, -1)},${dataMembers(data)}}`;
}

/** Publishes. All channels are checked before the first message is sent. */
async function trigger(
  context: PusherApiContext,
  { app, caller }: Backend,
  events: readonly Event[],
): Promise<void> {
  const wanted = events.flatMap((event) =>
    channelsOf(event).map((channel) => ({ event, room: requireRoom(channel, app) }))
  );
  const messages: { readonly envelope: ScannedEnvelope; readonly origin: string | undefined }[] =
    [];
  for (const { event, room } of wanted) {
    await slice(app.tenant);
    const operation = decodeClientText(frameOf(event, room), context.limits);
    if (operation.kind !== "publish") {
      throw new ArqonError("malformed-body", "expected an event");
    }
    // The excluded socket is the origin, so it gets no echo.
    const origin = typeof event.socket_id === "string" ? connectionOf(event.socket_id) : undefined;
    messages.push({ envelope: inRequestTrace(context.path, operation.envelope, caller), origin });
  }
  let is_stored = true;
  for (const [at, { envelope, origin }] of messages.entries()) {
    await slice(app.tenant);
    // The first one was counted with its request.
    if (at > 0) context.rates.take(caller.identity, envelope.size_bytes);
    const stored = await publish(context.path, { caller, origin }, envelope);
    is_stored &&= stored !== undefined;
  }
  if (!is_stored && messages.length > 0) await context.flushes.confirmed();
}
