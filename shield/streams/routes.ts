/**
 * `/v1/streams/{room}`: a durable room as a stream of the Durable Streams protocol. This file has its methods, their
 * authorization, and the protocol's refusals.
 */
import { requireGrant } from "../auth/authorize.ts";
import { bump } from "../stats/stats.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import { httpCaller } from "../http/route.ts";
import type { ClientCall, ClientRoute, DescribedRoute } from "../http/route.ts";
import { answer, closedHeader, COMMON, HEADER, NO_STORE, StreamRefusal } from "./answers.ts";
import { append } from "./append.ts";
import type { StreamContext } from "./context.ts";
import { create } from "./create.ts";
import { findStream, removeStream, requireRemover } from "./lifecycle.ts";
import { tokenOf } from "./offset.ts";
import { admitReader, head, isStream, read } from "./read_routes.ts";
import type { StreamKey } from "./record.ts";
import { placeAtTail } from "./read.ts";
import { readAppend, readCreate, readRead } from "./request.ts";
import { bodyBytesMax } from "./send.ts";
import { inQuery } from "../openapi/openapi_parts.ts";

type Answer = (context: StreamContext, call: ClientCall, key: StreamKey) => Promise<Response>;

/** The routes of streams. */
export function streamRoutes(context: StreamContext): ClientRoute[] {
  const route = (described: typeof STREAM_ROUTES[keyof typeof STREAM_ROUTES], handle: Answer) => ({
    ...described,
    answer: (call: ClientCall) => answered(context, call, handle),
  });
  return [
    route(STREAM_ROUTES.create, put),
    route(STREAM_ROUTES.append, post),
    route(STREAM_ROUTES.read, get),
    route(STREAM_ROUTES.remove, remove),
  ];
}

/** Answers, also for the protocol's own refusals; rejects with all others. */
async function answered(
  context: StreamContext,
  call: ClientCall,
  handle: Answer,
): Promise<Response> {
  const { room = "" } = call.names;
  const { tenant_id } = call.client.identity;
  requireRoomId(room);
  bump(context.stats.ingress_ops, "http_stream");
  try {
    const key = { tenant_id, room_id: room };
    if (!isStream(context, key)) throw notDurable(call.request.method);
    return await handle(context, call, key);
  } catch (error) {
    if (!(error instanceof StreamRefusal)) throw error;
    const response = error.response();
    for (const [name, value] of Object.entries(COMMON)) response.headers.set(name, value);
    return response;
  }
}

/** The refusal for a room that is not durable and so cannot be a stream. */
function notDurable(method: string): StreamRefusal {
  if (method === "GET" || method === "HEAD") return new StreamRefusal("stream-not-found");
  return new StreamRefusal("stream-not-durable", "", { allow: "GET, HEAD, OPTIONS" });
}

async function bodyFor(context: StreamContext, { client, body: bodyOf }: ClientCall) {
  const { tenant_id } = client.identity;
  const body = await bodyOf(bodyBytesMax(context.limits));
  context.stats.ingress_bytes += body.length;
  context.tenants.of(tenant_id).ingress_bytes += body.length;
  return body;
}

// The body is read first: a client may send it slowly, and be banned meanwhile.

const put: Answer = async (context, call, key) => {
  const { request: { headers, url }, client: { identity } } = call;
  const body = await bodyFor(context, call);
  requireGrant(identity, "publish", key.room_id);
  context.bans.requireRoom(identity, key.room_id);
  context.rates.take(identity, url.length);
  const request = readCreate(headers);
  const caller = httpCaller(call.client, headers);
  if (request.fork !== undefined) await admitReader(context, caller, request.fork.room);
  const { record, is_new } = await create(context, { key, caller, request, body });
  const { lives } = await context.logs.of(key.tenant_id);
  const { after, erased } = await placeAtTail(context, key, record);
  return answer(is_new ? 201 : 200, {
    "content-type": record.content_type,
    "cache-control": NO_STORE,
    [HEADER.next]: tokenOf(lives, after, erased),
    ...(is_new ? { location: url.split("?")[0]! } : {}),
    ...closedHeader(record.closed !== undefined),
  });
};

const post: Answer = async (context, call, key) => {
  const { request: { headers, url }, client: { identity } } = call;
  const body = await bodyFor(context, call);
  requireGrant(identity, "publish", key.room_id);
  context.bans.requireRoom(identity, key.room_id);
  const request = readAppend(headers);
  if (body.length === 0) context.rates.take(identity, url.length);
  const token = async (offset: number) =>
    tokenOf((await context.logs.of(key.tenant_id)).lives, offset);
  const caller = httpCaller(call.client, headers);
  const outcome = await append(context, { key, caller, request, body, token });
  const { offset, closed, producer, duplicate } = outcome;
  const is_new = producer !== undefined && !duplicate && body.length > 0;
  return answer(is_new ? 200 : 204, {
    "cache-control": NO_STORE,
    [HEADER.next]: await token(offset),
    ...closedHeader(closed),
    ...(producer === undefined ? {} : {
      [HEADER.producer_epoch]: String(producer.epoch),
      [HEADER.producer_seq]: String(producer.seq),
    }),
  });
};

const get: Answer = async (context, { request, client, url, gone }, key) => {
  context.rates.take(client.identity, request.url.length);
  const caller = httpCaller(client, request.headers);
  await admitReader(context, caller, key.room_id);
  if (request.method === "HEAD") return await head(context, key);
  const query = readRead(url.searchParams);
  const if_none_match = request.headers.get("if-none-match");
  return await read(context, { key, caller, request: query, if_none_match, gone });
};

const remove: Answer = async (context, { request, client: { identity } }, key) => {
  requireGrant(identity, "publish", key.room_id);
  requireRemover(context, identity, key.room_id);
  context.bans.requireRoom(identity, key.room_id);
  context.rates.take(identity, request.url.length);
  await context.turns.run(`${key.tenant_id}/${key.room_id}`, async () => {
    const found = await findStream(context, key);
    await removeStream(context, key, found);
  });
  return answer(204, { "cache-control": NO_STORE });
};

// The routes in the client API's description; durable-streams.com describes the protocol.

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
