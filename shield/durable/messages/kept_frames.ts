/**
 * The buffers of the frames of one durable room's cached messages: several frames in one buffer. An array with its own
 * buffer takes 200 B of heap and about 200 B of malloc in addition to its bytes. A buffer is freed when none of its
 * messages is cached. Each buffer belongs to one room: a quiet room must not retain a busy room's dropped messages.
 * `timeline.ts` has the list itself.
 */
import type { FrameSpace } from "@arqon/proto";

const CHUNK_BYTES = 4_096;
/** The reserved space is at most this fraction of the room's messages, so that a small room wastes little. */
const PART = 2;

const NOTHING = new Uint8Array(0);

/** The space for one room's frames. Nothing in it is ever written to again. */
export class KeptFrames implements FrameSpace {
  #chunk = NOTHING;
  #used = 0;
  /** Bytes of the cached messages of the room. */
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

  restart(): void {
    this.#chunk = NOTHING;
    this.#used = 0;
  }
}
