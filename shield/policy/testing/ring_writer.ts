/** A worker that writes a number of one-byte records into a ring, and blocks while there is no room; for tests. */
import { openRing, ringPutBlocking, ringSignal } from "../ring/ring.ts";

/** The options of the writer. */
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
