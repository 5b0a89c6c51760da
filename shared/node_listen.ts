/**
 * The client listener on `node:http(s)`, for what needs the bare socket of an upgrade: requests and
 * responses are the same as with `listen.ts`, which opens both kinds. What an upgraded socket speaks
 * is the taker's.
 */
import { Buffer } from "node:buffer";
import { createServer, STATUS_CODES } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { Readable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import type { Handler } from "./http_handler.ts";
import type { TlsPair } from "./tls_reload.ts";

/** Above what the largest token takes; a longer head is answered 431 by the runtime. */
const HEAD_BYTES_MAX = 131_072;

/** Where to listen. */
export interface NodeListenOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly handler: Handler;
  /** PEM texts; with them the listener speaks TLS. */
  readonly tls?: { cert: string; key: string } | undefined;
  /** Other processes serve the same port. */
  readonly reuse_port?: boolean;
}

/** The connection of an upgrade request, for whoever takes it over. */
export interface NodeUpgrade {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What has arrived beyond the request. */
  readonly head: Buffer;
  /** What the handler then returns: nothing of it is sent. */
  readonly response: Response;
}

/** An open `node:http` server. */
export interface NodeListener {
  readonly port: number;
  /** Stops accepting and ends idle connections; resolves when the last one has ended. */
  shutdown(): Promise<void>;
  /** Ends every connection that was not upgraded; the process need not wait for the others. */
  abandon(): void;
  /** Handshakes from now on use another pair; who is connected notices nothing. */
  renew(pair: TlsPair): void;
}

const offered = new WeakMap<Request, NodeUpgrade>();
const taken = new WeakSet<Response>();

/** The upgrade that a request of this listener is, once; undefined for any other request. */
export function takeUpgrade(request: Request): NodeUpgrade | undefined {
  const upgrade = offered.get(request);
  if (upgrade === undefined) return undefined;
  offered.delete(request);
  taken.add(upgrade.response);
  return upgrade;
}

/** Rejects with the runtime's own error when the address is taken, forbidden or not of this machine. */
export async function listenNode(options: NodeListenOptions): Promise<NodeListener> {
  const { host, port, handler, tls, reuse_port = false } = options;
  const secure = tls !== undefined;
  const settings = { maxHeaderSize: HEAD_BYTES_MAX };
  const server: Server = secure
    ? createTlsServer({ ...tls, ...settings }) as unknown as Server
    : createServer(settings);
  server.on("request", (request, response) => void answer(handler, secure, request, response));
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // A peer that vanishes is whoever's has taken the socket; before that, nobody's.
    socket.on("error", () => socket.destroy());
    void offer(handler, secure, { request, socket, head, response: new Response(null) });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host, reusePort: reuse_port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    shutdown() {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      return ended;
    },
    abandon() {
      server.closeAllConnections();
      server.unref();
    },
    renew(pair) {
      (server as unknown as TlsServer).setSecureContext({ ...pair });
    },
  };
}

function toRequest(request: IncomingMessage, secure: boolean, body: boolean): Request {
  const { method = "GET", url = "/", headers: { host = "localhost" } } = request;
  const headers = new Headers();
  const { rawHeaders } = request;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] as string, rawHeaders[at + 1] as string);
  }
  // An absolute target names its own host.
  const target = url.startsWith("/") ? `${secure ? "https" : "http"}://${host}${url}` : url;
  if (!body || method === "GET" || method === "HEAD") {
    return new Request(target, { method, headers });
  }
  const stream = Readable.toWeb(request) as NodeReadableStream as ReadableStream<Uint8Array>;
  return new Request(target, { method, headers, body: stream });
}

function infoOf({ socket }: IncomingMessage, completed: Promise<void>) {
  const { remoteAddress = "", remotePort = 0 } = socket;
  // An IPv4 peer of an IPv6 listener is what it is elsewhere.
  const hostname = remoteAddress.replace(/^::ffff:/, "");
  return { remoteAddr: { transport: "tcp" as const, hostname, port: remotePort }, completed };
}

async function respond(
  handler: Handler,
  make: () => Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
): Promise<[request: Request | undefined, response: Response]> {
  let request: Request;
  try {
    request = make();
  } catch {
    return [undefined, new Response("malformed request", { status: 400 })];
  }
  try {
    return [request, await handler(request, info)];
  } catch {
    return [request, new Response(null, { status: 500 })];
  }
}

async function answer(
  handler: Handler,
  secure: boolean,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const completed = new Promise<void>((resolve) => outgoing.once("close", resolve));
  const make = () => toRequest(incoming, secure, true);
  const [, response] = await respond(handler, make, infoOf(incoming, completed));
  const body = new Uint8Array(await response.arrayBuffer());
  if (outgoing.destroyed) return;
  const headers = headersOf(response);
  if (response.status !== 204) headers.push(["content-length", String(body.length)]);
  outgoing.writeHead(response.status, headers.flat());
  outgoing.end(incoming.method === "HEAD" ? undefined : body);
}

async function offer(
  handler: Handler,
  secure: boolean,
  upgrade: NodeUpgrade,
): Promise<void> {
  const { request: incoming, socket } = upgrade;
  const completed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const make = () => {
    const request = toRequest(incoming, secure, false);
    offered.set(request, upgrade);
    return request;
  };
  const [, response] = await respond(handler, make, infoOf(incoming, completed));
  if (taken.has(response)) return;
  const body = new Uint8Array(await response.arrayBuffer());
  if (!socket.writable) return;
  const lines = [
    `HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ""}`,
    ...headersOf(response).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${body.length}`,
    "connection: close",
  ];
  const head = new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
  // A peer that goes on sending would else keep it open.
  socket.end(Buffer.concat([head, body]), () => socket.destroy());
}

/** Without those that are about the connection. */
function headersOf(response: Response): [name: string, value: string][] {
  return [...response.headers].filter(([name]) => !/^(content-length|connection)$/.test(name));
}
