/**
 * Requests and answers on one connection by the runtime's own HTTP server, which alone can open its
 * WebSockets on a connection that we have accepted. The counterpart of `exchange.ts`, with the same
 * time limits, as far as they can be kept for a server that reads on its own.
 */
import { isStreamed } from "./answer.ts";
import type { Arrival } from "./arrivals.ts";
import { closeQuietly } from "./byte_stream.ts";
import type { ByteStream } from "./byte_stream.ts";
import { answerTo, awaitTurn } from "./exchange.ts";
import type { ExchangeContext, TakenConnection, UpgradeTaker } from "./exchange.ts";
import { onGoneAsked } from "./client_gone.ts";
import { onTokenShown } from "./shown_token.ts";
import { NO_TURN } from "../turns/turns.ts";

/** One request, as `Deno.serveHttp` gives it. */
interface RequestEvent {
  readonly request: Request;
  respondWith(response: Response): Promise<void>;
}

/** HTTP on one connection, which it owns from then on. */
interface HttpConnection {
  nextRequest(): Promise<RequestEvent | null>;
  close(): void;
}

type ServeHttp = (conn: Deno.Conn) => HttpConnection;

/**
 * The runtime's HTTP on a connection that somebody else accepted; the types of Deno 2 leave it out.
 * `Deno.serve` accepts on its own, and so can neither bound who comes nor survive a lack of files.
 */
export function runtimeHttp(): ServeHttp {
  const { serveHttp } = Deno as typeof Deno & { serveHttp?: ServeHttp };
  if (serveHttp !== undefined) return serveHttp;
  throw new Error(
    `Deno ${Deno.version.deno} has no Deno.serveHttp, which [server] websocket = "native" needs; expected websocket = "own"`,
  );
}

/** Takes over the WebSocket that a request became. */
export interface RuntimeUpgrade {
  /**
   * To be called once, before the handler returns; `lost` is called when the peer had gone before
   * its answer.
   */
  take(taker: Pick<UpgradeTaker, "lost">): void;
  /** To be called when the WebSocket has ended. */
  ended(): void;
}

const offered = new WeakMap<Request, RuntimeUpgrade>();

/**
 * Takes the upgrade of a request, once; undefined for a request that is none, or not of such a
 * listener.
 */
export function takeRuntimeUpgrade(request: Request): RuntimeUpgrade | undefined {
  const upgrade = offered.get(request);
  offered.delete(request);
  return upgrade;
}

/** One accepted connection, its handshake done. */
export interface RuntimeConnection {
  readonly arrival: Arrival;
  /** The runtime's own connection. */
  readonly stream: ByteStream;
  readonly remoteAddr: Deno.NetAddr;
}

/** Serves one connection until it ends or is a WebSocket. Rejects when it breaks. */
export async function serveByRuntime(
  context: ExchangeContext,
  { arrival, stream, remoteAddr }: RuntimeConnection,
): Promise<TakenConnection | undefined> {
  const { arrivals, isClosing, turns } = context;
  const http = runtimeHttp()(stream as Deno.TcpConn);
  arrival.stream = http;
  try {
    let turn = NO_TURN;
    /** The next request, which is waited for already, as only that shows that the peer has gone. */
    let ahead: Promise<RequestEvent | null> | undefined;
    const onGone = (tell: () => void) => {
      ahead ??= http.nextRequest();
      ahead.then((next) => next === null && tell(), tell);
    };
    for (let first = true;; first = false) {
      // The runtime ends the connection itself after a last answer, once that is sent.
      const closes = isClosing() || arrival.away !== undefined;
      arrivals.enter(arrival, first ? "head" : closes ? "closing" : "idle");
      const event = await (ahead ?? http.nextRequest());
      ahead = undefined;
      if (event === null) break;
      // From here on it waits for us.
      arrivals.enter(arrival, "handler");
      await awaitTurn(context, arrival);
      if (arrival.ended) {
        // A request that came just before its connection was closed would keep that open for ever.
        await event.respondWith(new Response(null, { status: 503 })).catch(() => {});
        break;
      }
      const taken = await answer(context, arrival, event, { peer: remoteAddr, onGone });
      arrivals.noteAnswer(arrival);
      if (taken !== undefined) return taken;
      turn = await turns.next(turn);
    }
    closeQuietly(http);
  } catch (error) {
    closeQuietly(http);
    throw error;
  } finally {
    arrivals.remove(arrival);
  }
}

async function answer(
  context: ExchangeContext,
  arrival: Arrival,
  event: RequestEvent,
  { peer, onGone }: {
    readonly peer: Deno.NetAddr;
    /** Has `tell` called when the peer has gone. */
    readonly onGone: (tell: () => void) => void;
  },
): Promise<TakenConnection | undefined> {
  const { arrivals, isClosing, clientOf } = context;
  const { request } = event;
  const remoteAddr = clientOf(peer, (name) => valuesOf(request, name));
  if (remoteAddr !== peer) arrivals.move(arrival, remoteAddr.hostname);
  const socket = new RuntimeSocket();
  if (request.method === "GET") offered.set(request, socket);
  const { promise: completed, resolve: complete } = Promise.withResolvers<void>();
  const asked = onTokenShown(timed(request, context, arrival), () => arrivals.know(arrival));
  onGoneAsked(asked, () => {
    const gone = new AbortController();
    onGone(() => gone.abort());
    return gone.signal;
  });
  const response = await answerTo(context, arrival, asked, { remoteAddr, completed });
  try {
    if (response.status === 101) {
      arrivals.remove(arrival);
      await event.respondWith(response).catch((error) => {
        socket.lost();
        throw error;
      });
      return socket;
    }
    if (response.status < 400) arrivals.know(arrival);
    // An answer that comes piece by piece takes as long as there is something to tell.
    arrivals.enter(arrival, isStreamed(response) ? "handler" : "answer");
    const closes = isClosing() || arrival.away !== undefined;
    if (closes) response.headers.set("connection", "close");
    await event.respondWith(response);
  } finally {
    complete();
  }
}

/** A WebSocket of the runtime, whose listener must know how long it is there. */
class RuntimeSocket implements RuntimeUpgrade, TakenConnection {
  #taker: Pick<UpgradeTaker, "lost"> | undefined;
  readonly #over = Promise.withResolvers<void>();

  take(taker: Pick<UpgradeTaker, "lost">): void {
    this.#taker = taker;
  }

  ended(): void {
    this.#over.resolve();
  }

  lost(): void {
    this.#taker?.lost();
    this.#over.resolve();
  }

  run(): Promise<void> {
    // From here on the runtime reports its end, and nobody else has to.
    this.#taker = undefined;
    return this.#over.promise;
  }
}

function valuesOf({ headers }: Request, name: string): string[] {
  const value = headers.get(name);
  return value === null ? [] : [value];
}

/**
 * The request with a body that has a time limit. A request without a body stays itself, or it could
 * not be upgraded.
 */
function timed(request: Request, { arrivals }: ExchangeContext, arrival: Arrival): Request {
  const { method, headers, url, body } = request;
  const empty = method === "GET" || method === "HEAD" || body === null ||
    !headers.has("transfer-encoding") && (headers.get("content-length") ?? "0") === "0";
  if (empty) return request;
  const reader = body.getReader();
  let begun = false;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (!begun) arrivals.enter(arrival, "body");
      begun = true;
      const { done, value } = await reader.read();
      if (!done) return controller.enqueue(value);
      arrivals.enter(arrival, "handler");
      controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return new Request(url, { method, headers, body: stream });
}
