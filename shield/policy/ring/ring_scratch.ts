/**
 * The memory in which a thread writes the heads of the records that it puts into rings, and the list of a
 * record's parts: both are used again by the next record. Knows nothing of what is in them.
 */

/** Heads up to this size have a view that is made once for each size. */
const KEPT_BYTES = 512;

/** It grows, and never leaves this thread. */
let scratch = new DataView(new ArrayBuffer(KEPT_BYTES));
/** The first bytes of the scratch, by how many. */
let heads: Uint8Array<ArrayBuffer>[] = [];

/** Room for a head; what was there is written over. */
export function headRoom(size_bytes: number): DataView<ArrayBuffer> {
  if (scratch.byteLength < size_bytes) {
    scratch = new DataView(new ArrayBuffer(size_bytes * 2));
    heads = [];
  }
  return scratch;
}

/** The first bytes of the room, as the part of a record. */
export function headPart(size_bytes: number): Uint8Array<ArrayBuffer> {
  if (size_bytes > KEPT_BYTES) return new Uint8Array(scratch.buffer, 0, size_bytes);
  return heads[size_bytes] ??= new Uint8Array(scratch.buffer, 0, size_bytes);
}

/** The lists of so many parts. One that shrinks and grows would be given new memory each time. */
const lists: Uint8Array[][] = [];

/** The list of a record's `count` parts, the first of them in it; the others are to be put there. */
export function partsFrom(head: Uint8Array, count: number): Uint8Array[] {
  const parts = lists[count] ??= new Array(count).fill(head);
  parts[0] = head;
  return parts;
}
