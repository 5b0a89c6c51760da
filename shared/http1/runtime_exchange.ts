/**
 * Requests and answers on one connection by the runtime's own HTTP server, the only one that can open its WebSockets on
 * a connection accepted by us. The counterpart of `exchange.ts`, with the same time limits as far as a server that
 * reads on its own allows.
 */
import { isStreamed } from "./answer.ts";
import type { Arrival } from "./arrivals.ts";
import { closeQuietly } from "./byte_stream.ts";
import type { ByteStream } from "./byte_stream.ts";
import { answerTo, awaitTurn } from "./exchange.ts";
import type { ExchangeContext, TakenConnection, UpgradeTaker } from "./exchange.ts";
import { Attached } from "../containers/attached.ts";
import { onGoneAsked, onTokenShown } from "./handled_request.ts";
import { NO_TURN } from "../turns/fair_turns.ts";

/** One request of `Deno.serveHttp`. */
interface RequestEvent {
  readonly request: Request;
  respondWith(response: Response): Promise<void>;
}

interface HttpConnection {
  nextRequest(): Promise<RequestEvent | null>;
  close(): void;
}

type ServeHttp = (conn: Deno.Conn) => HttpConnection;

/**
 * The runtime's HTTP on an accepted connection, which the types of Deno 2 omit. `Deno.serve` accepts on its own, and so
 * can neither limit connections nor survive a lack of descriptors.
 */
export function runtimeHttp(): ServeHttp {
  const { serveHttp } = Deno as typeof Deno & { serveHttp?: ServeHttp };
  if (serveHttp !== undefined) return serveHttp;
  throw new Error(
    `Deno ${Deno.version.deno} has no Deno.serveHttp, which [server] websocket = "native" needs; expected websocket = "own"`,
  );
}

/** Takes over the WebSocket of a request. */
export interface RuntimeUpgrade {
  /** Call it once, before the handler returns; `lost` is called if the peer disconnected before its answer. */
  take(taker: Pick<UpgradeTaker, "lost">): void;
  /** Call it when the WebSocket has ended. */
  ended(): void;
}

const offered = new Attached<Request, RuntimeUpgrade>();

/** Takes the upgrade of a request, once; undefined if there is none, or the listener is another kind. */
export function takeRuntimeUpgrade(request: Request): RuntimeUpgrade | undefined {
  return offered.take(request);
}

/** One accepted connection after its handshake. */
export interface RuntimeConnection {
  readonly arrival: Arrival;
  /** The runtime's own connection. */
  readonly stream: ByteStream;
  readonly remoteAddr: Deno.NetAddr;
}

/** Serves one connection until it ends or is a WebSocket. Rejects if it breaks. */
export async function serveByRuntime(
  context: ExchangeContext,
  { arrival, stream, remoteAddr }: RuntimeConnection,
): Promise<TakenConnection | undefined> {
  const { arrivals, isClosing, turns } = context;
  const http = runtimeHttp()(stream as Deno.TcpConn);
  arrival.stream = http;
  try {
    let turn = NO_TURN;
    /** The next request, read ahead, since only that shows that the peer has disconnected. */
    let ahead: Promise<RequestEvent | null> | undefined;
    const onGone = (tell: () => void) => {
      ahead ??= http.nextRequest();
      ahead.then((next) => next === null && tell(), tell);
    };
    for (let first = true;; first = false) {
      // The runtime closes the connection after a last answer, once that is sent.
      const closes = isClosing() || arrival.away !== undefined;
      arrivals.enter(arrival, first ? "head" : closes ? "closing" : "idle");
      const event = await (ahead ?? http.nextRequest());
      ahead = undefined;
      if (event === null) break;
      // From here on it waits for us.
      arrivals.enter(arrival, "handler");
      const its_turn = awaitTurn(context, arrival);
      if (its_turn !== undefined) await its_turn;
      if (arrival.ended) {
        // A request that came just before the close would keep the connection open for ever.
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
    /** Has `tell` called when the peer disconnects. */
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
  const watched = onTokenShown(timed(request, context, arrival), () => arrivals.know(arrival));
  onGoneAsked(watched, () => {
    const gone = new AbortController();
    onGone(() => gone.abort());
    return gone.signal;
  });
  const response = await answerTo(context, arrival, watched, { remoteAddr, completed });
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
    // A streamed answer takes as long as its body.
    arrivals.enter(arrival, isStreamed(response) ? "handler" : "answer");
    const closes = isClosing() || arrival.away !== undefined;
    if (closes) response.headers.set("connection", "close");
    await event.respondWith(response);
  } finally {
    complete();
  }
}

/** A WebSocket of the runtime; its listener must know when it ends. */
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

  run(onOver: () => void): void {
    // From here on the runtime reports its end.
    this.#taker = undefined;
    void this.#over.promise.then(onOver);
  }
}

function valuesOf({ headers }: Request, name: string): string[] {
  const value = headers.get(name);
  return value === null ? [] : [value];
}

/**
 * The request with a time limit for its body. A request without a body is returned unchanged, or it could not be
 * upgraded.
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
