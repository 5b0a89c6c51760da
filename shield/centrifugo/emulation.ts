/**
 * Centrifugo's clients without a WebSocket. They receive a stream, the response to a request, as server-sent events or
 * in the forms of `forms.ts`. They send commands in requests to any Shield. Each request names the Shield with the
 * stream, and the secret session id. Source:
 * https://github.com/centrifugal/centrifuge (`handler_sse.go`, `handler_http_stream.go`, `emulation.go`).
 */
import type { Env } from "../../shared/env.ts";
import { ArqonError, isId } from "@arqon/proto";
import { type AllowedOrigins, isOriginAllowed } from "../auth/origin.ts";
import type { Forwarding } from "../http/forwarding.ts";
import { readBody } from "../http/http_body.ts";
import { requireMethod } from "../http/http.ts";
import { answerWith } from "../sse/http/event_answer.ts";
import { STRANGERS } from "../../shared/turns/slices.ts";
import type { EventReaders } from "../sse/event_writer.ts";
import { SessionSocket, type SessionWire } from "../sse/session_socket.ts";
import { PING_LOST } from "../socket/client_socket.ts";
import { DISCONNECT } from "./codes.ts";
import { type Form, JSON_FORM, PROTOBUF_FORM } from "./forms.ts";

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
export const isEmulated = (path: string): boolean =>
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
export class Emulation {
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
