/**
 * Client sockets of our own: RFC 6455 on the connections of `shared/http1/listener.ts`. What is here
 * is what a process has of them; one of them is `own_socket.ts`.
 */
import { takeBareUpgrade } from "../../shared/http1/exchange.ts";
import { PING_LOST } from "./client_socket.ts";
import type { SocketOptions, SocketServer, Upgraded } from "./client_socket.ts";
import { agreeOnDeflate } from "./deflate.ts";
import { handshakeAnswer, requireHandshake } from "./handshake.ts";
import { OwnShared, OwnSocket } from "./own_socket.ts";

/** Makes our own sockets, for requests of a listener of `shared/http1`. */
export function ownSockets(options: SocketOptions): SocketServer {
  const shared = new OwnShared(options);
  return {
    implementation: "own",
    get waiting_bytes() {
      return shared.waiting_bytes;
    },
    upgrade(request, protocol, lost_code = PING_LOST): Upgraded {
      requireHandshake(request);
      const upgrade = takeBareUpgrade(request);
      if (upgrade === undefined) throw new TypeError("not a request of our own listener");
      const offered = request.headers.get("sec-websocket-extensions");
      const agreed = options.deflate === undefined ? undefined : agreeOnDeflate(offered);
      const socket = new OwnSocket(shared, agreed?.window_bits ?? 0, lost_code);
      upgrade.take(handshakeAnswer(request, protocol, agreed?.answer), socket);
      return {
        socket,
        response: upgrade.response,
        listen: (events) => socket.listen(events),
      };
    },
    close: () => shared.heartbeat.close(),
  };
}
