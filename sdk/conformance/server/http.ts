/**
 * The part of HTTP/1.1 that a scripted server needs: one request and one answer. `Deno.serve` cannot send half a
 * WebSocket frame and then reset the connection.
 */
import type { Socket } from "node:net";

const HEAD_BYTES_MAX = 32_768;
const BODY_BYTES_MAX = 1_048_576;

/** Reads a peer's bytes in pieces of a requested size. The peer's end and its reset are equal. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array();

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** Exactly this many bytes; undefined if the peer ends before. */
  async take(size_bytes: number): Promise<Uint8Array | undefined> {
    while (this.#buffer.length < size_bytes) if (!await this.#more()) return undefined;
    const taken = this.#buffer.slice(0, size_bytes);
    this.#buffer = this.#buffer.subarray(size_bytes);
    return taken;
  }

  /** The head of a request, without the empty line; undefined if there is none. */
  async head(): Promise<string | undefined> {
    for (;;) {
      const text = new TextDecoder("latin1").decode(this.#buffer);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#buffer = this.#buffer.subarray(end + 4);
        return text.slice(0, end);
      }
      if (text.length > HEAD_BYTES_MAX || !await this.#more()) return undefined;
    }
  }

  async #more(): Promise<boolean> {
    try {
      const { value, done } = await this.#chunks.next();
      if (done === true) return false;
      const joined = new Uint8Array(this.#buffer.length + value.length);
      joined.set(this.#buffer);
      joined.set(value, this.#buffer.length);
      this.#buffer = joined;
      return true;
    } catch {
      // A reset by the peer or by this side: there are no more bytes.
      return false;
    }
  }
}

/** One request. Header names are in lower case. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

/** One answer; `body` is sent as JSON. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The next request; undefined if the peer sends none. */
export async function readRequest(reader: ByteReader): Promise<HttpRequest | undefined> {
  const [line = "", ...rest] = (await reader.head())?.split("\r\n") ?? [];
  const [method, target] = line.split(" ");
  if (method === undefined || target === undefined || !target.startsWith("/")) return undefined;
  const headers = new Map(rest.map((header) => {
    const colon = header.indexOf(":");
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
  }));
  const size_bytes = Number(headers.get("content-length") ?? 0);
  if (!(size_bytes <= BODY_BYTES_MAX)) return undefined;
  const body = await reader.take(size_bytes);
  if (body === undefined) return undefined;
  return { method, url: new URL(target, "http://peer.invalid"), headers, body };
}

/** Writes the answer and closes the connection. */
export function answer(socket: Socket, { status, headers = {}, body }: HttpAnswer): void {
  const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
  const all: Record<string, string> = {
    "content-type": "application/json",
    ...headers,
    "content-length": String(bytes.length),
    "connection": "close",
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status} Status\r\n${lines.join("")}\r\n`);
  socket.end(bytes);
}
