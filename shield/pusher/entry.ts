/**
 * The Pusher endpoint of the client listener: `/app/{key}` for clients, `/apps/{id}/…` for backends. It only exists if
 * there is an app. `pusher_socket.ts` handles a client's messages.
 */
import { ArqonError, ruleOf } from "@arqon/proto";
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
import { type App, type Apps, clientIdentity, connectionOf } from "./apps.ts";
import { subscriberCounts } from "../admin/inspect/lists.ts";
import type { Hub } from "../fanout/hub.ts";
import type { ChannelsContext } from "./channels.ts";
import { SubscriptionCounts } from "./counts.ts";
import { answerBackend } from "./http_api.ts";
import { errorText, RoomMessages } from "./messages.ts";
import { CLOSE, PusherSocket } from "./pusher_socket.ts";

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
