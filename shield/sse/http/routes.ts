/** The routes of server-sent events as the client API describes them: rooms as events, and connections over them. */
import { ID, inQuery, integer, list, object, TEXT, UNIX_MS } from "../../openapi/openapi_parts.ts";
import type { DescribedRoute } from "../../http/route.ts";

const EVENTS_QUERY = [
  inQuery("from", "start: from the beginning of each room", { enum: ["start"] }),
  inQuery("last_event_id", "like the header Last-Event-ID, which has precedence", TEXT),
  inQuery("filter", "only messages for which this is true, in CEL", TEXT),
  inQuery("ticket", "instead of a token in a header", TEXT),
];
const NODE = inQuery("node", "the Shield with the connection, as the stream named it", TEXT);
const EVENTS = { answer: TEXT, type: "text/event-stream", refusals: [406, 409] };

/** The routes of server-sent events. */
export const EVENT_ROUTES = {
  roomEvents: {
    method: "GET",
    template: "/v1/rooms/{room}/events",
    about: {
      id: "roomEvents",
      tag: "messages",
      summary: "A room as server-sent events",
      query: [
        inQuery("after_offset", "messages above this offset", integer(0)),
        inQuery("epoch", "the epoch of that offset", TEXT),
        ...EVENTS_QUERY,
      ],
      ...EVENTS,
    },
  },
  events: {
    method: "GET",
    template: "/v1/events",
    about: {
      id: "events",
      tag: "messages",
      summary: "Several rooms as server-sent events",
      query: [inQuery("room", "the rooms", list(ID), true), ...EVENTS_QUERY],
      ...EVENTS,
    },
  },
  ticket: {
    method: "POST",
    template: "/v1/tickets",
    about: {
      id: "ticket",
      tag: "messages",
      summary:
        "Creates a short-lived, one-time ticket with which a page reads events, without a token in its URL",
      body: { schema: object({ rooms: { ...list(ID), minItems: 1 } }) },
      answer: object({ ticket: TEXT, expires_ms: UNIX_MS }),
    },
  },
  connect: {
    method: "GET",
    template: "/v1/connections",
    about: {
      id: "connect",
      tag: "client",
      summary: "A connection as over WebSocket, whose frames are sent as server-sent events",
      query: [
        inQuery("resume", "the client's previous connection", TEXT),
        inQuery(
          "poll",
          "0: the answer ends with the first events, and the client polls for the next ones",
          {
            enum: ["0"],
          },
        ),
      ],
      ...EVENTS,
    },
  },
  poll: {
    method: "GET",
    template: "/v1/connections/{connection}",
    of_connection: true,
    about: {
      id: "poll",
      tag: "client",
      summary: "The next events of a polled connection, once there are some",
      query: [
        NODE,
        inQuery("poll", "the number of this answer: one more than the last", integer(1)),
      ],
      answer: TEXT,
      type: "text/event-stream",
      refusals: [404],
    },
  },
  frames: {
    method: "POST",
    template: "/v1/connections/{connection}",
    of_connection: true,
    about: {
      id: "frames",
      tag: "client",
      status: 204,
      answer: undefined,
      summary: "Sends frames of the client on such a connection",
      query: [NODE],
      body: { type: "application/octet-stream", schema: {} },
      refusals: [404],
    },
  },
} as const satisfies Readonly<Record<string, DescribedRoute>>;
