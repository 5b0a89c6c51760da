/**
 * The frames that wait to be sent over HTTP, and the batches that they go in. Pure; a batch's bytes are
 * what docs/sse.md says of them.
 */

/** A batch has no more than these, but always one frame. */
const FRAMES_MAX = 1_024;
const BATCH_BYTES = 131_072;

/** The frames of one session. */
export class FrameQueue {
  #frames: Uint8Array[] = [];
  #number = 0;
  #closes = false;
  /** The bytes of the frames that wait. */
  bytes = 0;

  /** Frames are copied: whoever sends may use the bytes again. */
  push(frame: Uint8Array): void {
    this.#frames.push(frame.slice());
    this.bytes += frame.length;
  }

  /** The last batch closes the connection. */
  close(): void {
    this.#closes = true;
  }

  /** The next batch, which is then the caller's; undefined: nothing is to be sent. */
  take(): { readonly body: Uint8Array<ArrayBuffer>; readonly last: boolean } | undefined {
    let count = 0;
    let size = 4;
    for (const { length } of this.#frames) {
      if (count === FRAMES_MAX || (count > 0 && size + length > BATCH_BYTES)) break;
      size += 4 + length;
      count++;
    }
    const last = this.#closes && count === this.#frames.length;
    if (count === 0 && !last) return undefined;
    const body = new Uint8Array(size + (last ? 4 : 0));
    const view = new DataView(body.buffer);
    view.setUint32(0, this.#number++);
    let at = 4;
    for (const frame of this.#frames.splice(0, count)) {
      view.setUint32(at, frame.length);
      body.set(frame, at + 4);
      at += 4 + frame.length;
      this.bytes -= frame.length;
    }
    if (last) this.#closes = false;
    return { body, last };
  }
}
