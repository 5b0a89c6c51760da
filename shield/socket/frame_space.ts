/**
 * Space for frames of our own sockets: the head of its WebSocket frame precedes each, so that `frameAround` makes no
 * copy.
 */
import type { FrameSpace } from "@arqon/proto";
import { BINARY, headBytes, writeHead } from "./frame_head.ts";

/** Frames with their heads, in a given space. */
export class HeadedSpace implements FrameSpace {
  readonly #space: FrameSpace;

  constructor(space: FrameSpace) {
    this.#space = space;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#space.bytes;
  }

  reserve(size_bytes: number): number {
    const at = this.#space.reserve(headBytes(size_bytes) + size_bytes);
    return at + writeHead(this.#space.bytes, at, BINARY, size_bytes);
  }
}
