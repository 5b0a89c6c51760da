/**
 * Counts the reads of each byte of an input, and fails on a read outside: it checks linear time and bounds
 * without a clock. Not part of the package.
 */
import assert from "node:assert/strict";

/** An array with the content of its source, and its meter. */
export interface CountedBytes {
  readonly bytes: Uint8Array;
  /** Bytes read so far; a view counts as all of its bytes. */
  reads(): number;
}

/** A view by `subarray` counts as read as a whole, and is not observed further. */
export function countReads(source: Uint8Array): CountedBytes {
  let reads = 0;
  const subarray = (start = 0, end = source.length): Uint8Array => {
    assert.ok(start >= 0 && start <= end && end <= source.length, `view ${start} to ${end}`);
    reads += end - start;
    return source.subarray(start, end);
  };
  const bytes = new Proxy(source, {
    get(target, key) {
      if (key === "subarray") return subarray;
      if (key === "length") return target.length;
      assert.ok(typeof key === "string" && /^[0-9]+$/.test(key), `read of ${String(key)}`);
      assert.ok(Number(key) < target.length, `read of byte ${key} of ${target.length}`);
      reads += 1;
      return target[Number(key)];
    },
  });
  return { bytes, reads: () => reads };
}
