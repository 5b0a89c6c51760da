/**
 * Keeps the sockets of nats.js (3.4.0) from ending the process. It takes all listeners off a socket
 * before it destroys it; an error that is already on its way, such as the reset after a refused login,
 * then finds none, and that is an uncaught exception. Nothing else of the transport is changed.
 */
import { NatsConnectionImpl, setTransportFactory } from "@nats-io/transport-deno";
import type { NatsConnection, NodeConnectionOptions } from "@nats-io/transport-deno";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-deno/node_transport";

/** The part of a Node socket that matters here. */
interface Emitter {
  on(event: "error", listener: () => void): unknown;
  removeAllListeners(event?: string): unknown;
}

const ignore = (): void => {};

function isEmitter(value: unknown): value is Emitter {
  return typeof value === "object" && value !== null && "on" in value &&
    "removeAllListeners" in value && typeof value.removeAllListeners === "function";
}

function guardSocket(socket: Emitter): void {
  const removeAllListeners = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (event) => {
    const result = event === undefined ? removeAllListeners() : removeAllListeners(event);
    socket.on("error", ignore);
    return result;
  };
  socket.on("error", ignore);
}

function guardedTransport(): NodeTransport {
  const transport = new NodeTransport();
  let current: unknown;
  Object.defineProperty(transport, "socket", {
    get: () => current,
    set: (socket: unknown) => {
      if (isEmitter(socket) && socket !== current) guardSocket(socket);
      current = socket;
    },
  });
  return transport;
}

/** nats.js' own `connect`, but with guarded sockets, also for every reconnect. */
export function connectGuarded(options: NodeConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: guardedTransport, dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}
