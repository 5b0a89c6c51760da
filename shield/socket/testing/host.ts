/** Real listeners with one kind of client sockets, for the conformance suite and for our own. */
import { ArqonError } from "@arqon/proto";
import { listenClient } from "../../../shared/listeners/listen.ts";
import { testCertificate } from "../../../shared/listeners/testing/certificate.ts";
import type { ClientSocket, SocketOptions, SocketServer } from "../client_socket.ts";
import { type Host, type HostOptions, MESSAGE_BYTES_MAX, Seen } from "./conformance.ts";
import { nativeSockets } from "../native.ts";
import { ownSockets } from "../open.ts";

const OPEN = { native: nativeSockets, own: ownSockets };
const WAITING_BYTES_MAX = 100_000_000;

/** Starts one on a free port; the next socket is whose `next` was called first. */
export async function startHost(
  websocket: keyof typeof OPEN,
  options: HostOptions = {},
): Promise<Host> {
  const { heartbeat_ms = 60_000, close_ms, now_ms, handler, waiting_messages = 100_000 } = options;
  const waiting_max = { messages: waiting_messages, bytes: WAITING_BYTES_MAX };
  const max_message_bytes = MESSAGE_BYTES_MAX;
  const bounds = { heartbeat_ms, close_ms, now_ms, max_message_bytes, waiting_max };
  const server: SocketServer = OPEN[websocket](bounds);
  const waiting: ((seen: Seen) => void)[] = [];
  const tls = options.tls === true ? await testCertificate() : undefined;
  const listener = await listenClient({
    name: "client",
    host: "127.0.0.1",
    port: 0,
    websocket,
    tls,
    handler(request) {
      if (handler !== undefined) return handler(request);
      const offered = request.headers.get("sec-websocket-protocol") ?? "";
      try {
        const upgraded = server.upgrade(
          request,
          offered.includes("arqon.v1") ? "arqon.v1" : undefined,
        );
        waiting.shift()?.(new Seen(upgraded));
        return upgraded.response;
      } catch (error) {
        if (!(error instanceof ArqonError)) throw error;
        return new Response(error.message, { status: error.code });
      }
    },
  });
  return {
    implementation: websocket,
    url: `${listener.url}/`,
    ...(tls === undefined ? {} : { ca: tls.cert }),
    next: () => new Promise((resolve) => void waiting.push(resolve)),
    async [Symbol.asyncDispose]() {
      server.close();
      await listener.close(100);
    },
  };
}

/** Sockets of our own on a free port; each message goes to `onMessage`. */
export async function serveOwn(
  onMessage: (socket: ClientSocket, message: string | Uint8Array<ArrayBuffer>) => void,
  options: Pick<SocketOptions, "deflate" | "now_ms"> & { readonly onClosed?: () => void } = {},
): Promise<{ url: string } & AsyncDisposable> {
  const { onClosed: closed = () => {}, ...given } = options;
  const bounds = { heartbeat_ms: 60_000, max_message_bytes: MESSAGE_BYTES_MAX };
  const server = ownSockets({ ...bounds, ...given });
  const listener = await listenClient({
    name: "client",
    host: "127.0.0.1",
    port: 0,
    websocket: "own",
    handler(request) {
      const { socket, response, listen } = server.upgrade(request, undefined);
      const message = (data: string | Uint8Array<ArrayBuffer>) => onMessage(socket, data);
      listen({ opened() {}, message, flooded() {}, tooLong() {}, closed });
      return response;
    },
  });
  return {
    url: `${listener.url}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      await listener.close(100);
    },
  };
}
