/**
 * Trees in tiles (c2sp.org/tlog-tiles): 256 hashes a tile, the last one of each level partial; entries in bundles of
 * 256. The caller stores the tiles. Pure.
 */
import { emptyRoot, HASH_BYTES, leafHashes, nodeHash, pairHashes } from "./merkle.ts";
import type { Hash, SubtreeReader } from "./merkle.ts";

/** The number of hashes in a full tile, and of entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Binary levels in one tile. */
const TILE_HEIGHT = 8;
/** The most tiles that a reader of a tree caches. */
const TILES_KNOWN = 128;
/** The largest entry in bytes: a bundle has the length in two bytes. */
const ENTRY_BYTES_MAX = 65_535;

/** The id of a tile, or with level "entries" of a bundle. */
export interface TileName {
  readonly level: number | "entries";
  readonly index: number;
  /** Below `TILE_WIDTH`: a partial tile. */
  readonly width: number;
}

/** The path below the tree's prefix: `tile/0/x001/x234/067.p/8`. */
export function tilePath({ level, index, width }: TileName): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  const parts = padded.match(/\d{3}/g) ?? [];
  const name = parts.map((part, at) => at === parts.length - 1 ? part : `x${part}`).join("/");
  return `tile/${level}/${name}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** The tile of a path; undefined for a path that `tilePath` never returns. */
export function tileOf(path: string): TileName | undefined {
  const [, level = "", name = "", partial] = TILE_PATH.exec(path) ?? [];
  if (level === "") return undefined;
  const index = Number(name.replaceAll(/[x/]/g, ""));
  const width = partial === undefined ? TILE_WIDTH : Number(partial);
  const tile = { level: level === "entries" ? level : Number(level), index, width } as const;
  if (partial !== undefined && width >= TILE_WIDTH) return undefined;
  return (level === "entries" || Number(level) < 64) && tilePath(tile) === path ? tile : undefined;
}

/** The number of hashes of a tree of this size at a level of tiles. */
export const countAt = (size: number, level: number): number =>
  Math.floor(size / TILE_WIDTH ** level);

/** The width of a tile in a tree of this size; 0: there is no such tile. */
export function widthOf(size: number, { level, index }: Pick<TileName, "level" | "index">): number {
  const count = countAt(size, level === "entries" ? 0 : level);
  return Math.max(0, Math.min(TILE_WIDTH, count - index * TILE_WIDTH));
}

/** All tiles and bundles of a tree of this size. */
export function* tilesOf(size: number): Generator<TileName> {
  const levels: TileName["level"][] = ["entries"];
  for (let level = 0; countAt(size, level) > 0; level++) levels.push(level);
  for (const level of levels) {
    for (let index = 0, width; (width = widthOf(size, { level, index })) > 0; index++) {
      yield { level, index, width };
    }
  }
}

/** The root of the complete subtree with these hashes as its leaves; their number is a power of two. */
const perfectRoot = (hashes: Uint8Array): Hash =>
  hashes.length === HASH_BYTES ? hashes.slice() : perfectRoot(pairHashes(hashes));

/** Reads a tree of this size by its tiles, with a cache. Rejects as `read` does. */
export function tileReader(
  size: number,
  read: (tile: TileName) => Promise<Uint8Array>,
): SubtreeReader {
  const known = new Map<string, Promise<Uint8Array>>();
  return async (level, index) => {
    const tile_level = Math.floor(level / TILE_HEIGHT);
    const span = 2 ** (level % TILE_HEIGHT);
    const first = index * span;
    const place = { level: tile_level, index: Math.floor(first / TILE_WIDTH) };
    const tile = { ...place, width: widthOf(size, place) };
    const path = tilePath(tile);
    const reading = known.get(path) ?? read(tile).then((bytes) => {
      if (bytes.length !== tile.width * HASH_BYTES) {
        throw new Error(`${path} has ${bytes.length} bytes`);
      }
      return bytes;
    });
    known.delete(path);
    known.set(path, reading);
    if (known.size > TILES_KNOWN) known.delete(known.keys().next().value!);
    const at = (first % TILE_WIDTH) * HASH_BYTES;
    return perfectRoot((await reading).subarray(at, at + span * HASH_BYTES));
  };
}

/** The bytes of a bundle. Throws RangeError for an entry above `ENTRY_BYTES_MAX`. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const bundle = new Uint8Array(entries.reduce((sum, { length }) => sum + 2 + length, 0));
  const view = new DataView(bundle.buffer);
  let at = 0;
  for (const entry of entries) {
    if (entry.length > ENTRY_BYTES_MAX) throw new RangeError(`an entry of ${entry.length} bytes`);
    view.setUint16(at, entry.length);
    bundle.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bundle;
}

/** The first entries of a bundle; undefined if it has fewer, or is truncated. Without `width`: all. */
export function decodeBundle(bundle: Uint8Array, width?: number): Uint8Array[] | undefined {
  const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.length);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bundle.length && entries.length !== width;) {
    const end = at + 2 <= bundle.length ? at + 2 + view.getUint16(at) : Infinity;
    if (end > bundle.length) return undefined;
    entries.push(bundle.slice(at + 2, end));
    at = end;
  }
  return width === undefined || entries.length === width ? entries : undefined;
}

const EMPTY = /* @__PURE__ */ new Uint8Array();

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** A tile with its concatenated hashes. */
export interface WrittenTile {
  readonly tile: TileName;
  readonly bytes: Uint8Array;
}

/** The partial tiles of a tree of this size. */
function* partialTiles(size: number) {
  for (let level = 0, count; (count = countAt(size, level)) > 0; level++) {
    const width = count % TILE_WIDTH;
    if (width > 0) yield { level, index: Math.floor(count / TILE_WIDTH), width };
  }
}

/** Whether the right edge of a tree of this size has a complete subtree of that level. */
const hasPeak = (size: number, level: number) => Math.floor(size / 2 ** level) % 2 === 1;

/**
 * The right edge of a tree: the partial tile of each level, and the roots of the complete subtrees before its end. It
 * appends entries, and returns the tiles that change.
 */
export class Edge {
  size: number;
  /** The partial tile of each level. Neither they nor the roots are changed, so copies share them. */
  #tiles: Uint8Array[] = [];
  /** The newest hash of each binary level that has an odd number of them: such a root. */
  #peaks: Hash[] = [];

  constructor(size = 0) {
    this.size = size;
  }

  /** The edge of a tree of this size. `read` returns its partial tiles, or wider ones. Rejects as `read` does. */
  static async load(size: number, read: (tile: TileName) => Promise<Uint8Array>): Promise<Edge> {
    const edge = new Edge(size);
    for (const tile of partialTiles(size)) {
      const bytes = new Uint8Array(tile.width * HASH_BYTES);
      bytes.set((await read(tile)).subarray(0, bytes.length));
      edge.#tiles[tile.level] = bytes;
      for (let [at, end] = [0, tile.width]; end > 0; at++) {
        if (!hasPeak(end, at)) continue;
        const start = end - 2 ** at;
        edge.#peaks[tile.level * TILE_HEIGHT + at] = perfectRoot(
          bytes.subarray(start * HASH_BYTES, end * HASH_BYTES),
        );
        end = start;
      }
    }
    return edge;
  }

  copy(): Edge {
    const edge = new Edge(this.size);
    edge.#tiles = this.#tiles.slice();
    edge.#peaks = this.#peaks.slice();
    return edge;
  }

  /** Appends entries, and returns the changed and new tiles, full ones first. */
  append(entries: readonly Uint8Array[]): WrittenTile[] {
    const full: WrittenTile[] = [];
    let top = -1;
    let hashes = leafHashes(entries);
    for (let level = 0; hashes.length > 0; level++) {
      const before = Math.floor(this.size / 2 ** level);
      if (level % TILE_HEIGHT === 0) {
        top = level / TILE_HEIGHT;
        this.#put(top, Math.floor(before / TILE_WIDTH), hashes, full);
      }
      if (before % 2 === 1) hashes = joined(this.#peaks[level]!, hashes);
      if (hashes.length % (2 * HASH_BYTES) > 0) this.#peaks[level] = hashes.slice(-HASH_BYTES);
      hashes = pairHashes(hashes);
    }
    this.size += entries.length;
    return [...full, ...this.partial().filter(({ tile: { level } }) => Number(level) <= top)];
  }

  /** Writes the new hashes of a level of tiles, the first of them into the tile with this index. */
  #put(level: number, first: number, hashes: Uint8Array, full: WrittenTile[]): void {
    for (let [index, at] = [first, 0]; at < hashes.length; index++) {
      const known = this.#tiles[level] ?? EMPTY;
      const end = at + TILE_WIDTH * HASH_BYTES - known.length;
      const bytes = joined(known, hashes.subarray(at, end));
      at = end;
      const is_full = bytes.length === TILE_WIDTH * HASH_BYTES;
      if (is_full) full.push({ tile: { level, index, width: TILE_WIDTH }, bytes });
      this.#tiles[level] = is_full ? EMPTY : bytes;
    }
  }

  /** The partial tiles. */
  partial(): WrittenTile[] {
    return [...partialTiles(this.size)].map((tile) => ({ tile, bytes: this.#tiles[tile.level]! }));
  }

  /** The root of the tree. */
  root(): Hash {
    let root: Hash | undefined;
    for (let level = 0; 2 ** level <= this.size; level++) {
      if (!hasPeak(this.size, level)) continue;
      const peak = this.#peaks[level]!;
      root = root === undefined ? peak.slice() : nodeHash(peak, root);
    }
    return root ?? emptyRoot();
  }
}
