/** Messages as diffs (docs/deltas.md): `@arqon/sdk/delta`. */
import { Unfolder } from "./delta/unfolder.ts";
import type { SocketLike, WebSocketConstructor } from "./options/options.ts";

/** Default of `bytes`. */
const BYTES = 16_777_216;
const BYTES_MAX = 2 ** 32 - 1;

type Frame = Uint8Array<ArrayBuffer>;

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
  return class implements SocketLike {
    onmessage: SocketLike["onmessage"] = null;
    onerror: SocketLike["onerror"] = null;
    onclose: SocketLike["onclose"] = null;
    readonly #socket: SocketLike;
    readonly #unfolder = new Unfolder(bytes);

    constructor(url: string, protocols: string[]) {
      const socket = this.#socket = new webSocket(url, protocols);
      socket.onmessage = (event) => this.#receive(event);
      socket.onerror = (event) => this.onerror?.(event);
      socket.onclose = (event) => this.onclose?.(event);
    }

    get binaryType(): string {
      return this.#socket.binaryType;
    }

    set binaryType(type: string) {
      this.#socket.binaryType = type;
    }

    get bufferedAmount(): number {
      return this.#socket.bufferedAmount;
    }

    get progress(): string {
      return this.#socket.progress ?? "";
    }

    send(frame: Frame): void {
      this.#socket.send(this.#unfolder.sent(frame));
    }

    close(code?: number, reason?: string): void {
      this.#socket.close(code, reason);
    }

    #receive(event: { readonly data: unknown }): void {
      if (!(event.data instanceof ArrayBuffer)) return this.onmessage?.(event);
      const frame = new Uint8Array(event.data);
      const whole = this.#unfolder.received(frame);
      for (const sub of this.#unfolder.takeSubs()) this.#socket.send(sub);
      this.onmessage?.(whole === frame ? event : { data: alone(whole) });
    }
  };
}

function alone(frame: Frame): ArrayBuffer {
  const { buffer, length } = frame;
  return buffer.byteLength === length ? buffer : frame.slice().buffer;
}
