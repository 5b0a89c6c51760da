/**
 * Space for frames that leave by our own sockets: before each stands the head of its WebSocket frame,
 * so that `frameAround` makes no copy. What the frames say is their writer's.
 */
import type { FrameSpace } from "@arqon/proto";
import { BINARY, headBytes, writeHead } from "./frame_head.ts";

/** Frames with their heads, in the space of somebody else. */
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
