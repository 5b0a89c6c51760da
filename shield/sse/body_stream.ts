/**
 * The body of an answer as a writable connection: for listeners whose connections cannot be taken over, which are the
 * runtime's.
 */
import type { ByteSink, LiveStream } from "../../shared/http1/byte_stream.ts";

/** Bytes that the runtime accepts before it has sent them. */
const HELD_BYTES = 65_536;

/** One answer. It is write-only: only its end comes back. */
export class BodyStream implements LiveStream {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #sink: ByteSink | undefined;
  #is_writing = false;

  constructor() {
    this.body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#onPull(),
      cancel: () => this.#onGone(),
    }, { highWaterMark: HELD_BYTES, size: ({ length }) => length });
  }

  flow(sink: ByteSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    this.#controller?.enqueue(bytes);
    this.#is_writing = (this.#controller?.desiredSize ?? 0) <= 0;
    return !this.#is_writing;
  }

  #onPull(): void {
    if (!this.#is_writing) return;
    this.#is_writing = false;
    this.#sink?.written();
  }

  /** The peer has disconnected, which the runtime detects only when something is sent. */
  lost(): void {
    const controller = this.#controller;
    this.#onGone();
    controller?.close();
  }

  #onGone(): void {
    this.#controller = undefined;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.ended();
  }

  closeWrite(): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  close(): void {
    this.#sink = undefined;
    this.#controller?.close();
    this.#controller = undefined;
  }

  pause(): void {}

  resume(): void {}

  read(): Promise<null> {
    return Promise.resolve(null);
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
    this.send(bytes);
    return Promise.resolve(bytes.length);
  }
}
