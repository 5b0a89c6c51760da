/**
 * The SDK with a way around proxies that let nothing but HTTP through: `connect` of this entry takes
 * `transport`, and is the same otherwise. It is an entry of its own, since most programs do not need it.
 */
import { connect as connectWith } from "./connection/connection.ts";
import type { Connection } from "./connection/connection.ts";
import { fallbackSocket } from "./http/fallback_socket.ts";
import { HttpSocket } from "./http/http_socket.ts";
import type { ConnectOptions } from "./options/options.ts";

export { HttpSocket } from "./http/http_socket.ts";

/** What this entry's `connect` takes. */
export interface HttpConnectOptions extends ConnectOptions {
  /**
   * "auto", the default: WebSocket, and HTTP where that does not open, or breaks soon each time. What
   * was found is remembered for the host for 10 minutes; then a new connection tries WebSocket again.
   * "websocket" and "http": nothing else.
   */
  readonly transport?: "auto" | "websocket" | "http";
}

/**
 * As `connect` of `@arqon/sdk`, over what `transport` says. Throws TypeError for another `transport`.
 *
 * ```ts
 * import { connect } from "@arqon/sdk/http";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…", transport: "auto" });
 * await bus.room("lobby").publish("chat", "hello");
 * ```
 */
export async function connect(options: HttpConnectOptions): Promise<Connection> {
  const { transport = "auto", ...rest } = options;
  if (transport === "websocket") return await connectWith(rest);
  if (transport === "http") return await connectWith({ ...rest, webSocket: HttpSocket });
  if (transport !== "auto") throw new TypeError(`transport ${JSON.stringify(transport)}`);
  const { webSocket = globalThis.WebSocket } = rest;
  return await connectWith({ ...rest, webSocket: fallbackSocket(webSocket) });
}
