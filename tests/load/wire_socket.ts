/**
 * A WebSocket client over `node:net` for processes that hold tens of thousands of connections: it
 * chooses its local address, which no other client of Deno can, and keeps nothing for each connection
 * but what has not come whole. It takes frames as a Shield sends them: whole, and never masked.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";

/** Where to, and as whom. */
export interface WireOptions {
  readonly hostname: string;
  readonly port: number;
  readonly token: string;
  /** Default: `arqon.v1`. */
  readonly subprotocol?: "arqon.v1" | "arqon.v1.json" | undefined;
  /** Source address, for example `127.0.0.7`; absent: the system chooses. */
  readonly local_address?: string | undefined;
  /** Hears each text or binary message; the bytes are good until it returns. */
  readonly onMessage: (body: Uint8Array) => void;
  /** Hears once that it is over, after it was open: 1006 without a close frame. */
  readonly onClose: (code: number, reason: string) => void;
}

const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const FINAL = 0x80;
const MASKED = 0x80;
const NORMAL = 1000;
const ABNORMAL = 1006;
/** Any key will do: it protects caches of browsers, which this is none of. */
const KEY = "AAAAAAAAAAAAAAAAAAAAAA==";
const HEAD_BYTES_MAX = 16_384;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A client's frame; the mask is 0, with which masking changes nothing. */
function clientFrame(opcode: number, body: Uint8Array): Uint8Array {
  const { length } = body;
  const size = length < 126
    ? [length]
    : length <= 0xffff
    ? [126, length >> 8, length & 0xff]
    : [127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 0xff)];
  const start = 1 + size.length + 4;
  const frame = new Uint8Array(start + length);
  frame[0] = FINAL | opcode;
  frame.set(size, 1);
  frame[1]! |= MASKED;
  frame.set(body, start);
  return frame;
}

/** Where a frame's body begins and ends; undefined while it is not whole. */
function frameAt(bytes: Uint8Array, at: number): [start: number, end: number] | undefined {
  if (bytes.length - at < 2) return undefined;
  const short = bytes[at + 1]! & 0x7f;
  const start = at + 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < start) return undefined;
  let size = start === at + 2 ? short : 0;
  for (let index = at + 2; index < start; index++) size = size * 256 + bytes[index]!;
  return start + size <= bytes.length ? [start, start + size] : undefined;
}

function requestText({ hostname, port, token, subprotocol = "arqon.v1" }: WireOptions): string {
  return [
    "GET /v1/socket HTTP/1.1",
    `Host: ${hostname}:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${KEY}`,
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Protocol: ${subprotocol}`,
    `Authorization: Bearer ${token}`,
    "\r\n",
  ].join("\r\n");
}

/** A refused upgrade. */
export class UpgradeError extends Error {
  override readonly name = "UpgradeError";
  /** Of HTTP; 0: the connection ended without an answer. */
  readonly status: number;
  /** When the server may be asked again, from its answer; undefined: it does not say. */
  readonly retry_after_ms: number | undefined;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
    const told = /"retry_after_ms":(\d+)/.exec(message)?.[1];
    this.retry_after_ms = told === undefined ? undefined : Number(told);
  }

  /** There may be room for it later: rate or admission. */
  get is_temporary(): boolean {
    return this.status === 429 || this.status === 503;
  }
}

/** Made by `openWire`. */
export class WireSocket {
  readonly #socket: Socket;
  readonly #options: WireOptions;
  readonly #opened = Promise.withResolvers<void>();
  #rest: Uint8Array | undefined;
  #state: "head" | "open" | "over" = "head";
  #close: [code: number, reason: string] = [ABNORMAL, ""];
  /** It answers PINGs of WebSocket, as every client must. */
  answers_pings = true;

  constructor(options: WireOptions) {
    this.#options = options;
    const { hostname: host, port, local_address } = options;
    const localAddress = local_address === undefined ? {} : { localAddress: local_address };
    const socket = connect({ host, port, noDelay: true, ...localAddress });
    this.#socket = socket;
    socket.on("connect", () => socket.write(requestText(options)));
    socket.on("data", (bytes: Uint8Array) => this.#onData(bytes));
    socket.on("error", (error: Error) => this.#end(error.message));
    socket.on("close", () => this.#end("it ended"));
  }

  /** Resolves with the 101 answer. Rejects with `UpgradeError`. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  get is_open(): boolean {
    return this.#state === "open";
  }

  /** Sends a message; nothing after the end. */
  send(body: Uint8Array | string): void {
    if (this.#state !== "open") return;
    const text = typeof body === "string";
    const opcode = text ? OPCODE.text : OPCODE.binary;
    this.#socket.write(clientFrame(opcode, text ? encoder.encode(body) : body));
  }

  /** Stops and goes on with reading, as a slow client does. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Closes in order (1000); the other side's answer ends it. */
  close(): void {
    if (this.#state === "open") {
      this.#close = [NORMAL, ""];
      const code = new Uint8Array([NORMAL >> 8, NORMAL & 0xff]);
      this.#socket.write(clientFrame(OPCODE.close, code));
    } else this.#socket.destroy();
  }

  /** Ends the TCP connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  #onData(bytes: Uint8Array): void {
    const all = this.#rest === undefined ? bytes : joined(this.#rest, bytes);
    this.#rest = undefined;
    const start = this.#state === "head" ? this.#takeHead(all) : 0;
    if (start === undefined) return;
    const at = this.#takeFrames(all, start);
    if (at < all.length && this.#state !== "over") this.#rest = all.slice(at);
  }

  /** Where the frames begin; undefined: nowhere yet. */
  #takeHead(all: Uint8Array): number | undefined {
    const text = decoder.decode(all.subarray(0, HEAD_BYTES_MAX));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      this.#rest = all.slice();
      return undefined;
    }
    const status = Number(text.slice(9, 12));
    if (status !== 101) {
      this.#state = "over";
      this.#opened.reject(new UpgradeError(status, text));
      this.#socket.destroy();
      return undefined;
    }
    this.#state = "open";
    this.#opened.resolve();
    return end + 4;
  }

  #takeFrames(all: Uint8Array, start: number): number {
    let at = start;
    for (;;) {
      const found = this.#state === "open" ? frameAt(all, at) : undefined;
      if (found === undefined) return at;
      this.#onFrame(all[at]! & 0x0f, all.subarray(...found));
      at = found[1];
    }
  }

  #onFrame(opcode: number, body: Uint8Array): void {
    if (opcode === OPCODE.text || opcode === OPCODE.binary) this.#options.onMessage(body);
    else if (opcode === OPCODE.ping) {
      if (this.answers_pings) this.#socket.write(clientFrame(OPCODE.pong, body));
    } else if (opcode === OPCODE.close) {
      if (body.length >= 2) {
        this.#close = [body[0]! << 8 | body[1]!, decoder.decode(body.subarray(2))];
      }
      this.#socket.end(clientFrame(OPCODE.close, body.subarray(0, 2)));
    }
  }

  #end(why: string): void {
    if (this.#state === "over") return;
    const was_open = this.#state === "open";
    this.#state = "over";
    this.#rest = undefined;
    if (was_open) this.#options.onClose(...this.#close);
    else this.#opened.reject(new UpgradeError(0, why));
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** Connects. Rejects with `UpgradeError` when it is refused or there is nobody. */
export async function openWire(options: WireOptions): Promise<WireSocket> {
  const socket = new WireSocket(options);
  await socket.opened;
  return socket;
}
