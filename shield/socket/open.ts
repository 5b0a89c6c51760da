/** Opens the configured implementation of client sockets. */
import { Gauge } from "prom-client";
import type { Registry } from "prom-client";
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { SocketOptions, SocketServer, Upgraded } from "./client_socket.ts";
import { nativeSockets } from "./native.ts";
import { takeBareUpgrade } from "../../shared/http1/exchange.ts";
import { PING_LOST } from "./client_socket.ts";
import { agreeOnDeflate } from "./deflate.ts";
import { handshakeAnswer, requireHandshake } from "./handshake.ts";
import { OwnShared, OwnSocket } from "./own_socket.ts";

/** Messages take memory in addition to their bytes, so the limit in bytes must not be far below the one in messages. */
const WAITING_BYTES_MIN = 16_777_216;

/**
 * Opens the sockets. Native sockets need a client listener of their kind, own ones one of ours:
 * `listenClient`.
 */
export function openSockets(
  config: Pick<Config, "server" | "limits">,
  registry: Registry,
): SocketServer {
  const sockets = openKind(config);
  new Gauge({
    name: "shield_socket_implementation",
    help: "Always 1; the label is the WebSocket implementation.",
    labelNames: ["implementation"],
    registers: [registry],
  }).set({ implementation: sockets.implementation }, 1);
  scrapedGauge(
    registry,
    "shield_waiting_bytes",
    "Bytes of received messages that wait for their turn of the event loop.",
    () => sockets.waiting_bytes,
  );
  return sockets;
}

function openKind({ server, limits }: Pick<Config, "server" | "limits">): SocketServer {
  const { heartbeat_ms } = server;
  const max_message_bytes = limits.close_frame_bytes;
  // A client with more queued messages would be closed because of its rate.
  const waiting_max = {
    get messages() {
      return 2 * limits.messages_per_second + limits.rate_refusals;
    },
    get bytes() {
      return Math.max(WAITING_BYTES_MIN, 2 * limits.bytes_per_second);
    },
  };
  if (server.websocket === "native") return nativeSockets({ heartbeat_ms, waiting_max });
  const deflate = server.permessage_deflate
    ? { from_bytes: limits.deflate_from_bytes, inflated_bytes_max: limits.max_frame_bytes }
    : undefined;
  return ownSockets({ heartbeat_ms, max_message_bytes, deflate });
}

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
      if (upgrade === undefined) throw new ArqonError("not-a-websocket", "a handshake has no body");
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
