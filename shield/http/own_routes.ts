/**
 * The routes of the client listener that are no command with a path of their own, and what each says
 * of itself. Who answers them is `start.ts`; those of commands are `commands.ts`.
 */
import { ID, inQuery, list, object, ref, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import { ackOf, BATCH, COMMAND, MESSAGE } from "./openapi_answers.ts";
import type { DescribedRoute } from "./route.ts";

/** The path of the description, which needs no token. */
export const OPENAPI_PATH = "/v1/openapi.json";

const ROOM_MESSAGES = "/v1/rooms/{room}/messages";

const HISTORY_QUERY = [
  inQuery("after", "messages above this offset", { type: "integer", minimum: 0 }),
  inQuery("before", "messages below this offset", { type: "integer", minimum: 0 }),
  inQuery("limit", "how many", { type: "integer", minimum: 1, maximum: 1_000, default: 100 }),
  inQuery("reverse", "the newest first", { type: "boolean" }),
];

const EVENTS_QUERY = [
  inQuery("last_event_id", "as the header Last-Event-ID, which goes before it", TEXT),
  inQuery("ticket", "in place of a token", TEXT),
];
const EVENTS = { answer: TEXT, type: "text/event-stream", refusals: [406, 409] };

/** The routes of the client API's table, without commands. */
export const OWN_ROUTES = {
  publish: {
    method: "POST",
    template: ROOM_MESSAGES,
    about: {
      ...{ id: "publish", tag: "messages", summary: "Publishes one message" },
      body: { schema: MESSAGE },
      answer: ackOf(undefined),
      refusals: [408, 409],
    },
  },
  history: {
    method: "GET",
    template: ROOM_MESSAGES,
    about: {
      ...{ id: "history", tag: "messages", summary: "The kept messages of a durable room" },
      query: HISTORY_QUERY,
      answer: ref("History"),
      refusals: [409],
    },
  },
  roomEvents: {
    method: "GET",
    template: "/v1/rooms/{room}/events",
    about: {
      ...{ id: "roomEvents", tag: "messages", summary: "A room as server-sent events" },
      query: [
        inQuery("after_offset", "messages above this offset", { type: "integer", minimum: 0 }),
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
      ...{ id: "events", tag: "messages", summary: "Several rooms as server-sent events" },
      query: [inQuery("room", "each of the rooms", list(ID), true), ...EVENTS_QUERY],
      ...EVENTS,
    },
  },
  connect: {
    method: "GET",
    template: "/v1/connections",
    about: {
      ...{ id: "connect", tag: "client" },
      summary: "A connection as over WebSocket, whose frames come as server-sent events",
      query: [inQuery("resume", "the connection that the client had before", TEXT)],
      ...EVENTS,
    },
  },
  frames: {
    method: "POST",
    template: "/v1/connections/{connection}",
    while_draining: true,
    about: {
      ...{ id: "frames", tag: "client", status: 204, answer: undefined },
      summary: "Frames of the client of such a connection",
      query: [inQuery("node", "the Shield that has the connection, as its stream has said", TEXT)],
      body: { type: "application/octet-stream", schema: {} },
      refusals: [404],
    },
  },
  ticket: {
    method: "POST",
    template: "/v1/tickets",
    about: {
      ...{ id: "ticket", tag: "messages" },
      summary: "A ticket with which a page reads events, once and soon, without a token in its URL",
      body: { schema: object({ rooms: { ...list(ID), minItems: 1 } }) },
      answer: object({ ticket: TEXT, expires_ms: UNIX_MS }),
    },
  },
  publishMany: {
    method: "POST",
    template: "/v1/messages",
    about: {
      ...{ id: "publishMany", tag: "messages" },
      summary: "Publishes many messages, or one to many rooms; each has its answer",
      body: { schema: BATCH },
      answer: ref("BatchAnswer"),
    },
  },
  grow: {
    method: "POST",
    template: "/v1/rooms/{room}/streams",
    about: {
      ...{ id: "grow", tag: "messages" },
      summary: "Writes a message that grows: the body, as it comes; stored whole when it ends",
      query: [
        inQuery("id", "its name; absent: a random one", TEXT),
        inQuery("type", "the type of the event that it becomes", TEXT),
      ],
      body: { type: "text/plain", schema: TEXT, optional: true },
      answer: object({ id: TEXT, outcome: TEXT, offset: { type: "integer" } }),
      refusals: [404, 409],
    },
  },
  command: {
    method: "POST",
    template: "/v1/rooms/{room}/commands",
    about: {
      ...{ id: "command", tag: "commands", summary: "Runs any command, as over a socket" },
      body: { schema: COMMAND },
      answer: ackOf({ type: "object" }),
      refusals: [408, 409],
    },
  },
} as const satisfies Readonly<Record<string, DescribedRoute>>;

/** The routes that the listener answers itself (`shield/http/http.ts`). */
export const LISTENER_ROUTES: readonly DescribedRoute[] = [
  {
    method: "GET",
    template: "/v1/auth/check",
    about: {
      ...{ id: "authCheck", tag: "client", summary: "Who the token is, or why it is refused" },
      answer: ref("Identity"),
    },
  },
  {
    method: "GET",
    template: OPENAPI_PATH,
    about: {
      ...{ id: "openapi", tag: "client", summary: "This description", open: true },
      answer: { type: "object" },
    },
  },
];
