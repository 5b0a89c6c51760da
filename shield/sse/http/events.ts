/**
 * `GET /v1/rooms/{room}/events` and `GET /v1/events?room=…`: rooms as server-sent events. Parses the request and admits
 * the reader; `event_answer.ts` has the answer's head, the parent folder the reader.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { randomFraction } from "../../../shared/ids.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";
import { isPattern, requireRoomId, requireRoomsPattern } from "../../../shared/subjects/subject.ts";
import type { AllowedOrigins } from "../../auth/origin.ts";
import type { Connection } from "../../connection/connection.ts";
import type { Entrance } from "../../connection/entrance.ts";
import type { HttpRates } from "../../rates/http_rates.ts";
import type { Hub } from "../../fanout/hub.ts";
import type { EventReaders } from "../event_writer.ts";
import { type EventPacker, GzipStream } from "../../../shared/http1/gzip.ts";
import { parseEventId, queriedPosition } from "../positions.ts";
import { SseSocket } from "../sse_socket.ts";
import { EventSubscriptions, type WantedRoom } from "../subscriptions.ts";
import { bump, type ShieldStats } from "../../stats/stats.ts";
import { answerWith, comeAgain, headersOf, requireAccepted } from "./event_answer.ts";
import { EVENT_ROUTES } from "./routes.ts";
import type { ClientCall, ClientRoute } from "../../http/route.ts";

/** The dependencies and settings of streams of events. */
export interface EventsContext extends Pick<Env, "now" | "random"> {
  readonly enter: Entrance;
  readonly hub: Pick<Hub, "patterns">;
  readonly readers: EventReaders;
  readonly rates: Pick<HttpRates, "take">;
  readonly stats: Pick<ShieldStats, "ingress_ops">;
  readonly origins: AllowedOrigins;
  readonly query_token: boolean;
  readonly classes: Pick<RoomClasses, "of">;
  readonly rooms_max: number;
  readonly retry_ms: number;
  readonly packer: EventPacker;
  /** The owner of a ticket, in place of a token. */
  readonly identify: NonNullable<ClientRoute["identify"]>;
}

const ONCE = ["from", "after_offset", "epoch", "last_event_id", "filter", "ticket", "access_token"];

/** Makes the routes. */
export function eventRoutes(context: EventsContext): ClientRoute[] {
  const { identify } = context;
  const own: Pick<ClientRoute, "identify" | "answer" | "refused"> = {
    identify,
    answer: (call) => answer(context, call),
    refused: (request, refusal) => comeAgain(request, refusal, randomFraction(context.random)),
  };
  return [{ ...EVENT_ROUTES.roomEvents, ...own }, { ...EVENT_ROUTES.events, ...own }];
}

async function answer(context: EventsContext, call: ClientCall): Promise<Response> {
  const { request, client } = call;
  bump(context.stats.ingress_ops, "http_events");
  context.rates.take(client.identity, request.url.length);
  requireAccepted(request);
  const rooms = wantedRooms(context, call);
  const headers = headersOf(context, request);
  // The answer to a HEAD has only the head of the GET, and opens nothing.
  if (request.method === "HEAD") return new Response(null, { headers });
  const place: { connection?: Connection } = {};
  const socket = new SseSocket({
    ...context,
    random: () => randomFraction(context.random),
    gzip: headers.has("content-encoding") ? new GzipStream(context.packer) : undefined,
    subscriptions: new EventSubscriptions(rooms),
    isDurable: (room_id) => context.classes.of(client.identity.tenant_id, room_id).durable,
    isOut: () => place.connection !== undefined && hearsNothing(context, place.connection),
  });
  const opening = { socket, listen: socket.listen.bind(socket) };
  place.connection = (await context.enter(request, client, () => opening, "text")).connection;
  await socket.begin();
  return answerWith(request, socket.writer, headers, context.now());
}

const hearsNothing = ({ hub: { patterns } }: EventsContext, connection: Connection) =>
  connection.subscriptions.size === 0 && (patterns?.of(connection)?.size ?? 0) === 0;

/** The rooms of a request, with the position in each. Throws 400 with the fault. */
function wantedRooms(
  { rooms_max, query_token }: EventsContext,
  { request, url: { searchParams }, names: { room } }: ClientCall,
): WantedRoom[] {
  const known = ONCE.filter((name) => name !== "access_token" || query_token);
  for (const name of new Set(searchParams.keys())) {
    if (!known.includes(name) && (name !== "room" || room !== undefined)) {
      throw new ArqonError("unknown-field", JSON.stringify(name.slice(0, 64)));
    }
    if (name !== "room" && searchParams.getAll(name).length > 1) {
      throw new ArqonError("repeated-field", name);
    }
  }
  const rooms = room === undefined ? searchParams.getAll("room") : [room];
  if (rooms.length === 0) throw new ArqonError("invalid-room", "expected ?room=…");
  if (rooms.length > rooms_max) {
    throw new ArqonError("too-many-rooms", `at most ${rooms_max} rooms in one stream`);
  }
  for (const one of rooms) {
    if (isPattern(one)) requireRoomsPattern(one);
    else requireRoomId(one);
  }
  if (new Set(rooms).size < rooms.length) throw new ArqonError("repeated-field", "room");
  const last = request.headers.get("last-event-id") || searchParams.get("last_event_id") || "";
  const after = queriedPosition(searchParams, rooms.length);
  const positions = last === "" ? rooms.map(() => after) : parseEventId(last, rooms.length);
  const filter = searchParams.get("filter") ?? "";
  const returns = last !== "";
  return rooms.map((room_id, at) => ({ room_id, position: positions[at], returns, filter }));
}
