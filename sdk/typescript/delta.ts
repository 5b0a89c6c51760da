/** Messages as diffs (docs/deltas.md): `@arqon/sdk/delta`. */
import type { WebSocketConstructor } from "./options/options.ts";
import { relaySocket } from "./options/relay_socket.ts";
import { Unfolder } from "./delta/unfolder.ts";

/** What is kept of all rooms, if nobody says otherwise, and the most that may be asked for. */
const BYTES = 16_777_216;
const BYTES_MAX = 2 ** 32 - 1;

/**
 * A WebSocket class for `connect` that asks for deltas with each subscription, and makes whole messages of
 * them. Where a room's class has no deltas nothing changes. A message that cannot be made is a gap, with the
 * reason `delta`, and the room's messages come whole again after it. `webSocket` makes the sockets; default:
 * the platform's. Of all rooms together, data of `bytes` is kept to make messages of, that which came last;
 * default: 16 MiB. Needs a Shield that knows deltas: an older one refuses subscriptions with `unknown-field`.
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
  { bytes = BYTES }: { readonly bytes?: number } = {},
): WebSocketConstructor {
  if (!Number.isSafeInteger(bytes) || bytes < 1 || bytes > BYTES_MAX) {
    throw new TypeError(`bytes is ${bytes}; expected an integer from 1 to ${BYTES_MAX}`);
  }
  return relaySocket(webSocket, () => {
    const unfolder = new Unfolder(bytes);
    return {
      sent: (frame) => unfolder.sent(frame),
      received(frame) {
        const frames = [unfolder.received(frame)];
        return { frames, back: unfolder.takeSubs() };
      },
    };
  });
}
