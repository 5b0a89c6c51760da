/** Trace and connection ids that are the same in every run and on every machine. */
import { connectionId, type Random, traceId } from "../../shared/ids.ts";

/** Seed of the first number generator, chosen before anything was measured. */
const SEED = 1;

/** A source of bytes from the generator sfc32 (C. Doty-Humphrey): fast, even, and not for secrets. */
function seeded(seed: number): Random {
  let [a, b, c, counter] = [seed, seed ^ 0x9e3779b9, seed ^ 0x85ebca6b, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    return sum;
  };
  for (let skipped = 0; skipped < 12; skipped++) next();
  return (size_bytes) => {
    const words = Int32Array.from({ length: Math.ceil(size_bytes / 4) }, next);
    return new Uint8Array(words.buffer, 0, size_bytes);
  };
}

/**
 * The ways in which clients and Shields make ids. Each gives a function for the n-th id of a new sequence.
 */
export const ID_KINDS = {
  "random trace ids": () => {
    const random = seeded(SEED);
    return () => traceId(random);
  },
  "counting trace ids": () => (index: number) => (index + 1).toString(16).padStart(32, "0"),
  "connection ids": () => {
    const random = seeded(SEED + 1);
    return () => connectionId(random);
  },
} as const satisfies Record<string, () => (index: number) => string>;

/** A kind of ids. */
export type IdKind = keyof typeof ID_KINDS;

/** So many different random trace ids. */
export function traceIds(count: number): string[] {
  const next = ID_KINDS["random trace ids"]();
  const ids = new Set<string>();
  while (ids.size < count) ids.add(next());
  return [...ids];
}
