/**
 * A connection without WebSocket, as a socket: the frames that come are events of one answer that does
 * not end, those that go are requests of their own (docs/sse.md, Connections). It never reconnects, as
 * no socket does.
 */
import type { SocketLike } from "../options/options.ts";
import { EventParser } from "./event_parser.ts";
import type { ServerEvent } from "./event_parser.ts";
import { FrameQueue } from "./frame_queue.ts";
import { refreshToken } from "./refresh_token.ts";

const BROKEN = 1006, NORMAL = 1000;
/** How long a close waits for its answer, in ms: who is silent gets no more. */
const CLOSE_MS = 2_000;
const TOKEN = "arqon.token.";

/** The frame that an event says; the text as it is where it says none. */
function frameOf(data: string): ArrayBuffer | string {
  try {
    const said: unknown = JSON.parse(data);
    if (typeof said !== "string") return data;
    return Uint8Array.from(atob(said), (unit) => unit.charCodeAt(0)).buffer;
  } catch {
    return data;
  }
}

/** A socket over HTTP, for `ConnectOptions.webSocket`; its URL and `protocols` are a WebSocket's. */
export class HttpSocket implements SocketLike {
  binaryType = "arraybuffer";
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  progress = "over HTTP: no answer to its request";
  readonly #base: string;
  readonly #life = new AbortController();
  readonly #queue = new FrameQueue();
  /** Of the answer that does not end. Deno forgets a signal whose request is old: an abort alone leaves it open. */
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #token: string;
  /** Where frames go; "" before the Shield has said it. */
  #path = "";
  #sending_bytes = 0;
  #is_sending = false;
  #is_closing = false;
  #is_over = false;
  #closing: ReturnType<typeof setTimeout> | undefined;

  /** Opens at once; what comes of it is reported by events. Throws as `URL` does. */
  constructor(url: string, protocols: string[]) {
    const { protocol, host, pathname, search } = new URL(url);
    const base = `${protocol.replace("ws", "http")}//${host}`;
    this.#base = base + pathname.replace(/\/v1\/socket$/, "");
    this.#token = protocols.find((item) => item.startsWith(TOKEN))?.slice(TOKEN.length) ?? "";
    void this.#listen(`${this.#base}/v1/connections${search}`);
  }

  get bufferedAmount(): number {
    return this.#queue.bytes + this.#sending_bytes;
  }

  send(frame: Uint8Array): void {
    if (this.#is_closing) return;
    this.#queue.push(frame);
    this.#sendSoon();
  }

  /** Tells the Shield, after what was sent; `onclose` follows. */
  close(_code?: number, _reason?: string): void {
    if (this.#is_closing) return;
    this.#is_closing = true;
    if (this.#path === "") return this.#end(BROKEN, "");
    this.#queue.close();
    this.#sendSoon();
    this.#closing = setTimeout(() => this.#end(BROKEN, ""), CLOSE_MS);
  }

  async #listen(url: string): Promise<void> {
    try {
      const { ok, status, body } = await this.#fetch(url, {});
      if (!ok || !body) return this.#fail(`HTTP ${status}`);
      this.progress = `over HTTP: HTTP ${status}, and no event: a proxy may hold it back`;
      const parser = new EventParser();
      const reader = this.#reader = body.getReader();
      if (this.#is_over) return await reader.cancel();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return this.#end(this.#is_closing ? NORMAL : BROKEN, "");
        for (const event of parser.read(value)) this.#hear(event);
      }
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  #fetch(url: string, more: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(url, {
      ...more,
      headers: { ...more.headers, authorization: `Bearer ${this.#token}` },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: this.#life.signal,
    });
  }

  #hear({ name, data }: ServerEvent): void {
    if (this.#is_over) return;
    if (name === "message") return this.onmessage?.({ data: frameOf(data) });
    const said = JSON.parse(data);
    if (name === "session") {
      this.#path = String(said.path);
      this.progress = "over HTTP: its session, and no WELCOME";
      this.#sendSoon();
    } else if (name === "closed") this.#end(Number(said.code), String(said.reason));
  }

  #sendSoon(): void {
    if (this.#is_sending || this.#path === "") return;
    this.#is_sending = true;
    queueMicrotask(() => void this.#sendAll());
  }

  /** One request after another, so that frames come in their order. */
  async #sendAll(): Promise<void> {
    try {
      for (let batch; !this.#is_over && (batch = this.#queue.take()) !== undefined;) {
        const { body, last } = batch;
        this.#renew(body);
        this.#sending_bytes = body.length;
        const answer = await this.#fetch(this.#base + this.#path, {
          method: "POST",
          headers: { "content-type": "application/octet-stream" },
          body,
        });
        await answer.body?.cancel();
        this.#sending_bytes = 0;
        if (last) return this.#end(NORMAL, "");
        if (!answer.ok) return this.#fail(`HTTP ${answer.status}`);
      }
      this.#is_sending = false;
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  /** Requests go with the token that the connection was given last. */
  #renew(body: Uint8Array<ArrayBuffer>): void {
    const view = new DataView(body.buffer);
    for (let at = 4; at < body.length;) {
      const frame = body.subarray(at + 4, at += 4 + view.getUint32(at));
      this.#token = refreshToken(frame) ?? this.#token;
    }
  }

  #fail(message: string): void {
    if (this.#is_over) return;
    this.onerror?.({ message });
    this.#end(BROKEN, message);
  }

  #end(code: number, reason: string): void {
    if (this.#is_over) return;
    this.#is_over = this.#is_closing = true;
    clearTimeout(this.#closing);
    this.#life.abort();
    this.#reader?.cancel().catch(() => {});
    this.onclose?.({ code, reason });
  }
}
