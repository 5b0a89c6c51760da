/**
 * A stored snapshot: compressed, since most of its bytes are ids of remembered calls. One in the old format,
 * uncompressed, is read, too. `snapshot.ts` has its content. Pure.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { SnapshotError } from "./snapshot.ts";

const MAGIC = new TextEncoder().encode("ARQROOMZ");
/** More than any state within the largest bounds. */
const BYTES_MAX = 134_217_728;

/** Compresses a snapshot for the store. */
export function packSnapshot(snapshot: Uint8Array): Uint8Array<ArrayBuffer> {
  const deflated = deflateRawSync(snapshot);
  const packed = new Uint8Array(MAGIC.length + deflated.length);
  packed.set(MAGIC);
  packed.set(deflated, MAGIC.length);
  return packed;
}

/** The snapshot of stored bytes. Throws `SnapshotError`. */
export function unpackSnapshot(stored: Uint8Array): Uint8Array {
  if (!MAGIC.every((byte, at) => stored[at] === byte)) return stored;
  try {
    const body = stored.subarray(MAGIC.length);
    return new Uint8Array(inflateRawSync(body, { maxOutputLength: BYTES_MAX }));
  } catch (cause) {
    throw new SnapshotError("a snapshot that cannot be decompressed", { cause });
  }
}
