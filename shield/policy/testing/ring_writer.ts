/**
 * A worker that writes so many records of one byte each into a ring, and blocks while there is no room; for
 * tests.
 */
import { openRing, ringPutBlocking, ringSignal } from "../ring/ring.ts";

/** What it is to write. */
export interface RingWriting {
  readonly memory: SharedArrayBuffer;
  readonly count: number;
}

globalThis.addEventListener("message", (event) => {
  const { data } = event as MessageEvent<RingWriting>;
  const ring = openRing(data.memory);
  for (let number = 0; number < data.count; number++) {
    ringPutBlocking(ring, [new Uint8Array([number])], () => false);
  }
  ringSignal(ring);
});
