/**
 * The routes of streams in the client API's description. `routes.ts` answers them; durable-streams.com describes the
 * protocol.
 */
import { inQuery } from "../openapi/openapi_parts.ts";
import type { DescribedRoute } from "../http/route.ts";

const STREAM = "/v1/streams/{room}";
/** Any bytes: a stream has its own content type. */
const BYTES = { type: "application/octet-stream", schema: {} } as const;

/** The headers of requests for streams beside the common ones. */
export const STREAM_REQUEST_HEADERS: readonly string[] = [
  "stream-closed",
  "stream-expires-at",
  "stream-fork-offset",
  "stream-fork-sub-offset",
  "stream-forked-from",
  "stream-seq",
  "stream-ttl",
  "producer-epoch",
  "producer-id",
  "producer-seq",
];

const READ_QUERY = [
  inQuery("offset", "the offset to read after: a value of Stream-Next-Offset, -1 or now", {
    type: "string",
  }),
  inQuery("live", "waits for new messages", { type: "string", enum: ["long-poll", "sse"] }),
  inQuery("cursor", "the last value of Stream-Cursor", { type: "string" }),
];

/** The four methods of a stream; HEAD is answered as GET without a body. */
export const STREAM_ROUTES = {
  create: {
    method: "PUT",
    template: STREAM,
    about: {
      id: "createStream",
      tag: "streams",
      status: 201,
      answer: undefined,
      summary:
        "Creates a stream in a durable room, or a fork of another stream; 200 if it exists already",
      body: { ...BYTES, optional: true },
      refusals: [404, 405, 409, 410],
    },
  },
  append: {
    method: "POST",
    template: STREAM,
    about: {
      id: "appendToStream",
      tag: "streams",
      status: 204,
      answer: undefined,
      summary: "Appends to a stream, and closes it; 200 for a new append of a producer",
      body: { ...BYTES, optional: true },
      refusals: [404, 405, 409, 410],
    },
  },
  read: {
    method: "GET",
    template: STREAM,
    about: {
      id: "readStream",
      tag: "streams",
      summary: "The messages of a stream after an offset",
      query: READ_QUERY,
      type: "application/octet-stream",
      answer: {},
      refusals: [404, 410],
    },
  },
  remove: {
    method: "DELETE",
    template: STREAM,
    about: {
      id: "deleteStream",
      tag: "streams",
      status: 204,
      answer: undefined,
      summary: "Deletes a stream with its messages; those that its forks show are kept for them",
      refusals: [404, 405, 410],
    },
  },
} as const satisfies Readonly<Record<string, DescribedRoute>>;
