/**
 * The buffers of the frames of one durable room's cached messages: several frames in one buffer. An array with a buffer
 * of its own takes 200 B of heap and some 200 B of malloc beside its bytes, and a room's list has nothing that lives
 * longer. A buffer is freed when none of its messages is cached. Not the list itself (`timeline.ts`), and for one room
 * only: a quiet room must not keep a busy one's dropped messages.
 */
import type { FrameSpace } from "@arqon/proto";

/** The most bytes that are set aside at a time. */
const CHUNK_BYTES = 4_096;
/** And at most this part of the room's messages, so that a small room wastes little. */
const PART = 2;

const NOTHING = new Uint8Array(0);

/** The space for one room's frames. Nothing in it is ever written to again. */
export class KeptFrames implements FrameSpace {
  #chunk = NOTHING;
  #used = 0;
  /** Bytes of the messages that the room keeps by now. */
  kept_bytes = 0;

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#chunk;
  }

  reserve(size_bytes: number): number {
    if (this.#used + size_bytes > this.#chunk.length) {
      const aside_bytes = Math.min(CHUNK_BYTES, this.kept_bytes / PART);
      // The next messages are most often as large as this one.
      this.#chunk = new Uint8Array(size_bytes * Math.max(1, Math.floor(aside_bytes / size_bytes)));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += size_bytes;
    return at;
  }

  /** Drops the reserved space. */
  restart(): void {
    this.#chunk = NOTHING;
    this.#used = 0;
  }
}
