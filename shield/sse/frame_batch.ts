/**
 * What a client without WebSocket sends at once: frames of `arqon.v1`, one behind the other, with the
 * batch's number. Pure. Who takes them is `session_socket.ts`; docs/sse.md says it to clients.
 */
import { ArqonError } from "@arqon/proto";

/** The most frames of one batch, so that no client has a turn for itself. */
const FRAMES_MAX = 1_024;
const NUMBER_BYTES = 4;

/** One batch. */
export interface FrameBatch {
  /** The batches of a session are counted from 0: one that came twice is known by it. */
  readonly number: number;
  /** Parts of the body. */
  readonly frames: readonly Uint8Array<ArrayBuffer>[];
  /** The client ends the connection behind these frames. */
  readonly closes: boolean;
}

/**
 * Reads a batch: its number and then each frame with its length before it, as big-endian integers of
 * four bytes. A length of 0, which is the last, closes the connection. Throws `malformed-body` (400).
 */
export function readBatch(body: Uint8Array<ArrayBuffer>): FrameBatch {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < 2 * NUMBER_BYTES) throw wrong(`${body.length} bytes are no batch`);
  const frames: Uint8Array<ArrayBuffer>[] = [];
  for (let at = NUMBER_BYTES; at < body.length;) {
    if (at + NUMBER_BYTES > body.length) throw wrong(`a length is cut off at byte ${at}`);
    const size_bytes = view.getUint32(at);
    at += NUMBER_BYTES;
    if (size_bytes === 0) {
      if (at < body.length) throw wrong("something stands behind the end");
      return { number: view.getUint32(0), frames, closes: true };
    }
    if (at + size_bytes > body.length) throw wrong(`a frame is cut off at byte ${at}`);
    if (frames.length === FRAMES_MAX) throw wrong(`more than ${FRAMES_MAX} frames`);
    frames.push(body.subarray(at, at += size_bytes));
  }
  return { number: view.getUint32(0), frames, closes: false };
}

const wrong = (detail: string) => new ArqonError("malformed-body", detail);
