/**
 * An answer that is a stream of events: the check that the request accepts one, its head, and the change of the
 * connection into the stream. `shield/sse/` makes the events.
 */
import { ArqonError, ruleOf } from "@arqon/proto";
import { clientGone } from "../../../shared/http1/handled_request.ts";
import { takeBareUpgrade } from "../../../shared/http1/exchange.ts";
import { type ByteSink, NOTHING, type OutStream } from "../../../shared/http1/byte_stream.ts";
import { type AllowedOrigins, isOriginAllowed } from "../../auth/origin.ts";
import { concat } from "../../../shared/containers/concat.ts";
import { eventBytes, retryBytes } from "../event_text.ts";
import type { EventWriter } from "../event_writer.ts";
import { acceptsGzip, isAccepted } from "../../../shared/http1/header_list.ts";

/** The media type of the answer. */
const EVENT_STREAM = "text/event-stream";

const HEADERS = {
  "content-type": EVENT_STREAM,
  "cache-control": "no-store, no-transform",
  // nginx and others buffer answers unless a header forbids it.
  "x-accel-buffering": "no",
};

/** Throws `not-acceptable` (406) if the request accepts no events. */
export function requireAccepted(request: Request): void {
  const types = ["*/*", "text/*", EVENT_STREAM];
  const takes = isAccepted(request.headers.get("accept") ?? "*/*", types);
  if (!takes) throw new ArqonError("not-acceptable", `the answer is ${EVENT_STREAM}`);
}

/** The head of the answer. */
export function headersOf(
  { origins }: { readonly origins: AllowedOrigins },
  request: Request,
): Headers {
  const headers = new Headers({ ...HEADERS, "vary": "accept-encoding" });
  if (acceptsGzip(request)) headers.set("content-encoding", "gzip");
  const origin = request.headers.get("origin");
  if (origin !== null && isOriginAllowed(origin, origins)) {
    headers.set("access-control-allow-origin", origin);
    headers.append("vary", "origin");
  }
  return headers;
}

/** The wait of a reader after a refusal that names none. */
const AGAIN_MS = 5_000;

/**
 * The answer to a reader that this Shield cannot serve now: a stream that ends, and when to come again. For a status
 * `EventSource` would give up for good. Undefined: the refusal is lasting, or the request does not ask for events.
 */
export function comeAgain(
  request: Request,
  { code, reason, message, retry_after_ms }: ArqonError,
  fraction: number,
): Response | undefined {
  const asks = request.headers.get("accept")?.includes(EVENT_STREAM) === true;
  const { client } = ruleOf(reason);
  const passes = client === "back-off" || client === "other-node";
  if (!passes || request.method !== "GET" || !asks) return undefined;
  const refused = JSON.stringify({ op: "err", code, reason, message });
  const body = concat([
    retryBytes((retry_after_ms || AGAIN_MS) * (1 + fraction)),
    eventBytes("refused", refused),
    eventBytes("closed", JSON.stringify({ code: 1012, reason })),
  ]);
  return new Response(body, { headers: { ...HEADERS, connection: "close" } });
}

/**
 * Answers on the connection itself, whose end is then the end of the answer, also for HTTP/1.0; or with a body, if the
 * connection cannot be taken over. `now_ms` is Unix ms.
 */
export function answerWith(
  request: Request,
  writer: EventWriter,
  headers: Headers,
  now_ms: number,
): Response {
  const taken = takeBareUpgrade(request);
  if (taken === undefined) {
    const stream = new BodyStream();
    writer.run(stream, NOTHING);
    clientGone(request).addEventListener("abort", () => stream.lost(), { once: true });
    return new Response(stream.body, { headers });
  }
  const lines = ["HTTP/1.1 200 OK", ...Array.from(headers, ([name, value]) => `${name}: ${value}`)];
  lines.push(`date: ${new Date(now_ms).toUTCString()}`, "connection: close");
  taken.take(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`), writer);
  return taken.response;
}

// The body of an answer as a writable connection: for listeners whose connections cannot be taken over, which are the
// runtime's.

/** Bytes that the runtime accepts before it has sent them. */
const HELD_BYTES = 65_536;

class BodyStream implements OutStream {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #sink: ByteSink | undefined;
  #is_writing = false;

  constructor() {
    this.body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#onPull(),
      cancel: () => this.#onGone(),
    }, { highWaterMark: HELD_BYTES, size: ({ length }) => length });
  }

  flow(sink: ByteSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#controller?.enqueue(bytes);
    this.#is_writing = (this.#controller?.desiredSize ?? 0) <= 0;
    return !this.#is_writing;
  }

  #onPull(): void {
    if (!this.#is_writing) return;
    this.#is_writing = false;
    this.#sink?.written();
  }

  /** The peer has disconnected, which the runtime detects only when something is sent. */
  lost(): void {
    const controller = this.#controller;
    this.#onGone();
    controller?.close();
  }

  #onGone(): void {
    this.#controller = undefined;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.ended();
  }

  closeWrite(): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  close(): void {
    this.#sink = undefined;
    this.#controller?.close();
    this.#controller = undefined;
  }
}
