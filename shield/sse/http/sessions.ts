/**
 * Connections without WebSocket: `GET /v1/connections` opens one, as a stream of events that are its frames, and `POST
 * /v1/connections/{connection}` takes its client's frames. If a proxy buffers streams, `GET
 * /v1/connections/{connection}` polls the events. A request may reach any Shield: it is forwarded to the one with the
 * stream. `shield/sse/session_socket.ts` is the connection.
 */
import type { EventsContext } from "./events.ts";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { clientGone } from "../../../shared/http1/handled_request.ts";
import type { Identity } from "../../auth/identity.ts";
import { GzipStream } from "../../../shared/http1/gzip.ts";
import { PolledStream } from "../polled_stream.ts";
import { FrameEvents, SessionSocket } from "../session_socket.ts";
import { bump } from "../../stats/stats.ts";
import { answerWith, headersOf, requireAccepted } from "./event_answer.ts";
import type { Forwarding } from "../../http/forwarding.ts";
import { NOTHING } from "../../../shared/http1/byte_stream.ts";
import { EVENT_ROUTES } from "./routes.ts";
import type { ClientCall, ClientRoute } from "../../http/route.ts";

/** How long a poll waits for events: less than the timeouts of proxies and of another Shield. */
const POLL_MS = 8_000;
/** The bytes of a batch without its frames: their lengths. */
const LENGTHS_BYTES = 8_192;

/**
 * The dependencies of connections over HTTP: those of streams of events, and the path to the Shield with the stream.
 */
export interface SessionsContext
  extends
    Pick<EventsContext, "enter" | "readers" | "rates" | "stats" | "origins" | "packer">,
    Pick<Env, "node_id" | "now"> {
  readonly forwarding: Forwarding;
  readonly heartbeat_ms: number;
  readonly max_frame_bytes: number;
}

/** One open session, and its owner. */
interface Session {
  readonly socket: SessionSocket;
  readonly owner: string;
  /** The polled stream; undefined: the client does not poll. */
  readonly polled: PolledStream | undefined;
}

const ownerOf = ({ tenant_id, user_key }: Identity): string => `${tenant_id}\n${user_key}`;

/** Makes the routes, and receives batches forwarded by other Shields. */
export function sessionRoutes(context: SessionsContext): ClientRoute[] {
  const sessions = new Sessions(context);
  return [
    { ...EVENT_ROUTES.connect, answer: (call) => sessions.open(call) },
    { ...EVENT_ROUTES.poll, answer: (call) => sessions.poll(call) },
    { ...EVENT_ROUTES.frames, answer: (call) => sessions.frames(call) },
  ];
}

class Sessions {
  readonly #context: SessionsContext;
  readonly #wire = new FrameEvents();
  readonly #open = new Map<string, Session>();

  constructor(context: SessionsContext) {
    this.#context = context;
  }

  async open({ request, client, url }: ClientCall): Promise<Response> {
    const context = this.#context;
    bump(context.stats.ingress_ops, "http_connect");
    context.rates.take(client.identity, request.url.length);
    requireAccepted(request);
    const headers = headersOf(context, request);
    const polled = url.searchParams.get("poll") === "0"
      ? new PolledStream(Math.max(context.heartbeat_ms, POLL_MS))
      : undefined;
    if (polled !== undefined) headers.delete("content-encoding");
    // The answer to a HEAD has only the head of the GET, and opens nothing.
    if (request.method === "HEAD") return new Response(null, { headers });
    await context.forwarding.listen(
      "frames",
      async ({ connection = "", owner: encoded = "", poll, gone }, body) => {
        const owner = decodeURIComponent(encoded);
        if (poll === undefined) return await this.#take(connection, owner, body);
        if (gone === undefined) return await this.#polled(connection, owner, Number(poll));
        this.#stream(connection, owner).missed(Number(poll));
      },
    );
    const place: { id?: string } = {};
    const socket = new SessionSocket({
      ...context,
      wire: this.#wire,
      gzip: headers.has("content-encoding") ? new GzipStream(context.packer) : undefined,
      onGone: () => place.id !== undefined && this.#open.delete(place.id),
    });
    const opening = { socket, listen: socket.listen.bind(socket) };
    const { connection: { id } } = await context.enter(request, client, () => opening, "binary");
    place.id = id;
    this.#open.set(id, { socket, owner: ownerOf(client.identity), polled });
    socket.begin(`/v1/connections/${id}?node=${encodeURIComponent(context.node_id)}`);
    if (polled === undefined) return answerWith(request, socket.writer, headers, context.now());
    socket.writer.run(polled, NOTHING);
    return new Response(await polled.take(0, POLL_MS), { headers });
  }

  async poll({ request, client, url, names: { connection = "" } }: ClientCall): Promise<Response> {
    const context = this.#context;
    context.rates.take(client.identity, request.url.length);
    const headers = headersOf(context, request);
    headers.delete("content-encoding");
    if (request.method === "HEAD") return new Response(null, { headers });
    const poll = url.searchParams.get("poll") ?? "";
    const node = url.searchParams.get("node") ?? context.node_id;
    const owner = ownerOf(client.identity);
    const gone = clientGone(request);
    const body = node === context.node_id
      ? await this.#polled(connection, owner, Number(poll), gone)
      : await this.#pollAt(node, { connection, owner: encodeURIComponent(owner), poll }, gone);
    return new Response(new Uint8Array(body), { headers });
  }

  /** Polls the Shield with the stream, which is notified if the client disconnects. */
  async #pollAt(
    node: string,
    polled: Readonly<Record<string, string>>,
    gone: AbortSignal,
  ): Promise<Uint8Array> {
    const forward = (more: object) =>
      this.#context.forwarding.forward("frames", node, { ...polled, ...more }, NOTHING);
    // If the notice is lost, unanswered PINGs end the connection later.
    const notify = () => void forward({ gone: "true" }).catch(() => {});
    gone.addEventListener("abort", notify, { once: true });
    return await forward({});
  }

  async #polled(connection: string, owner: string, number: number, gone?: AbortSignal) {
    return await this.#stream(connection, owner).take(number, POLL_MS, gone);
  }

  #stream(connection: string, owner: string): PolledStream {
    const session = this.#open.get(connection);
    if (session?.polled === undefined || session.owner !== owner) throw unknown(connection);
    return session.polled;
  }

  async frames(
    { request, client, url, body: bodyOf, names: { connection = "" } }: ClientCall,
  ): Promise<Response> {
    const { max_frame_bytes, node_id } = this.#context;
    const node = url.searchParams.get("node") ?? node_id;
    const owner = ownerOf(client.identity);
    const is_known = node === node_id && this.#open.get(connection)?.owner === owner;
    // A connection has its own rates. A request without a connection counts like any other.
    if (!is_known) this.#context.rates.take(client.identity, request.url.length);
    if (!is_known && node === node_id) throw unknown(connection);
    const body = await bodyOf(2 * max_frame_bytes + LENGTHS_BYTES);
    if (node === node_id) await this.#take(connection, owner, new Uint8Array(body));
    else {
      const headers = { connection, owner: encodeURIComponent(owner) };
      await this.#context.forwarding.forward("frames", node, headers, body);
    }
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  }

  async #take(
    connection: string,
    owner: string,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const session = this.#open.get(connection);
    if (session?.owner !== owner) throw unknown(connection);
    await session.socket.take(body);
  }
}

const unknown = (connection: string) =>
  new ArqonError("not-found", `there is no connection ${JSON.stringify(connection.slice(0, 64))}`);
