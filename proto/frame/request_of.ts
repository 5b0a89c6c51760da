/**
 * Finds the request id in a frame that cannot be decoded, so that the refusal answers that request. Reads top-level
 * fields only, and stops at the first byte that is not Protobuf.
 */
import { type Uint64, WireReader } from "../wire/wire.ts";
import { WIRE_VARINT } from "../wire/wire_numbers.ts";
import { Opcode } from "./opcode.ts";

/** The field of the request id by opcode; an opcode without one has no requests. */
const FIELDS: Readonly<Partial<Record<number, number>>> = {
  [Opcode.PUB]: 7,
  [Opcode.SUB]: 2,
  [Opcode.UNSUB]: 2,
  [Opcode.REFRESH]: 2,
};

/** The id, if the frame has exactly one; undefined for none, 0, or several. */
export function requestIdOf(frame: Uint8Array): Uint64 | undefined {
  const field = FIELDS[frame[0] ?? 0];
  if (field === undefined) return undefined;
  const reader = new WireReader(frame);
  reader.pos = 1;
  let found: Uint64 = 0;
  try {
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      if (tag !== (field << 3 | WIRE_VARINT)) {
        reader.skip(tag);
        continue;
      }
      const id = reader.uint64();
      if (found !== 0) return undefined;
      found = id;
    }
  } catch {
    // The fields before the invalid byte count.
  }
  return found === 0 ? undefined : found;
}
