/**
 * Probes a listener as a client would: a connection over the network, with TLS if the listener speaks it, and one
 * request. It says whether the port serves; `door_watch.ts` reacts.
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

interface ProbeOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** True if the listener expects a PROXY header from this machine. */
  readonly proxied: boolean;
  readonly path: string;
  readonly timeout_ms: number;
}

/** The header of the PROXY protocol, version 2, for a proxy's own connection. */
const LOCAL_HEADER = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
/** Slices of the timeout; a longer one, since the process was stalled, counts as one. */
const PARTS = 10;
/** The status line must come within this many bytes. */
const ANSWER_BYTES_MAX = 4_096;

/**
 * Resolves with the status of the answer. Rejects with an Error whose `code` is the system's, or after the timeout,
 * counted only while this process ran.
 */
export const probe = (options: ProbeOptions): Promise<number> => exchange(options, statusOf);

/** As `probe`, with the beginning of the answer, body included. */
export const probeText = (options: ProbeOptions): Promise<string> => exchange(options, textOf);

async function exchange<T>(
  options: ProbeOptions,
  read: (socket: Socket) => Promise<T>,
): Promise<T> {
  const { timeout_ms, path, tls, proxied } = options;
  const sockets: { destroy(): void }[] = [];
  const late = Promise.withResolvers<never>();
  // A process that counted late also read late.
  let left = PARTS;
  const timer = setInterval(() => {
    if (--left === 0) late.reject(new Error(`no answer within ${timeout_ms} ms`));
  }, timeout_ms / PARTS);
  const ask = async () => {
    const { host, port } = options;
    const plain = connect({ host, port });
    sockets.push(plain);
    await happens(plain, "connect");
    if (proxied) plain.write(LOCAL_HEADER);
    let socket: Socket = plain;
    if (tls) {
      // This machine: its certificate does not matter.
      const secure = connectTls({ socket: plain, rejectUnauthorized: false });
      sockets.push(secure);
      await happens(secure, "secureConnect");
      socket = secure;
    }
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    return await read(socket);
  };
  try {
    return await Promise.race([ask(), late.promise]);
  } finally {
    clearInterval(timer);
    for (const socket of sockets.reverse()) socket.destroy();
  }
}

function happens(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("the connection was closed")));
  });
}

function textOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (bytes: Uint8Array) => {
      text += Buffer.from(bytes).toString("latin1");
      if (text.length > ANSWER_BYTES_MAX) resolve(text);
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}

function statusOf(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    socket.on("data", (bytes: Uint8Array) => {
      text += Buffer.from(bytes).toString("latin1");
      const status = /^HTTP\/1\.1 (\d{3}) [^\n]*\n/.exec(text)?.[1];
      if (status !== undefined) resolve(Number(status));
      else if (text.length > ANSWER_BYTES_MAX) reject(new Error("no HTTP answer"));
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without an answer")));
  });
}
