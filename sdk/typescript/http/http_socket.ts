/** A connection over HTTP with the interface of a WebSocket (docs/sse.md, Connections). */
import type { SocketLike } from "../options/options.ts";

/** One event. */
export interface ServerEvent {
  /** "message" if it has no name. */
  readonly name: string;
  readonly data: string;
}

/** Reads one stream. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #line = "";
  #name = "";
  #data: string[] = [];

  /** The events that these bytes complete. */
  read(bytes: Uint8Array): ServerEvent[] {
    const events: ServerEvent[] = [];
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#line = lines.pop()!;
    for (const line of lines) this.#take(line.replace(/\r$/, ""), events);
    return events;
  }

  #take(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        events.push({ name: this.#name || "message", data: this.#data.join("\n") });
      }
      this.#name = "";
      this.#data = [];
    }
    const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line)!;
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
  }
}

const REFRESH = 0x06;
/** Protobuf wire type of a bytes field: the lowest bits of its tag. */
const BYTES = 2;

/** The token of a REFRESH frame; undefined for other frames. */
export function refreshToken(frame: Uint8Array): string | undefined {
  if (frame[0] !== REFRESH) return undefined;
  for (let at = 1; at < frame.length;) {
    const tag = frame[at++]!;
    let value = 0;
    for (let shift = 0, byte = 128; byte >= 128; shift += 7) {
      byte = frame[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
    }
    // The id precedes it; there is no third field.
    if (tag % 8 === BYTES) return new TextDecoder().decode(frame.subarray(at, at + value));
  }
  return undefined;
}

/** Bounds of a batch; it has at least one frame. */
const FRAMES_MAX = 1_024;
const BATCH_BYTES = 131_072;

/** The frames of one session. */
export class FrameQueue {
  #frames: Uint8Array[] = [];
  #number = 0;
  #closes = false;
  /** Bytes of the queued frames. */
  bytes = 0;
  /** The connection's latest token, for requests: changes with the batch that has the REFRESH. */
  token: string;

  constructor(token = "") {
    this.token = token;
  }

  /** Frames are copied: the sender may reuse its buffer. */
  push(frame: Uint8Array): void {
    this.#frames.push(frame.slice());
    this.bytes += frame.length;
  }

  /** The last batch closes the connection. */
  close(): void {
    this.#closes = true;
  }

  /** Takes the next batch; undefined: nothing to send. */
  take(): { readonly body: Uint8Array<ArrayBuffer>; readonly last: boolean } | undefined {
    let count = 0;
    let size = 4;
    for (const { length } of this.#frames) {
      if (count === FRAMES_MAX || (count > 0 && size + length > BATCH_BYTES)) break;
      size += 4 + length;
      count++;
    }
    const last = this.#closes && count === this.#frames.length;
    if (count === 0 && !last) return undefined;
    const body = new Uint8Array(size + (last ? 4 : 0));
    const view = new DataView(body.buffer);
    view.setUint32(0, this.#number++);
    let at = 4;
    for (const frame of this.#frames.splice(0, count)) {
      view.setUint32(at, frame.length);
      body.set(frame, at + 4);
      at += 4 + frame.length;
      this.bytes -= frame.length;
      this.token = refreshToken(frame) ?? this.token;
    }
    if (last) this.#closes = false;
    return { body, last };
  }
}

const BROKEN = 1006, NORMAL = 1000;
/** How long a close waits for its answer, in ms. */
const CLOSE_MS = 2_000;
const TOKEN = "arqon.token.";

/** Without a byte of the stream after this time, in ms, a proxy is buffering it. */
const HELD_MS = 4_000;
/** How long a bus behind such a proxy is polled without trying a stream, in ms. */
const REMEMBERED_MS = 600_000;
/** Pause between two polls, in ms: messages of that time come in one answer. */
const PAUSE_MS = 20;
/** Until when a bus is polled without trying a stream, by `performance.now`. */
const POLLED = new Map<string, number>();

/** The frame in an event's data; the text itself if it has none. */
function frameOf(data: string): ArrayBuffer | string {
  try {
    const parsed: unknown = JSON.parse(data);
    if (typeof parsed !== "string") return data;
    return Uint8Array.from(atob(parsed), (unit) => unit.charCodeAt(0)).buffer;
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
  readonly #parser = new EventParser();
  #life = new AbortController();
  readonly #queue: FrameQueue;
  /**
   * The reader of the streaming response. Deno drops the signal of an old request, so an abort alone would leave it
   * open.
   */
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The path that frames are posted to; "" until the Shield has sent it. */
  #path = "";
  #sending_bytes = 0;
  #is_sending = false;
  #is_closing = false;
  #is_over = false;
  #closing: ReturnType<typeof setTimeout> | undefined;
  /** Timer for an overdue first event. */
  #late: ReturnType<typeof setTimeout> | undefined;

  /** Opens at once; events report the result. Throws as `URL` does. */
  constructor(url: string, protocols: string[]) {
    const { protocol, host, pathname, search } = new URL(url);
    const base = `${protocol.replace("ws", "http")}//${host}`;
    this.#base = base + pathname.replace(/\/v1\/socket$/, "");
    const token = protocols.find((item) => item.startsWith(TOKEN))?.slice(TOKEN.length) ?? "";
    this.#queue = new FrameQueue(token);
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

  /** Sends the close after queued frames; `onclose` follows. */
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
      const is_held = performance.now() < (POLLED.get(this.#base) ?? 0);
      if (is_held || !await this.#stream(url)) await this.#poll(url);
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  /** Reads the streaming response. False: no byte of it has arrived. */
  async #stream(url: string): Promise<boolean> {
    let is_held = false;
    this.#late = setTimeout(() => {
      is_held = true;
      this.#life.abort();
      this.#life = new AbortController();
      // Its request was aborted.
      this.#reader?.cancel().catch(() => {});
    }, HELD_MS);
    try {
      const { ok, status, body } = await this.#fetch(url, {});
      if (!ok || !body) this.#fail(`HTTP ${status}`);
      else {
        this.progress = `over HTTP: HTTP ${status}, and no event: a proxy may hold it back`;
        await this.#read(body);
        if (!is_held) this.#end(this.#is_closing ? NORMAL : BROKEN, "");
      }
    } catch (error) {
      if (!is_held) throw error;
    }
    return !is_held || this.#is_over;
  }

  /** Polls: each response ends once it has an event. */
  async #poll(url: string): Promise<void> {
    this.progress = "over HTTP, polled as its stream was held back: no answer to its request";
    const open = `${url}${url.includes("?") ? "&" : "?"}poll=0`;
    for (let poll = 0; !this.#is_over; poll++) {
      const next = poll === 0 ? open : `${this.#base}${this.#path}&poll=${poll}`;
      const { ok, status, body } = await this.#fetch(next, {});
      if (!ok || !body) return this.#fail(`HTTP ${status}`);
      await this.#read(body);
      if (this.#path === "") return this.#fail("a poll, and no session");
      POLLED.set(this.#base, performance.now() + REMEMBERED_MS);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = this.#reader = body.getReader();
    if (this.#is_over) return await reader.cancel();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of this.#parser.read(value)) this.#receive(event);
    }
  }

  #fetch(url: string, more: RequestInit & { headers?: Record<string, string> }): Promise<Response> {
    return fetch(url, {
      ...more,
      headers: { ...more.headers, authorization: `Bearer ${this.#queue.token}` },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: this.#life.signal,
    });
  }

  #receive({ name, data }: ServerEvent): void {
    if (this.#is_over) return;
    if (name === "message") return this.onmessage?.({ data: frameOf(data) });
    const parsed = JSON.parse(data);
    if (name === "session") {
      clearTimeout(this.#late);
      this.#path = String(parsed.path);
      this.progress = "over HTTP: its session, and no WELCOME";
      this.#sendSoon();
    } else if (name === "closed") this.#end(Number(parsed.code), String(parsed.reason));
  }

  #sendSoon(): void {
    if (this.#is_sending || this.#path === "") return;
    this.#is_sending = true;
    queueMicrotask(() => void this.#sendAll());
  }

  /** One request after another, so that frames arrive in order. */
  async #sendAll(): Promise<void> {
    try {
      for (let batch; !this.#is_over && (batch = this.#queue.take()) !== undefined;) {
        const { body, last } = batch;
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

  #fail(message: string): void {
    if (this.#is_over) return;
    this.onerror?.({ message });
    this.#end(BROKEN, message);
  }

  #end(code: number, reason: string): void {
    if (this.#is_over) return;
    this.#is_over = this.#is_closing = true;
    clearTimeout(this.#closing);
    clearTimeout(this.#late);
    this.#life.abort();
    // Its request was aborted.
    this.#reader?.cancel().catch(() => {});
    this.onclose?.({ code, reason });
  }
}
