/** Trees of any entries and any key. */
import {
  Edge,
  encodeBundle,
  encodeCheckpoint,
  type Signer,
  signNote,
  TILE_WIDTH,
  tilePath,
  verifierOf,
} from "@arqon/proto";

/** The files of a tree by their paths. */
export type Files = Map<string, Uint8Array>;

/** A new key that signs as that log. */
export async function signerOf(name: string): Promise<Signer> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const sign = async (text: Uint8Array) =>
    new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, new Uint8Array(text)));
  return { ...verifierOf(name, raw), sign };
}

/** All files of the tree of these entries. */
export async function filesOf(entries: readonly Uint8Array[], signer: Signer): Promise<Files> {
  const files: Files = new Map();
  const edge = new Edge();
  for (const { tile, bytes } of edge.append(entries)) files.set(tilePath(tile), bytes);
  for (let index = 0; index * TILE_WIDTH < entries.length; index++) {
    const some = entries.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
    files.set(tilePath({ level: "entries", index, width: some.length }), encodeBundle(some));
  }
  const tree = { origin: signer.name, size: entries.length, root: edge.root() };
  files.set(
    "checkpoint",
    new TextEncoder().encode(await signNote(encodeCheckpoint(tree), [signer])),
  );
  return files;
}
