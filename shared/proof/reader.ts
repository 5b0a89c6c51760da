/**
 * Reads a tree from whoever serves it, or from a folder, and believes nothing of it: a checkpoint must be signed, and
 * whatever is read must follow from its root. What is wrong is an Error that says what was found.
 */
import { decodeLeaf } from "./entry.ts";
import type { RecordBreak, RecordEntry } from "./entry.ts";
import {
  consistencyProof,
  emptyRoot,
  HASH_BYTES,
  inclusionProof,
  isConsistent,
  isSameHash,
  leafHash,
  rootOf,
  rootOfInclusion,
} from "./merkle.ts";
import type { Hash, SubtreeReader } from "./merkle.ts";
import { encodeProof, openCheckpoint } from "./note.ts";
import type { Checkpoint, Verifier } from "./note.ts";
import {
  decodeBundle,
  Edge,
  hashesOf,
  TILE_WIDTH,
  tilePath,
  tileReader,
  tilesOf,
  widthOf,
} from "./tiles.ts";
import type { TileName } from "./tiles.ts";

/** Gives a file of a tree by its path, for example `checkpoint` or `tile/0/000.p/8`. Rejects when there is none. */
export type TreeFiles = (path: string) => Promise<Uint8Array>;

/** An entry with its place. */
export interface ReadEntry {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly entry: RecordEntry | RecordBreak;
}

/** A tree with the checkpoint that it was opened with. */
export class TreeReader {
  readonly checkpoint: Checkpoint;
  /** The signed note. */
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
    const note = new TextDecoder().decode(await files("checkpoint"));
    return new TreeReader(files, note, await openCheckpoint(note, ...verifiers));
  }

  /** Rejects unless the tree continues an earlier one of the same origin, or is continued by it; its proof. */
  async continues(old: Checkpoint): Promise<Hash[]> {
    const { origin, size, root } = this.checkpoint;
    if (old.origin !== origin) throw new Error(`an earlier checkpoint is of ${old.origin}`);
    if (old.size > size) {
      throw new Error(`the tree has ${size} entries, and a signed checkpoint has ${old.size}`);
    }
    const proof = await consistencyProof(this.#read, old.size, size);
    if (isConsistent(old, { size, root }, proof)) return proof;
    throw new Error(
      `two signed trees: that of ${size} entries does not continue that of ${old.size}`,
    );
  }

  /** The `.tlog-proof` of an entry. Rejects when the tiles do not prove it. */
  async proofOf({ index, bytes }: Pick<ReadEntry, "index" | "bytes">): Promise<string> {
    const { size, root } = this.checkpoint;
    const hashes = await inclusionProof(this.#read, index, size);
    const proven = rootOfInclusion(leafHash(bytes), index, size, hashes);
    if (proven === undefined || !isSameHash(proven, root)) {
      throw new Error(`entry ${index} is not in the tree of the checkpoint`);
    }
    return encodeProof({ index, hashes, checkpoint: this.note, extra: bytes });
  }

  /** The entries from an index on, as they are in the bundles: `whole` or `proofOf` proves them. */
  async *entries(from = 0): AsyncGenerator<ReadEntry> {
    const { size } = this.checkpoint;
    for (let start = from - from % TILE_WIDTH; start < size; start += TILE_WIDTH) {
      const place = { level: "entries", index: start / TILE_WIDTH } as const;
      const path = tilePath({ ...place, width: widthOf(size, place) });
      const bundle = decodeBundle(await this.#files(path));
      if (bundle?.length !== widthOf(size, place)) throw new Error(`${path} is no whole bundle`);
      for (const [at, bytes] of bundle.entries()) {
        const index = start + at;
        if (index < from) continue;
        const entry = decodeLeaf(bytes);
        if (entry === undefined) throw new Error(`entry ${index} is none of a record`);
        yield { index, bytes, entry };
      }
    }
  }

  /** Gives every entry, and at the end rejects unless they and all tiles make the root. */
  async *whole(): AsyncGenerator<ReadEntry> {
    const { size, root } = this.checkpoint;
    const edge = new Edge(0, []);
    const made = new Map<string, readonly Hash[]>();
    let leaves: Hash[] = [];
    for await (const one of this.entries()) {
      leaves.push(leafHash(one.bytes));
      yield one;
      if (leaves.length < TILE_WIDTH && one.index + 1 < size) continue;
      for (const { tile, hashes } of edge.append(leaves)) {
        await this.#compare(tile, hashes, made);
      }
      leaves = [];
    }
    for (const [path, hashes] of made) await this.#held(path, hashes);
    if (isSameHash(edge.root() ?? emptyRoot(), root)) return;
    throw new Error("the entries are not those of the checkpoint");
  }

  /** Full tiles at once; of partial ones those that the size has at the end. */
  async #compare(
    tile: TileName,
    hashes: readonly Hash[],
    made: Map<string, readonly Hash[]>,
  ): Promise<void> {
    const width = widthOf(this.checkpoint.size, tile);
    if (tile.width === TILE_WIDTH) await this.#held(tilePath(tile), hashes);
    else if (tile.width === width) made.set(tilePath(tile), hashes);
  }

  async #held(path: string, hashes: readonly Hash[]): Promise<void> {
    const stored = await this.#files(path);
    const is_same = stored.length === hashes.length * HASH_BYTES &&
      hashesOf(stored).every((hash, at) => isSameHash(hash, hashes[at]!));
    if (!is_same) throw new Error(`${path} is not made of the entries`);
  }

  /** Rejects unless the tiles alone make the root. */
  async proveRoot(): Promise<void> {
    const { size, root } = this.checkpoint;
    if (isSameHash(await rootOf(this.#read, size), root)) return;
    throw new Error("the tiles are not those of the checkpoint");
  }

  /** The paths of all its files beside the checkpoint. */
  paths(): string[] {
    return [...tilesOf(this.checkpoint.size)].map(tilePath);
  }
}
