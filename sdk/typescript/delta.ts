/** Messages as diffs (docs/deltas.md): `@arqon/sdk/delta`. */
import { DeltaSocket } from "./delta/delta_socket.ts";
import { Unfolder } from "./delta/unfolder.ts";
import type { WebSocketConstructor } from "./options/options.ts";

/** Default of `bytes`. */
const BYTES = 16_777_216;
const BYTES_MAX = 2 ** 32 - 1;

/**
 * A WebSocket class for `connect` that requests deltas with each subscription, and restores whole messages from them.
 * Rooms without deltas in their class are unaffected. A message that cannot be restored becomes a GAP with the reason
 * `delta`, and the room's messages come whole after it. `webSocket` creates the sockets; default: the platform's.
 * `bytes` bounds the recent data that is kept for all rooms together to restore messages from; default: 16 MiB.
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
  return class extends DeltaSocket {
    constructor(url: string, protocols: string[]) {
      super(new webSocket(url, protocols), new Unfolder(bytes));
    }
  };
}
