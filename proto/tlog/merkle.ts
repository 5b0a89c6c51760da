/**
 * Merkle trees as RFC 6962 has them: hashes, roots, and proofs that an entry is in a tree and that a tree continues an
 * earlier one. A tree is read by its complete subtrees; where they are kept is `tiles.ts`. Pure.
 */
import { sha256 } from "./sha256.ts";

/** 32 bytes. */
export type Hash = Uint8Array;
/** Bytes of a hash. */
export const HASH_BYTES = 32;

// What is hashed is put together here: a buffer for each takes as long as its hash.
const LEAF = /* @__PURE__ */ new Uint8Array(1_024);
const PAIR = /* @__PURE__ */ Uint8Array.of(1, ...new Uint8Array(2 * HASH_BYTES));

/** The hash of an entry. */
export function leafHash(entry: Uint8Array, into: Hash = new Uint8Array(HASH_BYTES)): Hash {
  const end = 1 + entry.length;
  const bytes = end > LEAF.length ? new Uint8Array(end) : LEAF;
  bytes.set(entry, 1);
  return sha256(bytes, into, end);
}

/** The hash of two subtrees side by side, whose hashes are one behind the other. */
export function pairHash(pair: Uint8Array, into: Hash): Hash {
  PAIR.set(pair, 1);
  return sha256(PAIR, into);
}

/** The hash of two subtrees side by side. */
export function nodeHash(left: Hash, right: Hash): Hash {
  PAIR.set(right, 1 + HASH_BYTES);
  return pairHash(left, new Uint8Array(HASH_BYTES));
}

/** The root of a tree without entries. */
export const emptyRoot = (): Hash => sha256(new Uint8Array(0));

/** Whether two hashes are the same. */
export const isSameHash = (a: Hash, b: Hash): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

/** Gives the root of the complete subtree of `2 ** level` entries with that index among its like. */
export type SubtreeReader = (level: number, index: number) => Promise<Hash>;

/** The largest power of two below `n`, which is at least 2. */
function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

/** The root of the entries from `from` to before `to`. `from` is a multiple of the next power of two. */
async function rangeRoot(
  read: SubtreeReader,
  from: number,
  to: number,
): Promise<Hash> {
  const size = to - from;
  const level = Math.log2(size);
  if (Number.isInteger(level)) return await read(level, from / size);
  const split = from + splitOf(size);
  return nodeHash(await rangeRoot(read, from, split), await rangeRoot(read, split, to));
}

/** The proof that the entry with this index is in the tree of that size: PATH of RFC 6962, 2.1.1. */
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

/** The proof that a tree continues its earlier self of `old_size`: PROOF of RFC 6962, 2.1.2. */
export async function consistencyProof(
  read: SubtreeReader,
  old_size: number,
  size: number,
): Promise<Hash[]> {
  if (old_size < 0 || old_size > size) throw new RangeError(`${old_size} before ${size}`);
  if (old_size === 0 || old_size === size) return [];
  const proof: Hash[] = [];
  let [from, to] = [0, size];
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
  // A verifier has the old root, and needs no hash of what is all of the old tree.
  if (from > 0) proof.unshift(await rangeRoot(read, from, to));
  return proof;
}

const half = (n: number) => Math.floor(n / 2);
const isOdd = (n: number) => n % 2 === 1;

/** What a proof makes of a hash: the root of what is left of it with it, and the root of all; undefined: its length is wrong. */
function climb(
  first: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
): readonly [before: Hash, after: Hash] | undefined {
  let [at, last, before, after] = [index, size - 1, first, first];
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

/** The root that follows from an entry's hash and its proof; undefined when the proof has not the right length. */
export const rootOfInclusion = (
  leaf: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
): Hash | undefined =>
  index >= 0 && index < size ? climb(leaf, index, size, proof)?.[1] : undefined;

/** A tree at one time. */
export interface TreeHead {
  /** How many entries it has. */
  readonly size: number;
  readonly root: Hash;
}

/** The roots of an earlier tree and of a tree that a proof makes, whose first hash is of the earlier one. */
function rootsOf(old: TreeHead, tree: TreeHead, [first, ...rest]: readonly Hash[]) {
  if (first === undefined || old.size === 0 || old.size >= tree.size) return undefined;
  let [at, size] = [old.size, tree.size];
  while (!isOdd(at)) [at, size] = [half(at), Math.ceil(size / 2)];
  return climb(first, at - 1, size, rest);
}

/** Whether a consistency proof from that size leaves out the earlier root. */
export const isPowerOfTwo = (size: number): boolean => Number.isInteger(Math.log2(size));

/** Whether the proof shows that `tree` continues `old`. */
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
 * Whether the proof shows that `tree` has another past than `old`. Of two to a power of entries a consistency proof says
 * nothing of the past: there the root of those of `tree` must be in front of it (`pastProof`).
 */
export function isForked(old: TreeHead, tree: TreeHead, proof: readonly Hash[]): boolean {
  const [before, after] = rootsOf(old, tree, proof) ?? [];
  return before !== undefined && !isSameHash(before, old.root) && isSameHash(after!, tree.root);
}

/** What shows a tree's own past of `old_size` entries, for `isForked`. */
export async function pastProof(
  read: SubtreeReader,
  old_size: number,
  size: number,
): Promise<Hash[]> {
  const proof = await consistencyProof(read, old_size, size);
  return isPowerOfTwo(old_size) ? [await rangeRoot(read, 0, old_size), ...proof] : proof;
}
