/** The SDK for networks that block WebSocket: the default of `transport` is "auto". */
import { connect as connectWith, type Connection } from "./connection/connection.ts";
import { over } from "./http/fallback_socket.ts";
import type { ConnectOptions } from "./options/options.ts";

export { HttpSocket } from "./http/http_socket.ts";

/**
 * As `connect` of `@arqon/sdk`, with `transport: "auto"` as the default. Loads nothing on demand, which service workers
 * cannot.
 *
 * ```ts
 * import { connect } from "@arqon/sdk/http";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * await bus.room("lobby").publish("chat", "hello");
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { transport = "auto" } = options;
  if (transport === "websocket") return await connectWith(options);
  return await connectWith({ ...over({ ...options, transport }), transport: "websocket" });
}
