/** A socket that wraps another one: it requests deltas with each SUB, and restores whole messages from them. */
import type { SocketLike } from "../options/options.ts";
import type { Unfolder } from "./unfolder.ts";

type Frame = Uint8Array<ArrayBuffer>;

/** See `deltaSocket`. */
export class DeltaSocket implements SocketLike {
  onmessage: SocketLike["onmessage"] = null;
  onerror: SocketLike["onerror"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly #socket: SocketLike;
  readonly #unfolder: Unfolder;

  constructor(socket: SocketLike, unfolder: Unfolder) {
    this.#socket = socket;
    this.#unfolder = unfolder;
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
}

function alone(frame: Frame): ArrayBuffer {
  const { buffer, length } = frame;
  return buffer.byteLength === length ? buffer : frame.slice().buffer;
}
