/**
 * A WebSocket client for load generation, for whole frames only: no fragments, no extensions. It exists because Deno's
 * own client writes a body above 1 KiB after its header in two writes without TCP_NODELAY, so that Nagle's algorithm
 * and delayed acknowledgements delay each by about 44 ms.
 */
import { concat } from "../../shared/containers/concat.ts";
import { setImmediate } from "node:timers";

/** A connected WebSocket. */
export interface LoadSocket {
  /** Sends one binary frame, which is queued if the kernel's buffer is full. */
  send(body: Uint8Array): void;
  /** Sends one text frame; the bytes are UTF-8. */
  sendText(body: Uint8Array): void;
  /** Called for each binary frame, in order; the bytes are valid until it returns. */
  onmessage: (body: Uint8Array) => void;
  /** Called for each text frame with its UTF-8; the bytes are valid until it returns. */
  ontext: (body: Uint8Array) => void;
  /** Called once with the reason if the socket has ended without a call of `close`. */
  onend: (why: string) => void;
  close(): void;
}

/** The options of a connection. */
export interface SocketOptions {
  /** PEM of the trusted authority, for a `wss:` URL. */
  readonly ca?: string;
}

const TEXT = 0x81;
/** The first byte of a whole binary frame. */
export const BINARY = 0x82;
const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;
const MASKED = 0x80;
/**
 * Size of a new connection's buffer. A connection that fills it in one read gets a buffer of twice the size, up to the
 * larger size.
 */
const BUFFER_BYTES = 2_048;
const BUFFER_BYTES_MAX = 262_144;

/** The bytes of a client's frame. Its mask is 0, which changes nothing. */
export function clientFrame(opcode: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = body;
  const head = length <= 125
    ? [opcode, MASKED | length]
    : length <= 0xffff
    ? [opcode, MASKED | 126, length >> 8, length & 0xff]
    : [
      ...[opcode, MASKED | 127, 0, 0, 0, 0],
      ...[24, 16, 8, 0].map((shift) => (length >>> shift) & 255),
    ];
  const frame = new Uint8Array(head.length + 4 + length);
  frame.set(head);
  frame.set(body, head.length + 4);
  return frame;
}

/** The start and end of a frame's body; undefined until the frame is complete. */
function frameAt(
  buffer: Uint8Array,
  at: number,
  end: number,
): [start: number, end: number] | undefined {
  if (end - at < 2) return undefined;
  const short = buffer[at + 1]! & 0x7f;
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
  const start = at + 2 + extra;
  if (end < start) return undefined;
  let size_bytes = extra === 0 ? short : 0;
  for (let index = at + 2; index < start; index++) size_bytes = size_bytes * 256 + buffer[index]!;
  return start + size_bytes <= end ? [start, start + size_bytes] : undefined;
}

/** The request of an upgrade, with additional header lines. */
export function upgradeRequest(
  url: URL,
  protocols: readonly string[],
  ...more: readonly string[]
): Uint8Array {
  const lines = [
    `GET ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${crypto.getRandomValues(new Uint8Array(16)).toBase64()}`,
    "Sec-WebSocket-Version: 13",
    ...(protocols.length === 0 ? [] : [`Sec-WebSocket-Protocol: ${protocols.join(", ")}`]),
    ...more,
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

/** Received bytes, from which complete frames are taken. */
class Incoming {
  #buffer = new Uint8Array(BUFFER_BYTES);
  #end = 0;
  #filled = false;

  async read(connection: Deno.Conn): Promise<boolean> {
    const { length } = this.#buffer;
    if (this.#end === length || (this.#filled && length < BUFFER_BYTES_MAX)) {
      const larger = new Uint8Array(length * 2);
      larger.set(this.#buffer.subarray(0, this.#end));
      this.#buffer = larger;
    }
    const count = await connection.read(this.#buffer.subarray(this.#end));
    this.#end += count ?? 0;
    this.#filled = this.#end === this.#buffer.length;
    return count !== null;
  }

  /** Takes the head of the answer as text; undefined until it is complete. */
  takeHead(): string | undefined {
    const text = new TextDecoder("latin1").decode(this.#buffer.subarray(0, this.#end));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    this.#drop(end + 4);
    return text.slice(0, end);
  }

  /** Takes this many bytes as text; undefined until they have arrived. */
  takeText(bytes: number): string | undefined {
    if (this.#end < bytes) return undefined;
    const text = new TextDecoder().decode(this.#buffer.subarray(0, bytes));
    this.#drop(bytes);
    return text;
  }

  takeFrames(onFrame: (opcode: number, body: Uint8Array) => void): void {
    let at = 0;
    for (;;) {
      const found = frameAt(this.#buffer, at, this.#end);
      if (found === undefined) break;
      onFrame(this.#buffer[at]!, this.#buffer.subarray(...found));
      at = found[1];
    }
    this.#drop(at);
  }

  #drop(count: number): void {
    this.#buffer.copyWithin(0, count, this.#end);
    this.#end -= count;
  }
}

function writer(connection: Deno.Conn): (frame: Uint8Array) => void {
  let waiting: Uint8Array[] = [];
  let writing = false;
  const drain = async () => {
    writing = true;
    while (waiting.length > 0) {
      const bytes = waiting.length === 1 ? waiting[0]! : concat(waiting);
      waiting = [];
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    }
    writing = false;
  };
  return (frame) => {
    waiting.push(frame);
    // A failed write is ignored: the missing answers show that the connection has ended.
    if (!writing) drain().catch(() => {});
  };
}

async function connect(url: URL, { ca }: SocketOptions): Promise<Deno.Conn> {
  const tls = url.protocol === "wss:";
  const port = Number(url.port) || (tls ? 443 : 80);
  const connection = await Deno.connect({ hostname: url.hostname, port });
  connection.setNoDelay(true);
  if (!tls) return connection;
  const caCerts = ca === undefined ? [] : [ca];
  return await Deno.startTls(connection, { hostname: url.hostname, caCerts });
}

/** The answer to a refused upgrade. */
export class UpgradeRefused extends Error {
  /** 0 if there was no answer. */
  readonly status: number;

  constructor(address: string, readonly head: string, readonly body: string) {
    const [line = ""] = head.split("\r\n", 1);
    super(`no WebSocket at ${address}: ${line || "it ended"}`);
    this.status = Number(line.split(" ")[1] ?? 0);
  }
}

/** Connects to a `ws:` or `wss:` URL. Rejects with `UpgradeRefused` when the upgrade is refused. */
export async function connectSocket(
  address: string,
  protocols: readonly string[] = [],
  options: SocketOptions = {},
): Promise<LoadSocket> {
  const url = new URL(address);
  const connection = await connect(url, options);
  const write = writer(connection);
  const incoming = new Incoming();
  write(upgradeRequest(url, protocols));
  let head: string | undefined;
  while (head === undefined && await incoming.read(connection)) head = incoming.takeHead();
  if (head?.startsWith("HTTP/1.1 101") !== true) {
    const length = Number(/^content-length: (\d+)/im.exec(head ?? "")?.[1] ?? 0);
    let body = incoming.takeText(length);
    while (body === undefined && await incoming.read(connection)) body = incoming.takeText(length);
    connection.close();
    throw new UpgradeRefused(address, head ?? "", body ?? "");
  }
  let closed = false;
  const socket: LoadSocket = {
    onmessage: () => {},
    ontext: () => {},
    onend: () => {},
    send: (body) => write(clientFrame(BINARY, body)),
    sendText: (body) => write(clientFrame(TEXT, body)),
    close() {
      if (closed) return;
      closed = true;
      connection.close();
    },
  };
  const end = (why: string) => {
    if (closed) return;
    socket.close();
    socket.onend(why);
  };
  const onFrame = (opcode: number, body: Uint8Array) => {
    if (opcode === BINARY) socket.onmessage(body);
    else if (opcode === TEXT) socket.ontext(body);
    else if (opcode === PING) write(clientFrame(PONG, body));
    else if (opcode === CLOSE) end(closeReason(body));
    else if (opcode !== PONG) throw new Error(`a frame that begins with ${opcode.toString(16)}`);
  };
  const listen = async () => {
    // Frames that came with the answer wait until the caller of this function has set its handlers.
    for (let turn = 0; turn < 3; turn++) await undefined;
    do incoming.takeFrames(onFrame); while (!closed && await incoming.read(connection));
  };
  // Reading ends with an error when this side closes the socket or the other side resets it.
  const ended = () =>
    listen().then(() => end("the server ended it"), (error) => end(String(error)));
  // A frame may have come with the head of the answer, so the caller sets its handlers first.
  setImmediate(ended);
  return socket;
}

function closeReason(body: Uint8Array): string {
  const code = body.length < 2 ? "" : ` ${body[0]! * 256 + body[1]!}`;
  return `the server closed it:${code} ${new TextDecoder().decode(body.subarray(2))}`.trimEnd();
}
