/**
 * A program that gives the upper limit for comparisons: a WebSocket server that only echoes (`/echo`) or sends a
 * message once to each receiver of a room (`/rooms`, frames as in `wire_raw.ts`), on Deno's own server. Its argument is
 * `BareOptions` as JSON; it prints `{"url"}`.
 */
import { RAW } from "../wires/wire_raw.ts";

/** The options of a bare server. */
export interface BareOptions {
  /** The certificate in PEM; absent: no TLS. */
  readonly cert?: string;
  readonly key?: string;
}

const HOST = "127.0.0.1";
const latin1 = new TextDecoder("latin1");
const rooms = new Map<string, Set<WebSocket>>();
const SUBSCRIBED = new Uint8Array([RAW.subscribe]);

/** Handles a frame of `/rooms`. A message is forwarded in the frame in which it arrived. */
function onRoomFrame(socket: WebSocket, frame: Uint8Array): void {
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

function leave(socket: WebSocket): void {
  for (const [room, members] of rooms) {
    if (members.delete(socket) && members.size === 0) rooms.delete(room);
  }
}

function serve({ cert, key }: BareOptions): void {
  const tls = cert === undefined || key === undefined ? {} : { cert, key };
  Deno.serve({
    hostname: HOST,
    port: 0,
    ...tls,
    onListen: ({ port }) =>
      console.log(
        JSON.stringify({ url: `${cert === undefined ? "ws" : "wss"}://${HOST}:${port}` }),
      ),
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

if (import.meta.main) {
  serve(JSON.parse(Deno.args[0] ?? ""));
  // The parent process closes stdin when it finishes or exits; this process must then end too.
  await Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
  Deno.exit(0);
}
