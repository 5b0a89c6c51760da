/**
 * Merkle trees as RFC 6962 has them: hashes, roots, and proofs that an entry is in a tree and that a tree continues an
 * earlier one. A tree is read by its complete subtrees; where they are kept is `tiles.ts`. Pure.
 */
import { hash } from "node:crypto";

/** 32 bytes. */
export type Hash = Uint8Array;
/** Bytes of a hash. */
export const HASH_BYTES = 32;

const PAIR = new Uint8Array(1 + 2 * HASH_BYTES).fill(1, 0, 1);

/** Puts a digest into its place. One in hexadecimal needs no Buffer, which takes more time than the hash. */
function digest(bytes: Uint8Array, into: Hash): Hash {
  into.setFromHex(hash("sha256", bytes, "hex"));
  return into;
}

/** The hash of an entry. */
export function leafHash(entry: Uint8Array, into: Hash = new Uint8Array(HASH_BYTES)): Hash {
  const bytes = new Uint8Array(1 + entry.length);
  bytes.set(entry, 1);
  return digest(bytes, into);
}

/** The hash of two subtrees side by side, whose hashes are one behind the other. */
export function pairHash(pair: Uint8Array, into: Hash): Hash {
  PAIR.set(pair, 1);
  return digest(PAIR, into);
}

/** The hash of two subtrees side by side. */
export function nodeHash(left: Hash, right: Hash): Hash {
  PAIR.set(right, 1 + HASH_BYTES);
  return pairHash(left, new Uint8Array(HASH_BYTES));
}

/** The root of a tree without entries. */
export const emptyRoot = (): Hash => digest(new Uint8Array(0), new Uint8Array(HASH_BYTES));

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
export async function rangeRoot(
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

/** The root that follows from an entry's hash and its proof; undefined when the proof has not the right length. */
export function rootOfInclusion(
  leaf: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
): Hash | undefined {
  if (!(index >= 0 && index < size)) return undefined;
  let [at, last, root] = [index, size - 1, leaf];
  for (const hash of proof) {
    if (last === 0) return undefined;
    if (isOdd(at) || at === last) {
      root = nodeHash(hash, root);
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      root = nodeHash(root, hash);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 ? root : undefined;
}

/** A tree at one time. */
export interface TreeHead {
  /** How many entries it has. */
  readonly size: number;
  readonly root: Hash;
}

/** The roots of an earlier tree and of a tree, as a proof makes them; undefined: it has not the right length. */
function rootsOf(
  old: TreeHead,
  tree: TreeHead,
  proof: readonly Hash[],
): readonly [Hash, Hash] | undefined {
  if (old.size > tree.size) return undefined;
  if (old.size === 0 || old.size === tree.size) {
    return proof.length > 0 ? undefined : [old.size === 0 ? emptyRoot() : tree.root, tree.root];
  }
  let [at, last] = [old.size - 1, tree.size - 1];
  while (isOdd(at)) [at, last] = [half(at), half(last)];
  const [first, ...rest] = at === 0 ? [old.root, ...proof] : proof;
  if (first === undefined) return undefined;
  let [before, after] = [first, first];
  for (const hash of rest) {
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

/** Whether the proof shows that `tree` continues `old`. */
export function isConsistent(old: TreeHead, tree: TreeHead, proof: readonly Hash[]): boolean {
  const [before, after] = rootsOf(old, tree, proof) ?? [];
  return before !== undefined && isSameHash(before, old.root) && isSameHash(after!, tree.root);
}

/** Whether the proof shows that `tree` has another past than `old`. Of a power of two a proof has no past, and shows none. */
export function isForked(old: TreeHead, tree: TreeHead, proof: readonly Hash[]): boolean {
  const [before, after] = rootsOf(old, tree, proof) ?? [];
  return before !== undefined && !isSameHash(before, old.root) && isSameHash(after!, tree.root);
}
