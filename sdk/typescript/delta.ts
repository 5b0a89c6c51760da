/**
 * Messages as diffs, for who pays for every byte: `@arqon/sdk/delta`. A program that does not import it does
 * not load it. What a room must have for it is in docs/deltas.md.
 */
import type { WebSocketConstructor } from "./options/options.ts";
import { relaySocket } from "./options/relay_socket.ts";
import { Unfolder } from "./delta/unfolder.ts";

/**
 * A WebSocket class for `connect` that asks for deltas with each subscription, and makes whole messages of
 * them. Where a room's class has no deltas nothing changes. A message that cannot be made is a gap, with the
 * reason `delta`, and the room's messages come whole again after it. `webSocket` makes the sockets; default:
 * the platform's. Needs a Shield that knows deltas: an older one refuses subscriptions with `unknown-field`.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { deltaSocket } from "@arqon/sdk/delta";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…", webSocket: deltaSocket() });
 * for await (const message of bus.room("vehicles-9").subscribe()) console.log(message.json());
 * ```
 */
export function deltaSocket(
  webSocket: WebSocketConstructor = globalThis.WebSocket as unknown as WebSocketConstructor,
): WebSocketConstructor {
  return relaySocket(webSocket, () => {
    const unfolder = new Unfolder();
    return {
      sent: (frame) => unfolder.sent(frame),
      received(frame) {
        const frames = [unfolder.received(frame)];
        return { frames, back: unfolder.takeSubs() };
      },
    };
  });
}
