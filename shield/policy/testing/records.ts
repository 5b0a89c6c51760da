/** Records as a ring returns them to its reader, for tests of their content. */
import { openRing, type Records, ringMemory, ringPut, ringTake } from "../ring/ring.ts";

/** The record of these parts, taken from a ring after another record. */
export function recordOf(parts: readonly Uint8Array[]): Records {
  const size_bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const ring = openRing(ringMemory(size_bytes + 64));
  ringPut(ring, [new Uint8Array(3)]);
  ringPut(ring, parts);
  const records = ringTake(ring, ring.data.length);
  if (records === undefined) throw new Error("the ring is empty");
  records.next();
  records.next();
  return records;
}
