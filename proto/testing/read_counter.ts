/**
 * Counts how often a reader touches each byte of its input, and fails on a touch outside: linear
 * time and bounds as numbers, not by the clock. Not part of the package.
 */
import assert from "node:assert/strict";

/** An array that looks like its source to a reader, and its meter. */
export interface CountedBytes {
  readonly bytes: Uint8Array;
  /** Bytes read so far; a view taken counts as all of its bytes. */
  reads(): number;
}

/** A view taken by `subarray` is not watched further: it counts as read whole, at once. */
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
