/**
 * The way that a connection goes: which class of sockets a `transport` means. Loaded when a program
 * asks for one that is not plain WebSocket, so that other pages do not carry it; what the sockets do is
 * in the files beside it.
 */
import type { ConnectOptions } from "../options/options.ts";
import { fallbackSocket } from "./fallback_socket.ts";
import { HttpSocket } from "./http_socket.ts";

/** The options with the class for "auto" or "http". Throws TypeError for another word. */
export function over(options: ConnectOptions): ConnectOptions {
  const { transport, webSocket = globalThis.WebSocket } = options;
  if (transport === "http") return { ...options, webSocket: HttpSocket };
  if (transport === "auto") return { ...options, webSocket: fallbackSocket(webSocket) };
  throw new TypeError(`transport ${JSON.stringify(transport)}`);
}
