/**
 * A program that is the limit for comparisons: WebSocket servers that only echo (`/echo`) or send a message
 * once to each receiver of a room (`/rooms`, frames as in `wire_raw.ts`), on Deno's own server or on the npm
 * package `ws`. Its argument is `BareOptions` as JSON; it prints `{"url"}`.
 */
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { WebSocketServer } from "ws";
import { RAW } from "../wires/wire_raw.ts";

/** The options of a bare server. */
export interface BareOptions {
  readonly kind: "deno" | "ws";
  /** The certificate in PEM; absent: no TLS. */
  readonly cert?: string;
  readonly key?: string;
}

/** The functions of a socket of either kind that are used here. */
interface Sink {
  send(data: Uint8Array | ArrayBuffer): void;
}

/** A socket of the package `ws`, which brings no types. */
interface WsSocket extends Sink {
  on(event: "message", listener: (data: Uint8Array) => void): void;
  on(event: "close", listener: () => void): void;
}

const HOST = "127.0.0.1";
const latin1 = new TextDecoder("latin1");
const rooms = new Map<string, Set<Sink>>();
const SUBSCRIBED = new Uint8Array([RAW.subscribe]);

/** Handles a frame of `/rooms`. A message is sent on as the frame in which it came. */
function onRoomFrame(socket: Sink, frame: Uint8Array): void {
  const room = latin1.decode(frame.subarray(2, 2 + frame[1]!));
  const members = rooms.get(room);
  if (frame[0] === RAW.publish) {
    if (members !== undefined) { for (const member of members) member.send(frame); }
    return;
  }
  if (members === undefined) rooms.set(room, new Set([socket]));
  else members.add(socket);
  socket.send(SUBSCRIBED);
}

function leave(socket: Sink): void {
  for (const [room, members] of rooms) {
    if (members.delete(socket) && members.size === 0) rooms.delete(room);
  }
}

function serveDeno({ cert, key }: BareOptions): void {
  const tls = cert === undefined || key === undefined ? {} : { cert, key };
  Deno.serve({
    hostname: HOST,
    port: 0,
    ...tls,
    onListen: ({ port }) => announce(port, cert !== undefined),
  }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    if (request.url.endsWith("/echo")) socket.onmessage = (event) => socket.send(event.data);
    else {
      socket.onmessage = (event) => onRoomFrame(socket, new Uint8Array(event.data));
      socket.onclose = () => leave(socket);
    }
    return response;
  });
}

function serveWs({ cert, key }: BareOptions): void {
  const secure = cert !== undefined && key !== undefined;
  const server = secure ? createTlsServer({ cert, key }) : createServer();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on("connection", (socket: WsSocket, request: IncomingMessage) => {
    if (request.url === "/echo") {
      socket.on("message", (data) => socket.send(data));
      return;
    }
    socket.on("message", (data) => onRoomFrame(socket, data));
    socket.on("close", () => leave(socket));
  });
  server.listen(0, HOST, () => {
    const address = server.address();
    if (address !== null && typeof address === "object") announce(address.port, secure);
  });
}

function announce(port: number, secure: boolean): void {
  console.log(JSON.stringify({ url: `${secure ? "wss" : "ws"}://${HOST}:${port}` }));
}

if (import.meta.main) {
  const options: BareOptions = JSON.parse(Deno.args[0] ?? "");
  (options.kind === "deno" ? serveDeno : serveWs)(options);
  // The process that started this one closes stdin when it is done, or ends; then this process must end too.
  await Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
  Deno.exit(0);
}
