/**
 * Merkle trees of RFC 6962: hashes, roots, and proofs of inclusion and consistency. A tree is read by its complete
 * subtrees, which `tiles.ts` stores. Pure.
 */
import { sha256 } from "./sha256.ts";
import { sha256All } from "./sha256_lanes.ts";

/** 32 bytes. */
export type Hash = Uint8Array;
/** Bytes of a hash. */
export const HASH_BYTES = 32;
const PAIR_BYTES = 2 * HASH_BYTES;

/** The hashes of entries, in one array. */
export const leafHashes = (entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  sha256All(0, entries);

/** The hash of an entry. */
export const leafHash = (entry: Uint8Array): Hash => leafHashes([entry]);

/** The hash of each two adjacent subtrees, from the hashes of all in one array; a last one alone is left out. */
export function pairHashes(hashes: Uint8Array): Uint8Array<ArrayBuffer> {
  const pairs: Uint8Array[] = [];
  for (let end = PAIR_BYTES; end <= hashes.length; end += PAIR_BYTES) {
    pairs.push(hashes.subarray(end - PAIR_BYTES, end));
  }
  return sha256All(1, pairs);
}

/** The hash of two adjacent subtrees. */
export function nodeHash(left: Hash, right: Hash): Hash {
  const pair = new Uint8Array(PAIR_BYTES);
  pair.set(left);
  pair.set(right, HASH_BYTES);
  return pairHashes(pair);
}

/** The root of a tree without entries. */
export const emptyRoot = (): Hash => sha256(new Uint8Array(0));

/** Whether two hashes are equal. */
export const isSameHash = (a: Hash, b: Hash): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

/** Returns the root of the complete subtree of `2 ** level` entries with this index in its level. */
export type SubtreeReader = (level: number, index: number) => Promise<Hash>;

/** The largest power of two below `n`, which is at least 2. */
function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

/** The root of the entries in [from, to). `from` is a multiple of the next power of two. */
async function rangeRoot(read: SubtreeReader, from: number, to: number): Promise<Hash> {
  const size = to - from;
  const level = Math.log2(size);
  if (Number.isInteger(level)) return await read(level, from / size);
  const split = from + splitOf(size);
  return nodeHash(await rangeRoot(read, from, split), await rangeRoot(read, split, to));
}

/** The inclusion proof of the entry with this index in a tree of this size: PATH of RFC 6962, 2.1.1. */
export async function inclusionProof(
  read: SubtreeReader,
  index: number,
  size: number,
): Promise<Hash[]> {
  if (index < 0 || index >= size) throw new RangeError(`entry ${index} of a tree of ${size}`);
  const proof: Hash[] = [];
  for (let [from, to] = [0, size]; to - from > 1;) {
    const split = from + splitOf(to - from);
    proof.unshift(
      await rangeRoot(read, ...(index < split ? [split, to] : [from, split]) as [number, number]),
    );
    if (index < split) to = split;
    else from = split;
  }
  return proof;
}

/** The consistency proof between `old_size` and a tree: PROOF of RFC 6962, 2.1.2. */
export async function consistencyProof(
  read: SubtreeReader,
  old_size: number,
  size: number,
): Promise<Hash[]> {
  if (old_size < 0 || old_size > size) throw new RangeError(`${old_size} before ${size}`);
  if (old_size === 0 || old_size === size) return [];
  const proof: Hash[] = [];
  let from = 0;
  let to = size;
  while (to !== old_size) {
    const split = from + splitOf(to - from);
    if (old_size <= split) {
      proof.unshift(await rangeRoot(read, split, to));
      to = split;
    } else {
      proof.unshift(await rangeRoot(read, from, split));
      from = split;
    }
  }
  // A verifier has the old root, so the proof omits the hash of the whole old tree.
  if (from > 0) proof.unshift(await rangeRoot(read, from, to));
  return proof;
}

const half = (n: number) => Math.floor(n / 2);
const isOdd = (n: number) => n % 2 === 1;

/** Applies a proof to a hash: the root of it and what is left of it, and the root of all; undefined: wrong length. */
function climb(
  first: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
): readonly [before: Hash, after: Hash] | undefined {
  let at = index;
  let last = size - 1;
  let before = first;
  let after = first;
  for (const hash of proof) {
    if (last === 0) return undefined;
    if (isOdd(at) || at === last) {
      [before, after] = [nodeHash(hash, before), nodeHash(hash, after)];
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      after = nodeHash(after, hash);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 ? [before, after] : undefined;
}

/** The root from an entry's hash and its proof; undefined if the proof has the wrong length. */
export const rootOfInclusion = (
  leaf: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
): Hash | undefined =>
  index >= 0 && index < size ? climb(leaf, index, size, proof)?.[1] : undefined;

/** Size and root of a tree. */
export interface TreeHead {
  /** The number of entries. */
  readonly size: number;
  readonly root: Hash;
}

/** The roots of an earlier tree and of a tree, by a proof whose first hash is of the earlier one. */
function rootsOf(old: TreeHead, tree: TreeHead, [first, ...rest]: readonly Hash[]) {
  if (first === undefined || old.size === 0 || old.size >= tree.size) return undefined;
  let at = old.size;
  let size = tree.size;
  while (!isOdd(at)) [at, size] = [half(at), Math.ceil(size / 2)];
  return climb(first, at - 1, size, rest);
}

/** Whether a consistency proof from this size omits the earlier root. */
export const isPowerOfTwo = (size: number): boolean => Number.isInteger(Math.log2(size));

/** Whether the proof shows that `tree` extends `old`. */
export function isConsistent(old: TreeHead, tree: TreeHead, proof: readonly Hash[]): boolean {
  if (old.size === 0 || old.size === tree.size) {
    const root = old.size === tree.size ? tree.root : emptyRoot();
    return proof.length === 0 && isSameHash(old.root, root);
  }
  const whole = isPowerOfTwo(old.size) ? [old.root, ...proof] : proof;
  const [before, after] = rootsOf(old, tree, whole) ?? [];
  return before !== undefined && isSameHash(before, old.root) && isSameHash(after!, tree.root);
}

/**
 * Whether the proof shows that `tree` does not extend `old`. If the old size is a power of two, a consistency proof
 * omits the old root, so it must be preceded by that root of `tree` (`pastProof`).
 */
export function isForked(old: TreeHead, tree: TreeHead, proof: readonly Hash[]): boolean {
  const [before, after] = rootsOf(old, tree, proof) ?? [];
  return before !== undefined && !isSameHash(before, old.root) && isSameHash(after!, tree.root);
}

/** The proof of a tree's own first `old_size` entries, for `isForked`. */
export async function pastProof(
  read: SubtreeReader,
  old_size: number,
  size: number,
): Promise<Hash[]> {
  const proof = await consistencyProof(read, old_size, size);
  return isPowerOfTwo(old_size) ? [await rangeRoot(read, 0, old_size), ...proof] : proof;
}
