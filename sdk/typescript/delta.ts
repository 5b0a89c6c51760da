/**
 * Messages as diffs, for who pays for every byte: `@arqon/sdk/delta`. A program that does not import it does
 * not load it. What a room must have for it is in docs/deltas.md.
 */
import type { SocketLike, WebSocketConstructor } from "./options/options.ts";
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
  return class extends DeltaSocket {
    constructor(url: string, protocols: string[]) {
      super(new webSocket(url, protocols));
    }
  };
}

/** A socket in front of another; what it holds of messages ends with it. */
class DeltaSocket implements SocketLike {
  readonly #socket: SocketLike;
  readonly #unfolder = new Unfolder();
  #onmessage: SocketLike["onmessage"] = null;

  constructor(socket: SocketLike) {
    this.#socket = socket;
    socket.onmessage = (event) => this.#receive(event);
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

  get onmessage(): SocketLike["onmessage"] {
    return this.#onmessage;
  }

  set onmessage(hear: SocketLike["onmessage"]) {
    this.#onmessage = hear;
  }

  get onerror(): SocketLike["onerror"] {
    return this.#socket.onerror;
  }

  set onerror(hear: SocketLike["onerror"]) {
    this.#socket.onerror = hear;
  }

  get onclose(): SocketLike["onclose"] {
    return this.#socket.onclose;
  }

  set onclose(hear: SocketLike["onclose"]) {
    this.#socket.onclose = hear;
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(this.#unfolder.sent(data));
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  #receive(event: { readonly data: unknown }): void {
    if (!(event.data instanceof ArrayBuffer)) return this.#onmessage?.(event);
    const frame = this.#unfolder.received(new Uint8Array(event.data));
    for (const sub of this.#unfolder.takeSubs()) this.#socket.send(sub);
    // What is made anew is alone in its buffer.
    this.#onmessage?.({ data: frame.buffer });
  }
}
