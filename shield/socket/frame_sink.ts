/** The callbacks of `frame_reader.ts` to its socket. An interface only. */
import type { BINARY, TEXT } from "./frame_head.ts";

/** The content of frames. Functions must not throw. */
export interface FrameSink {
  /**
   * A complete message; its bytes are the sink's own, but may lie in a buffer with others (`owned`).
   * `compressed`: as RFC 7692 has it.
   */
  message(
    opcode: typeof TEXT | typeof BINARY,
    body: Uint8Array<ArrayBuffer>,
    compressed: boolean,
  ): void;
  /** A ping; the body is the sink's own. */
  ping(body: Uint8Array<ArrayBuffer>): void;
  pong(): void;
  /** The peer's close frame; 1005 when it names no code. Nothing comes after it. */
  closed(code: number): void;
  /** The peer violated the protocol: the close code for it. Nothing follows. */
  failed(code: number, problem: string): void;
  /** Asked after each frame: whether the rest has to wait for the next call of `read`. */
  readonly pauses: boolean;
}
