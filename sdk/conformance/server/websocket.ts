/** RFC 6455 on a TCP socket for tests, with half frames, resets and a server's close codes. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import type { ByteReader, HttpRequest } from "./http.ts";
import type { Incoming, Peer } from "./peer.ts";

const MESSAGE_BYTES_MAX = 67_108_864;
const TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa;
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** A whole frame of the server, without masking. */
function frameOf(opcode: number, body: Uint8Array): Uint8Array {
  const { length } = body;
  const long = length > 0xffff, short = length < 126;
  const head = new DataView(new ArrayBuffer(short ? 2 : long ? 10 : 4));
  head.setUint8(0, 0x80 | opcode);
  head.setUint8(1, short ? length : long ? 127 : 126);
  if (long) head.setBigUint64(2, BigInt(length));
  else if (!short) head.setUint16(2, length);
  return Buffer.concat([new Uint8Array(head.buffer), body]);
}

/** Answers the upgrade. */
export class WebSocketPeer implements Peer {
  readonly #socket: Socket;
  readonly #reader: ByteReader;
  #closed = false;

  constructor(socket: Socket, reader: ByteReader, request: HttpRequest) {
    this.#socket = socket;
    this.#reader = reader;
    const key = request.headers.get("sec-websocket-key") ?? "";
    const accept = createHash("sha1").update(key + KEY_SUFFIX).digest("base64");
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
        `sec-websocket-accept: ${accept}\r\nsec-websocket-protocol: arqon.v1\r\n\r\n`,
    );
  }

  /** One message in one frame. */
  send(message: Uint8Array | string): void {
    const text = typeof message === "string";
    const body = text ? new TextEncoder().encode(message) : message;
    this.#socket.write(frameOf(text ? TEXT : BINARY, body));
  }

  sendHalf(message: Uint8Array): void {
    const frame = frameOf(BINARY, message);
    this.#socket.write(frame.subarray(0, frame.length / 2));
  }

  /** Sends a close frame; the client's own and the end of the connection follow. */
  close(code: number, reason: string, behind?: Uint8Array): void {
    if (this.#closed) return;
    this.#closed = true;
    const body = Uint8Array.of(code >> 8, code & 0xff, ...new TextEncoder().encode(reason));
    const late = behind === undefined ? [] : [frameOf(BINARY, behind)];
    this.#socket.write(Buffer.concat([frameOf(CLOSE, body), ...late]));
  }

  /** Ends the TCP connection without a close frame: by a reset, or as at the end of a process. */
  cut(how: "reset" | "end"): void {
    this.#closed = true;
    if (how === "reset") this.#socket.resetAndDestroy();
    else this.#socket.destroySoon();
  }

  /** All items from the client, the end last. Answers its close and its WebSocket PINGs. */
  async *incoming(): AsyncGenerator<Incoming, void> {
    let parts: Uint8Array[] = [];
    let kind = BINARY;
    for (;;) {
      const frame = await this.#read();
      if (frame === undefined) return yield { kind: "end" };
      const { opcode, final, body } = frame;
      if (opcode === CLOSE) {
        const code = body.length < 2 ? 1005 : (body[0] ?? 0) << 8 | (body[1] ?? 0);
        this.close(code === 1005 ? 1000 : code, "");
        this.#socket.end();
        return yield { kind: "end", code, reason: new TextDecoder().decode(body.subarray(2)) };
      }
      if (opcode === PING) this.#socket.write(frameOf(PONG, body));
      if (opcode >= CLOSE) continue;
      if (opcode !== 0) kind = opcode;
      parts.push(body);
      if (!final) continue;
      const bytes = Buffer.concat(parts);
      parts = [];
      if (kind === TEXT) yield { kind: "text", text: new TextDecoder().decode(bytes) };
      else yield { kind: "binary", bytes: new Uint8Array(bytes) };
    }
  }

  async #read(): Promise<{ opcode: number; final: boolean; body: Uint8Array } | undefined> {
    const head = await this.#reader.take(2);
    if (head === undefined) return undefined;
    let size_bytes = (head[1] ?? 0) & 0x7f;
    if (size_bytes > 125) {
      const more = await this.#reader.take(size_bytes === 126 ? 2 : 8);
      if (more === undefined) return undefined;
      size_bytes = more.reduce((sum, byte) => sum * 256 + byte, 0);
    }
    if (size_bytes > MESSAGE_BYTES_MAX) return undefined;
    const mask = await this.#reader.take(4);
    const body = await this.#reader.take(size_bytes);
    if (mask === undefined || body === undefined) return undefined;
    for (let at = 0; at < body.length; at++) body[at] = (body[at] ?? 0) ^ (mask[at % 4] ?? 0);
    return { opcode: (head[0] ?? 0) & 0xf, final: (head[0] ?? 0) >= 0x80, body };
  }
}
