/**
 * Requests and answers on one connection, one after the other, until it ends or is upgraded: the shell around
 * `head.ts`. `arrivals.ts` has the time limits, `listener.ts` the connections.
 */
import { Attached } from "../containers/attached.ts";
import { isStreamed, streamAnswer, writeAnswer } from "./answer.ts";
import type { Arrival, Arrivals, Away } from "./arrivals.ts";
import { BodyReader, endOfHead, MalformedRequest, parseHead, valuesOf } from "./head.ts";
import type { RequestHead } from "./head.ts";
import { onGoneAsked, onTokenShown } from "./handled_request.ts";
import { closeQuietly, Inbound, isLive, writeAll } from "./byte_stream.ts";
import type { ByteStream, LiveStream } from "./byte_stream.ts";
import { NO_TURN } from "../turns/fair_turns.ts";
import type { Turns } from "../turns/fair_turns.ts";

/** Answers one request; must not reject, or the client gets a bare 500. */
export type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

/** The longest head of a request, more than the largest token needs. A longer one is answered 431. */
const HEAD_BYTES_MAX = 131_072;
/** Bytes of an unread body that are skipped so that the next request can follow. */
const DISCARDED_BYTES_MAX = 65_536;
/** Bytes skipped after a refusal: a reset would take the answer from the peer. */
const LINGER_BYTES_MAX = 1_048_576;
const CR = 13, LF = 10;
const encoder = new TextEncoder();

/** The connection of a GET or POST, for a taker: an upgrade, or an endless answer. */
export interface BareUpgrade {
  /** The response that the handler must return; it is not sent. */
  readonly response: Response;
  /**
   * Call it once, before the handler returns: `handshake` is sent, then the taker has the stream. Throws TypeError
   * unless the body has been read to its end.
   */
  take(handshake: Uint8Array<ArrayBuffer>, taker: UpgradeTaker): void;
}

/** The protocol on an upgraded connection. */
export interface UpgradeTaker {
  /**
   * Runs the connection; `early` has bytes after the request. `onOver` is called once, when the stream is closed: a
   * promise for each connection would live as long as it. Never throws.
   */
  run(stream: LiveStream, early: Uint8Array<ArrayBuffer>, onOver: () => void): void;
  /** Called in place of `run` if the peer disconnected before the handshake was sent. */
  lost(): void;
}

/** An upgraded connection. It keeps nothing of its request, since there may be many. */
export interface TakenConnection {
  /** Runs the taker; `onOver` is called once, at its end. */
  run(onOver: () => void): void;
}

const offered = new Attached<Request, BareUpgrade>();

/** Takes the connection of a request, once; undefined if it cannot be taken. */
export function takeBareUpgrade(request: Request): BareUpgrade | undefined {
  return offered.take(request);
}

/**
 * Finds the client behind a peer; for a peer that is its own client, the same object. `valuesOf` returns all values of
 * a header, whose name is in lower case.
 */
export type ClientOf = (
  peer: Deno.NetAddr,
  valuesOf: (name: string) => readonly string[],
) => Deno.NetAddr;

/** Answers the only request of a rejected connection. */
export type TurnAway = (
  ...call: [...request: Parameters<Handler>, why: Away]
) => ReturnType<Handler>;

/** What all connections of a listener share. */
export interface ExchangeContext {
  readonly handler: Handler;
  /** Absent: rejected connections are closed without an answer. */
  readonly turnAway: TurnAway | undefined;
  readonly secure: boolean;
  readonly arrivals: Arrivals;
  /** Once true, a connection serves no further request. */
  readonly isClosing: () => boolean;
  /**
   * Fair queue: one request of a connection in a turn; strangers share turns, since checking their tokens is expensive.
   */
  readonly turns: Turns;
  readonly date: () => string;
  /** Finds the client of a request: the peer, or its client if the peer is a proxy. */
  readonly clientOf: ClientOf;
  /** A handler has thrown, or the body of a streamed answer has failed. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * Waits for the turn of a request: of a stranger's always, unless it is rejected, which costs almost nothing; of
 * another once requests have had their time of this turn. Undefined: it goes on at once, before the next one is looked
 * at.
 */
export function awaitTurn(
  { turns }: ExchangeContext,
  arrival: Arrival,
): Promise<void> | undefined {
  if (arrival.away !== undefined) return undefined;
  if (!arrival.stranger) {
    turns.begin(arrival);
    if (!turns.isLate(Infinity)) return undefined;
  }
  arrival.queued = true;
  return turns.later().finally(() => arrival.queued = false);
}

/** The answer of the handler, or of `turnAway` for a rejected connection. */
export async function answerTo(
  { handler, turnAway, onFailure }: ExchangeContext,
  { away }: Arrival,
  request: Request,
  info: Parameters<Handler>[1],
): Promise<Response> {
  try {
    if (away !== undefined && turnAway !== undefined) {
      return await turnAway(request, info, away);
    }
    return await handler(request, info);
  } catch (error) {
    onFailure(error);
    return new Response(null, { status: 500 });
  }
}

/** One accepted connection. */
export interface ExchangeConnection {
  readonly arrival: Arrival;
  readonly stream: ByteStream;
  readonly remoteAddr: Deno.NetAddr;
  /** Bytes that have been read from the connection already. */
  readonly early: Uint8Array<ArrayBuffer>;
}

/**
 * Serves one connection to its end, or until it is upgraded. Never rejects; unless it was upgraded, the stream is
 * closed when it resolves.
 */
export async function serveConnection(
  context: ExchangeContext,
  connection: ExchangeConnection,
): Promise<TakenConnection | undefined> {
  const { arrival, stream } = connection;
  const exchange = new Exchange(context, connection);
  try {
    // Between pipelined requests, other connections have their turn.
    for (let turn = NO_TURN; await exchange.next();) turn = await context.turns.next(turn);
    if (exchange.taken !== undefined) return exchange.taken;
  } catch {
    // The peer disconnected, or its connection was closed by a timeout.
  } finally {
    context.arrivals.remove(arrival);
  }
  closeQuietly(stream);
}

class Exchange {
  readonly #context: ExchangeContext;
  readonly #arrival: Arrival;
  readonly #stream: ByteStream;
  readonly #remoteAddr: Deno.NetAddr;
  readonly #inbound: Inbound;
  #first = true;
  taken: TakenConnection | undefined;

  constructor(context: ExchangeContext, connection: ExchangeConnection) {
    this.#context = context;
    this.#arrival = connection.arrival;
    this.#stream = connection.stream;
    this.#remoteAddr = connection.remoteAddr;
    this.#inbound = new Inbound(connection.stream, connection.early);
  }

  /** Serves one request; false if the connection is done. Rejects if it breaks. */
  async next(): Promise<boolean> {
    const { arrivals } = this.#context;
    try {
      const head = await this.#readHead();
      if (head === undefined) return false;
      // From here on it waits for us.
      arrivals.enter(this.#arrival, "handler");
      const its_turn = awaitTurn(this.#context, this.#arrival);
      if (its_turn !== undefined) await its_turn;
      if (this.#arrival.ended) return false;
      const more = await this.#answer(head);
      arrivals.noteAnswer(this.#arrival);
      return more;
    } catch (error) {
      if (!(error instanceof MalformedRequest)) throw error;
      arrivals.enter(this.#arrival, "answer");
      const response = new Response(`${error.message}\n`, { status: error.status });
      await this.#respond(response, { method: "GET", keep_alive: false });
      await this.#linger();
      return false;
    }
  }

  async #readHead(): Promise<RequestHead | undefined> {
    const { arrivals, isClosing } = this.#context;
    const inbound = this.#inbound;
    if (!this.#first && isClosing()) return undefined;
    if (inbound.bytes.length === 0) {
      arrivals.enter(this.#arrival, this.#first ? "head" : "idle");
      if (!await inbound.more()) return undefined;
    }
    this.#first = false;
    arrivals.enter(this.#arrival, "head");
    for (let looked = 0;;) {
      // RFC 9112, 2.2: an empty line before a request is skipped.
      if (inbound.bytes[0] === CR && inbound.bytes[1] === LF) inbound.take(2);
      const end = endOfHead(inbound.bytes, Math.max(0, looked - 3));
      if (end > HEAD_BYTES_MAX || end < 0 && inbound.bytes.length > HEAD_BYTES_MAX) {
        throw new MalformedRequest(431, `a head of more than ${HEAD_BYTES_MAX} bytes`);
      }
      if (end >= 0) return parseHead(inbound.take(end));
      looked = inbound.bytes.length;
      if (!await inbound.more()) return undefined;
    }
  }

  async #answer(head: RequestHead): Promise<boolean> {
    const { arrivals, secure, clientOf } = this.#context;
    const body = new BodyReader(head.framing);
    const remoteAddr = clientOf(this.#remoteAddr, (name) => valuesOf(head.headers, name));
    if (remoteAddr !== this.#remoteAddr) arrivals.move(this.#arrival, remoteAddr.hostname);
    const expects = { now: head.expects_continue && !body.done };
    const request = toRequest(head, secure, body.done ? null : this.#bodyStream(body, expects));
    let taken: { handshake: Uint8Array<ArrayBuffer>; taker: UpgradeTaker } | undefined;
    const marker = new Response(null);
    const stream = this.#stream;
    // An upgrade, or an answer that ends with its connection.
    if (isLive(stream) && (body.done ? head.method === "GET" : head.method === "POST")) {
      offered.set(request, {
        response: marker,
        take(handshake, taker) {
          if (!body.done) throw new TypeError("the body has not been read");
          taken = { handshake, taker };
        },
      });
    }
    onTokenShown(request, () => arrivals.know(this.#arrival));
    let answering = false;
    onGoneAsked(request, () => {
      const gone = new AbortController();
      if (body.done && taken === undefined) void this.#readAhead(gone, () => answering);
      return gone.signal;
    });
    const { promise: completed, resolve: complete } = Promise.withResolvers<void>();
    const info = { remoteAddr, completed };
    const response = await answerTo(this.#context, this.#arrival, request, info);
    answering = true;
    try {
      if (response === marker && taken !== undefined && isLive(stream)) {
        const { handshake, taker } = taken;
        // The connection has shown a token; from here on the taker limits it.
        this.#context.arrivals.remove(this.#arrival);
        try {
          await writeAll(stream, handshake);
        } catch (error) {
          taker.lost();
          throw error;
        }
        this.taken = takenBy(taker, stream, this.#inbound.release());
        return false;
      }
      if (response.status < 400) arrivals.know(this.#arrival);
      arrivals.enter(this.#arrival, "answer");
      // An unread body is not waited for; bytes that have arrived are skipped.
      if (!isStreamed(response) && !body.done) {
        this.#inbound.take(body.read(this.#inbound.bytes, 0, () => {}));
      }
      const closes = response.headers.get("connection")?.toLowerCase() === "close" ||
        body.left_bytes > DISCARDED_BYTES_MAX;
      const keep_alive = head.keep_alive && !closes && !expects.now &&
        !this.#context.isClosing() && this.#arrival.away === undefined;
      if (isStreamed(response) && head.method !== "HEAD") {
        await this.#tell(response);
        return false;
      }
      await this.#respond(response, { method: head.method, keep_alive });
      if (!keep_alive) {
        if (!body.done) await this.#linger();
        return false;
      }
      return await this.#discard(body);
    } finally {
      complete();
    }
  }

  /** Reads on while the handler works, and keeps the bytes: only that shows that the peer has disconnected. */
  async #readAhead(gone: AbortController, isOver: () => boolean): Promise<void> {
    try {
      while (this.#inbound.bytes.length < HEAD_BYTES_MAX) {
        const more = await this.#inbound.more();
        if (isOver()) return;
        if (!more) return gone.abort();
      }
    } catch {
      gone.abort();
    }
  }

  #bodyStream(
    body: BodyReader,
    expects: { now: boolean },
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { arrivals } = this.#context;
    let begun = false;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        if (!begun) arrivals.enter(this.#arrival, "body");
        begun = true;
        if (expects.now) {
          expects.now = false;
          await writeAll(this.#stream, encoder.encode("HTTP/1.1 100 Continue\r\n\r\n"));
        }
        const parts: Uint8Array<ArrayBuffer>[] = [];
        while (parts.length === 0 && !body.done) {
          if (this.#inbound.bytes.length === 0 && !await this.#inbound.more()) {
            throw new TypeError("the connection ended in the middle of a body");
          }
          // The parts are copied, since the next read overwrites them.
          const keep = (part: Uint8Array) => void parts.push(new Uint8Array(part));
          this.#inbound.take(body.read(this.#inbound.bytes, 0, keep));
        }
        for (const part of parts) controller.enqueue(part);
        if (!body.done) return;
        arrivals.enter(this.#arrival, "handler");
        controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Reads to the end of the body, so that the next request can follow. False if that is too much. */
  async #discard(body: BodyReader): Promise<boolean> {
    let bytes = 0;
    while (!body.done) {
      if (this.#inbound.bytes.length === 0 && !await this.#inbound.more()) return false;
      bytes += this.#inbound.bytes.length;
      if (bytes > DISCARDED_BYTES_MAX) {
        await this.#linger();
        return false;
      }
      this.#inbound.take(body.read(this.#inbound.bytes, 0, () => {}));
    }
    return true;
  }

  #respond(
    response: Response,
    { method, keep_alive }: Pick<RequestHead, "method" | "keep_alive">,
  ): Promise<void> {
    return writeAnswer(this.#stream, response, { method, keep_alive, date: this.#context.date() });
  }

  /** Streams the body while the peer is connected; reading detects the disconnect. */
  async #tell(response: Response): Promise<void> {
    const { arrivals, date, onFailure } = this.#context;
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    const watch = async () => {
      this.#inbound.take(this.#inbound.bytes.length);
      while (await this.#inbound.more()) this.#inbound.take(this.#inbound.bytes.length);
    };
    watch().then(resolve, resolve);
    await streamAnswer(this.#stream, response, {
      date: date(),
      gone,
      onFailure,
      onWrite: () => arrivals.enter(this.#arrival, "answer"),
      onWritten: () => arrivals.enter(this.#arrival, "handler"),
    });
  }

  /** Lets a peer that is still sending read the answer before the end. */
  async #linger(): Promise<void> {
    this.#context.arrivals.enter(this.#arrival, "closing");
    await this.#stream.closeWrite();
    for (let bytes = 0; bytes < LINGER_BYTES_MAX;) {
      bytes += this.#inbound.bytes.length;
      this.#inbound.take(this.#inbound.bytes.length);
      if (!await this.#inbound.more()) return;
    }
  }
}

const takenBy = (taker: UpgradeTaker, stream: LiveStream, early: Uint8Array<ArrayBuffer>) => ({
  run: (onOver: () => void) => taker.run(stream, early, onOver),
});

/** Methods that `Request` refuses; the handler answers 405 with the allowed ones. */
const UNKNOWN_TO_FETCH = ["TRACE", "TRACK"];

function toRequest(
  { method, target, host, headers }: RequestHead,
  secure: boolean,
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
): Request {
  const origin = `${secure ? "https" : "http"}://${host === "" ? "localhost" : host}`;
  const url = target === "*" ? origin : target.startsWith("/") ? origin + target : target;
  try {
    // A GET with a body is answered as one without; the body is skipped.
    const is_unknown = UNKNOWN_TO_FETCH.includes(method);
    const bare = body === null || method === "GET" || method === "HEAD" || is_unknown;
    const request = new Request(url, is_unknown ? {} : { method, ...(bare ? {} : { body }) });
    if (is_unknown) Object.defineProperty(request, "method", { value: method });
    // A list of its own would be walked and checked twice.
    for (const [name, value] of headers) request.headers.append(name, value);
    return request;
  } catch {
    throw new MalformedRequest(400, "the request is malformed");
  }
}
