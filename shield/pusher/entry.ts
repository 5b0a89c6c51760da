/**
 * The Pusher endpoint of the client listener: `/app/{key}` for clients, `/apps/{id}/…` for backends. It only exists if
 * there is an app. `pusher_socket.ts` handles a client's messages. A backend's request is signed with the app's secret
 * and then handled like a message or command over HTTP. Source:
 * https://pusher.com/docs/channels/library_auth_reference/rest-api/
 */
import { ArqonError, decodeClientText, ruleOf, type ScannedEnvelope } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { problemResponse } from "../../shared/problem.ts";
import { hasItem } from "../../shared/http1/header_list.ts";
import { type Random, randomUint32 } from "../../shared/ids.ts";
import { isPusherClient } from "../auth/identity.ts";
import { requireOrigin } from "../auth/origin.ts";
import type { Entrance } from "../connection/entrance.ts";
import type { ForeignEntry } from "../http/http.ts";
import type { HttpPublishContext } from "../http/http_publish.ts";
import type { PendingRequests } from "../http/pending.ts";
import type { Admission } from "../rates/admission.ts";
import type { SocketServer, Upgraded } from "../socket/client_socket.ts";
import { UPGRADE_HEADERS } from "../socket/handshake.ts";
import { originalOf } from "../socket/light_copy.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import { appOf, backendIdentity, clientIdentity, connectionOf } from "./apps.ts";
import type { App, Apps } from "./apps.ts";
import { subscriberCounts } from "../admin/inspect/lists.ts";
import type { Hub } from "../fanout/hub.ts";
import { infosOf, listChannels, oneChannel, readInfo, requireRoom, rollOf } from "./channels.ts";
import type { Backend, ChannelsContext } from "./channels.ts";
import { SubscriptionCounts } from "./counts.ts";
import { dataMembers, errorText, OWN_EVENT, RoomMessages, TERMINATE } from "./messages.ts";
import { CLOSE, PusherSocket } from "./pusher_socket.ts";
import { z } from "zod";
import { showsToken } from "../../shared/http1/handled_request.ts";
import { slice } from "../../shared/turns/slices.ts";
import { readBody } from "../http/http_body.ts";
import { httpCaller, inRequestTrace } from "../http/route.ts";
import { publish } from "../message/pipeline.ts";
import { takeIngress } from "../rates/http_rates.ts";
import { userChannel } from "./channel.ts";
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
async function answerBackend(
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

/** Versions of the protocol that clients may speak. */
const VERSIONS = ["5", "6", "7"];
/** The protocol's close codes for faults in a URL. */
const UNKNOWN_APP = 4001;
const UNKNOWN_VERSION = 4007;
const NO_VERSION = 4008;

/** The dependencies of both parts of the endpoint: for clients and for backends. */
interface PusherContext
  extends HttpPublishContext, Pick<Env, "registry" | "log" | "now" | "random"> {
  readonly config: Pick<Config, "pusher" | "server">;
  readonly apps: Apps;
  /** Asks all Shields; undefined before the start. */
  readonly lists: ChannelsContext["lists"];
  readonly own: ChannelsContext["own"];
  readonly hub: Pick<Hub, "find">;
  readonly enter: Entrance;
  readonly socket_server: Pick<SocketServer, "upgrade">;
  readonly admission: Pick<Admission, "enter">;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  readonly pending: Pick<PendingRequests, "enter">;
  /** Throws when the process can hold no further connection. */
  readonly requireCapacity: () => void;
  readonly stats: Pick<ShieldStats, "ingress_bytes" | "ingress_ops" | "rejects" | "handshakes">;
}

/** The refusal of a client, with its close code or status. */
class Refused extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Makes the endpoint. It never rejects. */
export function createPusherEntry(context: PusherContext): ForeignEntry {
  const { registry, config: { pusher } } = context;
  const messages = new RoomMessages();
  const open = { connections: 0 };
  const counts = countsOf(context);
  scrapedGauge(
    registry,
    "shield_pusher_connections",
    "Open connections of Pusher clients; they also count as connections.",
    () => open.connections,
  );
  const { presence_members, request_skew_seconds } = pusher;
  const api = { ...context, presence_members, request_skew_seconds };
  return (request, url, remote_ip) => {
    if (url.pathname.startsWith("/app/")) {
      return connect({ ...context, messages, open, counts }, request, url, remote_ip);
    }
    if (!url.pathname.startsWith("/apps/")) return undefined;
    return answerBackend(api, request, url, remote_ip).catch((error) => refusal(context, error));
  };
}

function countsOf({ lists, hub, log }: PusherContext): SubscriptionCounts {
  return new SubscriptionCounts({
    log,
    here: (tenant_id, room_id) => hub.find(tenant_id, room_id)?.subscribers.size ?? 0,
    async everywhere(tenant_id, rooms) {
      const context = lists();
      if (context === undefined) throw new ArqonError("process-unavailable", "not started yet");
      const { counts, silent } = await subscriberCounts(context, tenant_id, rooms);
      if (silent.length > 0) throw new ArqonError("process-unavailable", silent.join());
      return counts;
    },
  });
}

interface Connecting extends PusherContext {
  readonly counts: SubscriptionCounts;
  readonly messages: RoomMessages;
  readonly open: { connections: number };
}

function refusal({ stats, log }: PusherContext, error: unknown): Response {
  const known = error instanceof ArqonError ? error : new ArqonError("internal");
  if (error !== known) log.error("a Pusher request failed", { error });
  bump(stats.rejects, known.reason);
  if (known.reason === "not-a-websocket") return problemResponse(known, UPGRADE_HEADERS);
  return problemResponse(known, known.reason === "draining" ? { connection: "close" } : {});
}

async function connect(
  context: Connecting,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  try {
    requireOrigin(request, context.config.server);
    context.requireOpen();
    context.requireCapacity();
    using handshake = context.admission.enter();
    if (!hasItem(request.headers.get("upgrade"), "websocket")) {
      throw new ArqonError("not-a-websocket", "there is no Upgrade: websocket");
    }
    const response = await enter(context, request, url, remote_ip);
    handshake.accepted();
    bump(context.stats.handshakes, "accepted");
    return response;
  } catch (error) {
    return refusal(context, error);
  }
}

/** Admits a client. A refused client gets a socket whose close frame has the reason, as the protocol requires. */
async function enter(
  context: Connecting,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  // Pusher's libraries would never reconnect after 4408.
  const upgrade = () =>
    context.socket_server.upgrade(originalOf(request), undefined, CLOSE.reconnect);
  try {
    const app = appOfClient(context, url);
    const socket_id = socketId(context.random);
    const identity = clientIdentity(app, socket_id);
    const client = { identity, remote_ip, connection_id: connectionOf(socket_id) };
    const opening = () => openingOf(context, upgrade(), app, socket_id);
    return (await context.enter(request, client, opening, "text")).entered.response;
  } catch (error) {
    const refused = refusedOf(error);
    if (refused === undefined) throw error;
    if (error instanceof ArqonError) bump(context.stats.rejects, error.reason);
    const { socket, response, listen } = upgrade();
    const nothing = () => {};
    listen({
      opened() {
        socket.send(errorText(refused.code, refused.message));
        // A close frame has room for 123 bytes.
        const reason = refused.message.replace(/[^\x20-\x7e]/g, "?").slice(0, 100);
        socket.close(refused.code, reason);
      },
      message: nothing,
      flooded: nothing,
      tooLong: nothing,
      closed: nothing,
    });
    return response;
  }
}

function appOfClient({ apps }: PusherContext, url: URL): App {
  const key = url.pathname.slice("/app/".length);
  // Keys have no characters that a URL escapes.
  const app = apps.by_key.get(key);
  if (app === undefined) {
    throw new Refused(UNKNOWN_APP, `there is no app with key ${JSON.stringify(key.slice(0, 64))}`);
  }
  const version = url.searchParams.get("protocol");
  if (version === null) throw new Refused(NO_VERSION, "expected ?protocol=7");
  if (!VERSIONS.includes(version)) {
    throw new Refused(UNKNOWN_VERSION, `protocol ${version.slice(0, 16)}; expected 5 to 7`);
  }
  return app;
}

/** The protocol's refusal for a client; undefined: the client gets an HTTP status. */
function refusedOf(error: unknown): Refused | undefined {
  if (error instanceof Refused) return error;
  if (!(error instanceof ArqonError) || error.reason === "not-a-websocket") return undefined;
  // A policy's code does not say whether the client may come again.
  const { code } = ruleOf(error.reason);
  const close = code === 429 || code >= 500 ? CLOSE.over_capacity : CLOSE.refused;
  return new Refused(close, error.message);
}

function openingOf(context: Connecting, upgraded: Upgraded, app: App, socket_id: string) {
  const { config: { pusher }, messages, open, counts } = context;
  const socket = new PusherSocket(upgraded.socket, {
    app,
    socket_id,
    messages,
    isClient: isPusherClient,
    counts: app.subscription_count ? counts : undefined,
    ...pusher,
  });
  return {
    socket,
    response: upgraded.response,
    listen(events: Parameters<Upgraded["listen"]>[0]): void {
      const handlers = socket.handlersFor(events);
      open.connections++;
      upgraded.listen({
        ...handlers,
        closed(code) {
          if (--open.connections === 0) counts.stop();
          handlers.closed(code);
        },
      });
    },
  };
}

/** A socket id of the protocol: two numbers. Nobody can guess it. */
const socketId = (random: Random): string => `${randomUint32(random)}.${randomUint32(random)}`;
