/**
 * The endpoints for Centrifugo's client libraries on the client listener: `/connection/websocket`, and those for
 * clients without a WebSocket. These receive a stream, the response to a request, as server-sent events or in the
 * forms of `forms.ts`, and send commands in requests to any Shield, which name the Shield with the stream and the
 * secret session id. Source: https://github.com/centrifugal/centrifuge (`handler_sse.go`, `handler_http_stream.go`,
 * `emulation.go`). The endpoints exist only if `[centrifugo] enabled` is set. The token is in the first command, so a
 * client is admitted after its socket opens. This module limits the number of unauthenticated sockets and their time.
 * `centrifugo_socket.ts` handles the commands.
 */
import { FairMap } from "../../shared/turns/fair_map.ts";
import { groupOf } from "../../shared/http1/arrivals.ts";
import { scraped } from "../../shared/metrics/metrics.ts";
import { ArqonError, isId, matchesRoomPattern } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { hasItem, headerItems } from "../../shared/http1/header_list.ts";
import type { Env } from "../../shared/env.ts";
import { connectionId, randomFraction } from "../../shared/ids.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { Authenticator } from "../auth/authenticate.ts";
import { type AllowedOrigins, isOriginAllowed, requireOrigin } from "../auth/origin.ts";
import type { Entrance } from "../connection/entrance.ts";
import type { Forwarding } from "../http/forwarding.ts";
import { type ForeignEntry, requireMethod } from "../http/http.ts";
import type { Admission } from "../rates/admission.ts";
import { PING_LOST, type SocketServer, type Upgraded } from "../socket/client_socket.ts";
import { EventReaders } from "../sse/event_writer.ts";
import { UPGRADE_HEADERS } from "../socket/handshake.ts";
import { originalOf } from "../socket/light_copy.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import { refusalOf } from "./api.ts";
import { CentrifugoSocket, type CentrifugoSocketOptions } from "./centrifugo_socket.ts";
import { DISCONNECT } from "./codes.ts";
import { type Form, JSON_FORM, PROTOBUF_FORM } from "./forms.ts";
import { DeltaBases, RoomMessages } from "./publications.ts";
import type { ChannelClasses } from "./subscription.ts";
import { roomIn, serverSideOf } from "./tokens.ts";
import { readBody } from "../http/http_body.ts";
import { answerWith } from "../sse/http/event_answer.ts";
import { STRANGERS } from "../../shared/turns/slices.ts";
import { SessionSocket, type SessionWire } from "../sse/session_socket.ts";

const SSE_PATH = "/connection/sse";
const STREAM_PATH = "/connection/http_stream";
const EMULATION_PATH = "/emulation";
/** The query parameter with the connect command of an SSE client. */
const CONNECT = "cf_connect";
const BINARY = "application/octet-stream";
/** The longest ping frame: `{}`, or an empty message. */
const PING_SIZE = 2;
const BESIDE_BYTES = 1_024;
/** The most pending requests to other Shields. Surplus ones are refused: their senders are unauthenticated. */
const FORWARDED_MAX = 1_000;

/** Whether a path is an endpoint for clients without a WebSocket. */
const isEmulated = (path: string): boolean =>
  [SSE_PATH, STREAM_PATH, EMULATION_PATH].includes(path);

interface EmulationContext extends Pick<Env, "node_id" | "now"> {
  readonly readers: EventReaders;
  readonly forwarding: Pick<Forwarding, "listen" | "forward">;
  readonly heartbeat_ms: number;
  readonly max_frame_bytes: number;
  readonly origins: AllowedOrigins;
  /** Creates the secret id of a session. */
  readonly secret: () => string;
}

/** The encoding of a stream. It encodes a frame that repeats in a row once. */
function wireOf(form: Form, written: (frame: string) => string): SessionWire {
  const encoder = new TextEncoder();
  let last: string | undefined;
  let bytes = new Uint8Array(0);
  const bytesOf = (frame: Frame) => {
    if (typeof frame !== "string") return frame;
    if (frame !== last) bytes = encoder.encode(written(last = frame));
    return bytes;
  };
  return {
    written: bytesOf,
    isPing: ({ length }) => length <= PING_SIZE,
    closed(code, reason) {
      // The stream itself sets this code. All others are Centrifugo's already.
      const is_lost = code === PING_LOST && reason === "heartbeat-lost";
      const disconnect = { code: is_lost ? DISCONNECT.no_pong : code, reason };
      return bytesOf(form.encode({ push: { disconnect } }));
    },
  };
}

type Frame = string | Uint8Array<ArrayBuffer>;

/** One kind of stream. */
export interface Way {
  readonly form: Form;
  readonly wire: SessionWire;
  readonly content_type: string;
}

const SSE: Way = {
  form: JSON_FORM,
  wire: wireOf(JSON_FORM, (frame) => `data: ${frame}\n\n`),
  content_type: "text/event-stream; charset=utf-8",
};
const LINES: Way = {
  form: JSON_FORM,
  wire: wireOf(JSON_FORM, (frame) => `${frame}\n`),
  content_type: "application/x-ndjson",
};
const MESSAGES: Way = {
  form: PROTOBUF_FORM,
  wire: wireOf(PROTOBUF_FORM, (frame) => frame),
  content_type: BINARY,
};

/** The streams of one process. */
class Emulation {
  readonly #context: EmulationContext;
  readonly #sessions = new Map<string, { readonly socket: SessionSocket; readonly form: Form }>();
  #forwarded = 0;

  constructor(context: EmulationContext) {
    this.#context = context;
  }

  /** Answers OPTIONS and commands; undefined for a request that opens a stream. */
  answer(request: Request, { pathname }: URL): Promise<Response> | undefined {
    const headers = this.#headersFor(request);
    if (request.method === "OPTIONS") {
      headers.set("access-control-allow-methods", pathname === SSE_PATH ? "GET, POST" : "POST");
      headers.set("access-control-allow-headers", "content-type");
      headers.set("access-control-max-age", "600");
      return Promise.resolve(new Response(null, { status: 204, headers }));
    }
    if (pathname !== EMULATION_PATH) return undefined;
    return this.#take(request).then(() => new Response(null, { status: 204, headers }));
  }

  /** Adds the headers that permit pages of an allowed origin to read a response. */
  withOrigin(request: Request, response: Response): Response {
    for (const [name, value] of this.#headersFor(request)) response.headers.set(name, value);
    return response;
  }

  #headersFor(request: Request): Headers {
    const headers = new Headers({ "cache-control": "no-store, no-transform" });
    const origin = request.headers.get("origin");
    if (origin !== null && isOriginAllowed(origin, this.#context.origins)) {
      headers.set("access-control-allow-origin", origin);
      headers.set("vary", "origin");
    }
    return headers;
  }

  /** The kind of stream that a request opens, and its first frame. Rejects with a refusal. */
  async read(
    request: Request,
    { pathname, searchParams }: URL,
  ): Promise<{ way: Way; first: Frame }> {
    const is_sse = pathname === SSE_PATH;
    const in_query = is_sse && request.method === "GET";
    if (!in_query) requireMethod(request, "POST");
    const { forwarding, max_frame_bytes } = this.#context;
    await forwarding.listen("centrifugo", ({ session = "" }, frame) => this.#hand(session, frame));
    const is_binary = !is_sse && request.headers.get("content-type") === BINARY;
    const way = is_sse ? SSE : is_binary ? MESSAGES : LINES;
    if (in_query) return { way, first: searchParams.get(CONNECT) ?? "" };
    const body = new Uint8Array(await readBody(request, max_frame_bytes, STRANGERS));
    return { way, first: is_binary ? body : new TextDecoder().decode(body) };
  }

  open({ wire, form }: Way): { readonly socket: SessionSocket; readonly session: string } {
    const session = this.#context.secret();
    const onGone = () => void this.#sessions.delete(session);
    const socket = new SessionSocket({ ...this.#context, wire, gzip: undefined, onGone });
    this.#sessions.set(session, { socket, form });
    return { socket, session };
  }

  streamOf(request: Request, { content_type }: Way, { writer }: SessionSocket): Response {
    const headers = this.#headersFor(request);
    headers.set("content-type", content_type);
    // nginx and others buffer responses unless this header forbids it.
    headers.set("x-accel-buffering", "no");
    return answerWith(request, writer, headers, this.#context.now());
  }

  async #take(request: Request): Promise<void> {
    requireMethod(request, "POST");
    const { node_id, max_frame_bytes, forwarding } = this.#context;
    // The frame is a JSON string here. Escapes at most double it, except for control characters.
    const body = await readBody(request, 2 * max_frame_bytes + BESIDE_BYTES, STRANGERS);
    const form = request.headers.get("content-type") === BINARY ? PROTOBUF_FORM : JSON_FORM;
    const { node = "", session = "", data = "" } = form.emulation(body);
    const frame = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (node === node_id) return await this.#hand(session, frame);
    if (!isId(session)) throw new ArqonError("not-found", "there is no such session");
    if (this.#forwarded >= FORWARDED_MAX) {
      throw new ArqonError("admission", "too many commands for other Shields", {
        retry_after_ms: 1_000,
      });
    }
    this.#forwarded++;
    try {
      await forwarding.forward("centrifugo", node, { session }, frame);
    } finally {
      this.#forwarded--;
    }
  }

  async #hand(session: string, frame: Uint8Array<ArrayBuffer>): Promise<void> {
    const found = this.#sessions.get(session);
    if (found === undefined) throw new ArqonError("not-found", "there is no such session");
    const { socket, form } = found;
    await socket.hand([form === PROTOBUF_FORM ? frame : new TextDecoder().decode(frame)]);
  }
}

const PATH = "/connection/websocket";
const PROTOBUF = "centrifuge-protobuf";
const JSON_PROTOCOL = "centrifuge-json";

/** Whether a room matches one of the patterns. */
export const isIn = (patterns: readonly string[]) => (room_id: string): boolean =>
  patterns.some((pattern) => matchesRoomPattern(pattern, room_id));

/** The endpoint's dependencies in the process. */
export interface CentrifugoContext
  extends
    Pick<ChannelClasses, "requireKnown" | "hasDeltas" | "isLossy" | "isServerSide">,
    Pick<Env, "log" | "now" | "random" | "registry"> {
  readonly config: Pick<Config, "centrifugo" | "server" | "limits">;
  /** The expiry for an `expire_at`, Unix ms; Infinity for 0. */
  readonly untilOf: (expire_at: number) => number;
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly enter: Entrance;
  readonly socket_server: Pick<SocketServer, "upgrade">;
  readonly node_id: string;
  readonly forwarding: Forwarding;
  readonly admission: Pick<Admission, "enter">;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  /** Throws when the process has reached its limit of connections. */
  readonly requireCapacity: () => void;
  readonly stats: Pick<ShieldStats, "rejects" | "handshakes">;
  readonly version: string;
}

/** The endpoint of one process. */
export interface CentrifugoEntry {
  /** Never rejects. */
  readonly answer: ForeignEntry;
  /** Closes the sockets of unauthenticated clients. */
  readonly drain: () => void;
}

/** Creates the endpoint. */
export function createCentrifugoEntry(context: CentrifugoContext): CentrifugoEntry {
  const inside = new Set<CentrifugoSocket>();
  const waiting = new Waiting(context);
  scraped(context.registry, {
    "shield_centrifugo_connections": [
      "Open connections of Centrifugo's clients; each is one of the connections, too.",
      () => inside.size,
    ],
    "shield_centrifugo_waiting": [
      "Sockets of Centrifugo's clients that have not shown a token yet.",
      () => waiting.size,
    ],
  });
  const { config: { centrifugo, limits, server }, random } = context;
  const bases = new DeltaBases(limits);
  const shared = {
    ...context,
    room_prefix: centrifugo.room_prefix,
    hasMembers: isIn(centrifugo.presence),
    hasJoins: isIn(centrifugo.join_leave),
    max_frame_bytes: limits.max_frame_bytes,
    history_messages: limits.history_messages,
    bases,
    messages: new RoomMessages(bases),
    random: () => randomFraction(random),
    verify: context.authenticator.authenticate,
  };
  const emulation = new Emulation({
    ...context,
    heartbeat_ms: server.heartbeat_ms,
    origins: server,
    max_frame_bytes: limits.max_frame_bytes,
    readers: new EventReaders(),
    secret: () => connectionId(random),
  });
  const endpoint = { ...context, inside, waiting, shared, emulation };
  const answer: ForeignEntry = (request, url, remote_ip) => {
    const is_emulated = isEmulated(url.pathname);
    if (url.pathname !== PATH && !is_emulated) return undefined;
    const answered = is_emulated ? answerStream : upgrade;
    // `upgrade` throws synchronously; the promise rejects instead.
    return new Promise<Response>((resolve) => resolve(answered(endpoint, request, url, remote_ip)))
      .catch((error) => emulation.withOrigin(request, refusal(context, error)));
  };
  return { answer, drain: () => waiting.drain() };
}

interface Endpoint extends CentrifugoContext {
  readonly inside: Set<CentrifugoSocket>;
  readonly waiting: Waiting;
  readonly emulation: Emulation;
  readonly shared: Omit<CentrifugoSocketOptions, "form">;
}

function refusal(context: CentrifugoContext, error: unknown): Response {
  const known = refusalOf(context, error);
  const is_plain = known.reason === "not-a-websocket";
  return problemResponse(known, is_plain ? UPGRADE_HEADERS : { connection: "close" });
}

function upgrade(endpoint: Endpoint, request: Request, url: URL, remote_ip: string): Response {
  requireOrigin(request, endpoint.config.server);
  using handshake = handshakeOf(endpoint);
  if (!hasItem(request.headers.get("upgrade"), "websocket")) {
    throw new ArqonError("not-a-websocket", "there is no Upgrade: websocket");
  }
  const offered = headerItems(request.headers.get("sec-websocket-protocol"));
  const protocol = [PROTOBUF, JSON_PROTOCOL].find((one) => offered.includes(one));
  const is_protobuf = protocol === PROTOBUF || url.searchParams.get("format") === "protobuf";
  const { socket_server } = endpoint;
  const opening = socket_server.upgrade(originalOf(request), protocol, DISCONNECT.no_pong);
  const form = is_protobuf ? PROTOBUF_FORM : JSON_FORM;
  listen(endpoint, opening, { request, remote_ip, form });
  handshake.accepted();
  bump(endpoint.stats.handshakes, "accepted");
  return opening.response;
}

/** Opens a stream, or takes commands of its client. */
async function answerStream(
  endpoint: Endpoint,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  const { emulation } = endpoint;
  requireOrigin(request, endpoint.config.server);
  const answered = emulation.answer(request, url);
  if (answered !== undefined) return await answered;
  const { way, first } = await emulation.read(request, url);
  using handshake = handshakeOf(endpoint);
  const { socket, session } = emulation.open(way);
  const opening = { socket, listen: socket.listen.bind(socket) };
  listen(endpoint, opening, { request, remote_ip, form: way.form, session });
  const response = emulation.streamOf(request, way, socket);
  handshake.accepted();
  bump(endpoint.stats.handshakes, "accepted");
  await socket.hand([first]);
  return response;
}

/** Throws if the process accepts no further client. */
function handshakeOf(endpoint: Endpoint): ReturnType<Endpoint["admission"]["enter"]> {
  endpoint.requireOpen();
  endpoint.requireCapacity();
  return endpoint.admission.enter();
}

/** A client whose socket opens, and its form of the protocol. */
interface Caller extends Pick<CentrifugoSocketOptions, "form" | "session"> {
  readonly request: Request;
  readonly remote_ip: string;
}

/** Attaches a Centrifugo client to a socket. */
function listen(
  endpoint: Endpoint,
  opening: Pick<Upgraded, "socket" | "listen">,
  { request, remote_ip, ...spoken }: Caller,
): void {
  const { socket: inner } = opening;
  const socket: CentrifugoSocket = new CentrifugoSocket(
    inner,
    { ...endpoint.shared, ...spoken },
    (token) => letIn(endpoint, place, { request, remote_ip, token }),
  );
  const place = endpoint.waiting.add(socket, remote_ip);
  opening.listen(socket.handlers(() => {
    endpoint.waiting.delete(place);
    endpoint.inside.delete(socket);
  }));
}

/** Admits a client by its token. Rejects with a refusal. */
async function letIn(
  endpoint: Endpoint,
  place: Place,
  { request, remote_ip, token }: Omit<Caller, "form"> & { readonly token: string },
): Promise<void> {
  endpoint.requireOpen();
  endpoint.requireCapacity();
  try {
    const identity = await endpoint.authenticator.authenticate(token);
    const { room_prefix, isServerSide } = endpoint.shared;
    const server_side = serverSideOf(
      identity.claims,
      (channel) => isServerSide(roomIn(channel, room_prefix)),
    );
    const { socket } = place;
    const opening = { socket, listen: socket.listen.bind(socket) };
    const client = { identity, remote_ip };
    const { connection } = await endpoint.enter(request, client, () => opening, "binary");
    if (endpoint.waiting.delete(place)) endpoint.inside.add(socket);
    socket.begin(connection, server_side);
  } catch (error) {
    throw refusalOf(endpoint, error);
  }
}

/** The socket of an unauthenticated client. */
interface Place {
  readonly socket: CentrifugoSocket;
  readonly key: string;
  /** Its address, or its /64 of IPv6. */
  readonly group: string;
  /** Closes it. */
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The sockets of unauthenticated clients: beyond the bound, the oldest of an address with many gives way. */
class Waiting {
  readonly #places: FairMap<Place>;
  readonly #connect_ms: number;
  #last = 0;

  constructor({ config: { centrifugo } }: CentrifugoContext) {
    this.#places = new FairMap(centrifugo.waiting_sockets, ({ group }) => group);
    this.#connect_ms = centrifugo.connect_ms;
  }

  get size(): number {
    return this.#places.size;
  }

  add(socket: CentrifugoSocket, remote_ip: string): Place {
    const timer = setTimeout(() => socket.close(DISCONNECT.stale, "stale"), this.#connect_ms);
    const place = { socket, key: String(++this.#last), group: groupOf(remote_ip), timer };
    const oldest = this.#places.set(place.key, place);
    if (oldest !== undefined) {
      clearTimeout(oldest.timer);
      oldest.socket.close(DISCONNECT.internal, "too many connections without a token are open");
    }
    return place;
  }

  /** Removes a socket; returns whether it was there. */
  delete({ key, timer }: Place): boolean {
    clearTimeout(timer);
    return this.#places.delete(key);
  }

  drain(): void {
    for (const [, { socket }] of this.#places.entries()) {
      socket.close(DISCONNECT.shutdown, "shutdown");
    }
  }
}
