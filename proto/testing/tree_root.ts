/** Computes the root of a tree by a proof from its tiles alone. */
import { emptyRoot, type Hash, inclusionProof, rootOfInclusion } from "../tlog/merkle.ts";
import type { SubtreeReader } from "../tlog/merkle.ts";

/** The root of a tree of this size, by the proof of its last entry. */
export async function rootOf(read: SubtreeReader, size: number): Promise<Hash> {
  if (size === 0) return emptyRoot();
  const proof = await inclusionProof(read, size - 1, size);
  return rootOfInclusion(await read(0, size - 1), size - 1, size, proof)!;
}
