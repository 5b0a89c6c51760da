/**
 * Clients that all connect at once, each with a valid token, by sockets of `node:net`, which can choose their source
 * address. The outcome of each is read from the bytes of its answer.
 */
import { connect, type Socket } from "node:net";

/** The target of a crowd, and its requests. */
export interface CrowdOptions {
  readonly port: number;
  /** Path of the socket, and the token of all. */
  readonly path: string;
  readonly token: string;
  readonly count: number;
  /** The address of the client with this number; absent: all have 127.0.0.1. */
  readonly addressOf?: (number: number) => string;
}

/** The outcome of a crowd. */
export interface CrowdReport extends Disposable {
  /** Upgraded (101). They stay connected until the report is disposed. */
  readonly inside: number;
  /** Answered 503 with a Retry-After of at least a second. */
  readonly refused: number;
  /** All others, by the beginning of their answer: a status line, or "cut" without any byte. */
  readonly others: Readonly<Record<string, number>>;
}

/** Addresses of the loopback network, a different one for each number. */
export const loopbackOf = (number: number): string =>
  `127.1.${Math.floor(number / 250)}.${1 + number % 250}`;

/** The first part of the answer: its head, or "" if the connection ends without one. */
function headOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (part) => {
      text += part.toString("latin1");
      if (text.includes("\r\n\r\n")) resolve(text);
    });
    socket.on("error", () => resolve(text));
    socket.on("close", () => resolve(text));
  });
}

/** Connects all of them at once; resolves when each has its answer, or was cut off. */
export async function crowd(options: CrowdOptions): Promise<CrowdReport> {
  const { port, path, token, count, addressOf = () => "127.0.0.1" } = options;
  const request = `GET ${path} HTTP/1.1\r\nHost: bus\r\nUpgrade: websocket\r\n` +
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
    `Sec-WebSocket-Protocol: arqon.v1.json, arqon.token.${token}\r\n\r\n`;
  const sockets = Array.from({ length: count }, (_, number) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress: addressOf(number) });
    socket.on("connect", () => socket.write(request));
    return socket;
  });
  const heads = await Promise.all(sockets.map(headOf));
  let inside = 0;
  let refused = 0;
  const others: Record<string, number> = {};
  for (const head of heads) {
    if (head.startsWith("HTTP/1.1 101 ")) inside++;
    else if (head.startsWith("HTTP/1.1 503 ") && /^retry-after: [1-9]/im.test(head)) refused++;
    else {
      const what = head.split("\r\n")[0] || "cut";
      others[what] = (others[what] ?? 0) + 1;
    }
  }
  return {
    inside,
    refused,
    others,
    [Symbol.dispose]: () => sockets.forEach((socket) => socket.destroy()),
  };
}
