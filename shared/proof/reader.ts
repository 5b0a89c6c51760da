/**
 * Reads a tree from an untrusted server or a folder: a checkpoint must be signed, and everything read must match its
 * root. A violation is an Error that describes it.
 */
import { decodeLeaf, type RecordBreak, type RecordEntry } from "./entry.ts";
import {
  type Checkpoint,
  consistencyProof,
  decodeBundle,
  Edge,
  encodeProof,
  type EntryProof,
  type Hash,
  inclusionProof,
  isConsistent,
  isForked,
  isSameHash,
  leafHash,
  openCheckpoint,
  pastProof,
  rootOfInclusion,
  strictText,
  type SubtreeReader,
  TILE_WIDTH,
  tilePath,
  tileReader,
  tilesOf,
  type TreeHead,
  type Verifier,
  widthOf,
  type WrittenTile,
} from "@arqon/proto";

/** Returns a file of a tree by its path, for example `checkpoint` or `tile/0/000.p/8`. Rejects if there is none. */
export type TreeFiles = (path: string) => Promise<Uint8Array>;

/** An entry with its place. */
export interface ReadEntry {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly entry: RecordEntry | RecordBreak;
}

/** The bytes of the entry that a proof shows to be in a tree. Throws an Error for an invalid proof. */
export function provenBytes(
  { index, hashes, extra }: Omit<EntryProof, "checkpoint">,
  { size, root }: TreeHead,
): Uint8Array {
  if (extra === undefined) throw new Error("the proof has no entry");
  const proven = rootOfInclusion(leafHash(extra), index, size, hashes);
  if (proven !== undefined && isSameHash(proven, root)) return extra;
  throw new Error(`entry ${index} is not in the tree of the checkpoint`);
}

/** A tree with the checkpoint that it was opened with. */
export class TreeReader {
  readonly checkpoint: Checkpoint;
  readonly note: string;
  readonly #files: TreeFiles;
  readonly #read: SubtreeReader;

  private constructor(files: TreeFiles, note: string, checkpoint: Checkpoint) {
    this.#files = files;
    this.note = note;
    this.checkpoint = checkpoint;
    this.#read = tileReader(checkpoint.size, (tile) => files(tilePath(tile)));
  }

  /** Opens a tree by its newest checkpoint. Rejects unless one of these keys has signed it. */
  static async open(files: TreeFiles, ...verifiers: readonly Verifier[]): Promise<TreeReader> {
    const note = strictText(await files("checkpoint"));
    return new TreeReader(files, note, await openCheckpoint(note, ...verifiers));
  }

  /** Rejects unless one of the tree and an earlier one of the same origin extends the other; returns the proof. */
  async continues(old: Checkpoint): Promise<Hash[]> {
    const { origin, size, root } = this.checkpoint;
    if (old.origin !== origin) throw new Error(`an earlier checkpoint is of ${old.origin}`);
    if (old.size > size) {
      throw new Error(`the tree has ${size} entries, and a signed checkpoint has ${old.size}`);
    }
    const proof = await consistencyProof(this.#read, old.size, size);
    if (isConsistent(old, { size, root }, proof)) return proof;
    // The served tiles may be damaged: only tiles that match the root prove a fork.
    const is_other = old.size === 0 || old.size === size ||
      isForked(old, this.checkpoint, await pastProof(this.#read, old.size, size));
    if (!is_other) throw new Error("the tiles do not make the root of the checkpoint");
    throw new Error(
      `two signed trees: that of ${size} entries does not extend that of ${old.size}`,
    );
  }

  /** The `.tlog-proof` of an entry. Rejects when the tiles do not prove it. */
  async proofOf({ index, bytes }: Pick<ReadEntry, "index" | "bytes">): Promise<string> {
    const hashes = await inclusionProof(this.#read, index, this.checkpoint.size);
    const proof = { index, hashes, checkpoint: this.note, extra: bytes };
    provenBytes(proof, this.checkpoint);
    return encodeProof(proof);
  }

  /** The entries from an index on, as they are in the bundles: `whole` or `proofOf` proves them. */
  async *entries(from = 0): AsyncGenerator<ReadEntry> {
    for (let at = Math.floor(from / TILE_WIDTH); at * TILE_WIDTH < this.checkpoint.size; at++) {
      yield* (await this.#bundle(at)).filter(({ index }) => index >= from);
    }
  }

  /** The newest entry of an offset in the bundles; undefined: none. */
  async find(offset: number, epoch?: string): Promise<ReadEntry | undefined> {
    for (let at = Math.ceil(this.checkpoint.size / TILE_WIDTH) - 1; at >= 0; at--) {
      const found = (await this.#bundle(at)).findLast(({ entry }) =>
        "sha256" in entry && entry.offset === offset && entry.epoch === (epoch ?? entry.epoch)
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #bundle(at: number): Promise<ReadEntry[]> {
    const place = { level: "entries", index: at } as const;
    const width = widthOf(this.checkpoint.size, place);
    const path = tilePath({ ...place, width });
    const bundle = decodeBundle(await this.#files(path));
    if (bundle?.length !== width) throw new Error(`${path} is not a complete bundle`);
    return bundle.map((bytes, n) => {
      const index = at * TILE_WIDTH + n;
      const entry = decodeLeaf(bytes);
      if (entry === undefined) throw new Error(`entry ${index} is none of a record`);
      return { index, bytes, entry };
    });
  }

  /**
   * Yields every entry, and at the end rejects unless all tiles and the root match them. It rejects for a repeated
   * offset, unless the record restarts.
   */
  async *whole(): AsyncGenerator<ReadEntry> {
    const edge = new Edge();
    let last = 0;
    const { size, root } = this.checkpoint;
    const hold = async (tiles: readonly WrittenTile[]) => {
      for (const { tile, bytes } of tiles) {
        const path = tilePath(tile);
        const is_same = isSameHash(await this.#files(path), bytes);
        if (!is_same) throw new Error(`${path} does not match the entries`);
      }
    };
    for (let at = 0; edge.size < size; at++) {
      const bundle = await this.#bundle(at);
      const changed = edge.append(bundle.map(({ bytes }) => bytes));
      await hold(changed.filter(({ tile }) => tile.width === TILE_WIDTH));
      for (const one of bundle) {
        const { entry, index } = one;
        const is_next = "break" in entry ? entry.break !== "gap" : entry.offset > last;
        if ("sha256" in entry && !is_next) {
          throw new Error(`entry ${index} has offset ${entry.offset}, after one of ${last}`);
        }
        if (is_next) last = entry.offset;
        yield one;
      }
    }
    await hold(edge.partial());
    if (isSameHash(edge.root(), root)) return;
    throw new Error("the entries do not match the checkpoint");
  }

  /** The paths of all its files except the checkpoint. */
  *paths(): Generator<string> {
    for (const tile of tilesOf(this.checkpoint.size)) yield tilePath(tile);
  }
}
