/** A socket that wraps another one and changes its frames, for one connection. */
import type { SocketLike, WebSocketConstructor } from "./options.ts";

type Frame = Uint8Array<ArrayBuffer>;

/** Changes the frames of one connection. */
export interface FrameRelay {
  /** The frame to send instead of a client's frame. */
  sent(frame: Frame): Frame;
  /** The frames that the client receives instead of a Shield's frame, and frames to send back first. */
  received(frame: Frame): { readonly frames: readonly Frame[]; readonly back?: readonly Frame[] };
  /** Called, possibly repeatedly, when the client receives no more frames. */
  end?(): void;
}

/** A WebSocket class: each socket is one of `webSocket` with its own relay. */
export function relaySocket(
  webSocket: WebSocketConstructor,
  makeRelay: () => FrameRelay,
): WebSocketConstructor {
  return class extends RelaySocket {
    constructor(url: string, protocols: string[]) {
      super(new webSocket(url, protocols), makeRelay());
    }
  };
}

class RelaySocket implements SocketLike {
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #socket: SocketLike;
  readonly #relay: FrameRelay;
  #onmessage: SocketLike["onmessage"] = null;

  constructor(socket: SocketLike, relay: FrameRelay) {
    this.#socket = socket;
    this.#relay = relay;
    socket.onmessage = (event) => this.#receive(event);
    socket.onerror = (event) => this.onerror?.(event);
    socket.onclose = (event) => {
      relay.end?.();
      this.onclose?.(event);
    };
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

  get onmessage(): SocketLike["onmessage"] {
    return this.#onmessage;
  }

  set onmessage(hear: SocketLike["onmessage"]) {
    this.#onmessage = hear;
    // A client without a handler receives no more frames.
    if (hear === null) this.#relay.end?.();
  }

  send(data: Frame): void {
    this.#socket.send(this.#relay.sent(data));
  }

  close(code?: number, reason?: string): void {
    this.#relay.end?.();
    this.#socket.close(code, reason);
  }

  #receive(event: { readonly data: unknown }): void {
    if (!(event.data instanceof ArrayBuffer)) return this.#onmessage?.(event);
    const whole = new Uint8Array(event.data);
    const { frames, back } = this.#relay.received(whole);
    for (const frame of back ?? []) this.#socket.send(frame);
    for (const frame of frames) {
      if (frame === whole) this.#onmessage?.(event);
      else this.#onmessage?.({ data: alone(frame) });
    }
  }
}

/** The frame's bytes in a buffer of their own. */
function alone(frame: Frame): ArrayBuffer {
  const { buffer, length } = frame;
  return buffer.byteLength === length ? buffer : frame.slice().buffer;
}
