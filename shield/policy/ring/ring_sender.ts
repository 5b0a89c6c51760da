/**
 * The writer of a ring on a thread with an event loop: all records of one turn wake the reader once. It knows nothing
 * about their content.
 */
import { type Ring, ringPut, ringSignal } from "./ring.ts";

/**
 * The most records that wait for the end of their turn: after more records the reader may begin before the end of the
 * turn.
 */
const UNSIGNALLED_MOST = 32;

/** Makes the writer of a ring. It returns false if the ring has no room now. */
export function createSender(ring: Ring): (parts: readonly Uint8Array[]) => boolean {
  let unsignalled = 0;
  const say = () => {
    if (unsignalled === 0) return;
    unsignalled = 0;
    ringSignal(ring);
  };
  return (parts) => {
    if (!ringPut(ring, parts)) return false;
    if (++unsignalled === 1) queueMicrotask(say);
    else if (unsignalled >= UNSIGNALLED_MOST) say();
    return true;
  };
}
