/** Patterns that resume after a reconnect (docs/protocol.md): `@arqon/sdk/patterns`. */
import { connect as connectWith, type Connection } from "./connection/connection.ts";
import { PatternPositions } from "./durable/position.ts";
import type { ConnectOptions, Settings } from "./options/options.ts";

/**
 * As `connect` of `@arqon/sdk`, but each subscribed pattern keeps the positions of its durable rooms, 1,000 at most,
 * and after a reconnect each room continues from there: no message is lost or delivered twice. If that is not possible,
 * the loop receives a GAP of that room with the reason. A GAP of the pattern itself, `message.room === "orders-*"`, is
 * about the other rooms: those that are not durable, and new ones.
 *
 * ```ts
 * import { connect } from "@arqon/sdk/patterns";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * for await (const message of bus.room("orders-*").subscribe()) console.log(message.room);
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const settings: ConnectOptions & Pick<Settings, "newPositions"> = {
    ...options,
    newPositions: () => new PatternPositions(),
  };
  return await connectWith(settings);
}
