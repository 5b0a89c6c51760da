/**
 * The limit for comparisons, run by Bun: a WebSocket server on uWebSockets that only echoes (`/echo`) or publishes a
 * message to the subscribers of a room (`/rooms`, frames as in `wire_raw.ts`), the sender included. The argument is
 * JSON, with TLS `cert_file` and `key_file`.
 */
import process from "node:process";

const { cert_file, key_file } = JSON.parse(process.argv[2]);
const latin1 = new TextDecoder("latin1");
const [SUBSCRIBE, PUBLISH] = [1, 2];
const SUBSCRIBED = new Uint8Array([SUBSCRIBE]);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  ...(cert_file === undefined
    ? {}
    : { tls: { cert: Bun.file(cert_file), key: Bun.file(key_file) } }),
  fetch(request, bun) {
    const is_echo = request.url.endsWith("/echo");
    if (!bun.upgrade(request, { data: { is_echo } })) return new Response("", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    message(socket, frame) {
      if (socket.data.is_echo) {
        socket.sendBinary(frame);
        return;
      }
      const room = latin1.decode(frame.subarray(2, 2 + frame[1]));
      if (frame[0] === PUBLISH) {
        server.publish(room, frame);
        return;
      }
      socket.subscribe(room);
      socket.sendBinary(SUBSCRIBED);
    },
  },
});

process.once("SIGTERM", () => process.exit(0));
console.log(JSON.stringify({ port: server.port, version: Bun.version }));
