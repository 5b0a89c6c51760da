/** The server-sent-events capability of a Shield. */
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Capability, ClientSide } from "../capability.ts";
import { createEntrance } from "../connection/entrance.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { EventReaders } from "./event_writer.ts";
import { EventPacker } from "../../shared/http1/gzip.ts";
import { eventRoutes } from "./http/events.ts";
import { EVENT_ROUTES } from "./http/routes.ts";
import { sessionRoutes } from "./http/sessions.ts";
import { identifying, startTickets, ticketRoute } from "./http/tickets.ts";

const routes: ClientSide["routes"] = (env, parts, entrance) => {
  const { config: { auth, limits, server, sse }, registry, now, random } = env;
  const { rates, stats, node_id, forwarding, hub, rooms: { classes }, operations: { context } } =
    parts;
  const tickets = startTickets(env);
  const readers = new EventReaders();
  scrapedGauge(
    registry,
    "shield_event_streams",
    "Open streams of server-sent events; they also count as connections.",
    () => readers.open,
  );
  const events = {
    enter: createEntrance(entrance),
    hub,
    readers,
    stats,
    now,
    random,
    classes,
    rates: new HttpRates(rates, now),
    query_token: auth.query_token,
    origins: server,
    rooms_max: sse.rooms,
    retry_ms: sse.retry_ms,
    packer: new EventPacker(limits.deflate_from_bytes),
    identify: identifying({ tickets, now, requireNotRevoked: context.requireNotRevoked }),
  };
  const { heartbeat_ms } = server;
  const { max_frame_bytes } = limits;
  const sessions = { ...events, node_id, forwarding, heartbeat_ms, max_frame_bytes };
  return [...eventRoutes(events), ...sessionRoutes(sessions), ticketRoute({ ...events, tickets })];
};

/** Rooms as server-sent events, and connections over them. */
export const SSE: Capability = {
  name: "sse",
  title: "rooms as server-sent events, and connections over them",
  config: ["sse"],
  stores: ["ARQON_TICKETS"],
  client: { described: Object.values(EVENT_ROUTES), routes },
};
