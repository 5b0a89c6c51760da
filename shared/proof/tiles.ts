/**
 * Trees in tiles, as c2sp.org/tlog-tiles has them: 256 hashes a tile, the last one of each level partial; entries in
 * bundles of 256. Where tiles are kept is the caller's matter. Pure.
 */
import { RecentMap } from "../containers/recent_map.ts";
import { HASH_BYTES, nodeHash } from "./merkle.ts";
import type { Hash, SubtreeReader } from "./merkle.ts";

/** Hashes of a full tile, and entries of a full bundle. */
export const TILE_WIDTH = 256;
/** Binary levels in one tile. */
const TILE_HEIGHT = 8;
/** Tiles that a reader of a tree keeps. */
const TILES_KNOWN = 128;
/** Bytes of one entry at most: a bundle has its length in two bytes. */
const ENTRY_BYTES_MAX = 65_535;

/** One tile, or with level "entries" one bundle. */
export interface TileName {
  readonly level: number | "entries";
  readonly index: number;
  /** Below `TILE_WIDTH`: a partial one. */
  readonly width: number;
}

/** Below the tree's prefix: `tile/0/x001/x234/067.p/8`. */
export function tilePath({ level, index, width }: TileName): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, "0");
  const parts = padded.match(/\d{3}/g) ?? [];
  const name = parts.map((part, at) => at === parts.length - 1 ? part : `x${part}`).join("/");
  return `tile/${level}/${name}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** The tile of a path; undefined for a path that `tilePath` does not make. */
export function tileOf(path: string): TileName | undefined {
  const [, level = "", name = "", partial] = TILE_PATH.exec(path) ?? [];
  if (level === "") return undefined;
  const index = Number(name.replaceAll(/[x/]/g, ""));
  const width = partial === undefined ? TILE_WIDTH : Number(partial);
  const tile = { level: level === "entries" ? level : Number(level), index, width } as const;
  if (partial !== undefined && width >= TILE_WIDTH) return undefined;
  return (level === "entries" || Number(level) < 64) && tilePath(tile) === path ? tile : undefined;
}

/** How many hashes a tree of that size has at a level of tiles. */
export const countAt = (size: number, level: number): number =>
  Math.floor(size / TILE_WIDTH ** level);

/** The width of a tile in a tree of that size; 0: it has no such tile. */
export function widthOf(size: number, { level, index }: Pick<TileName, "level" | "index">): number {
  const count = countAt(size, level === "entries" ? 0 : level);
  return Math.max(0, Math.min(TILE_WIDTH, count - index * TILE_WIDTH));
}

/** All tiles of a tree of that size, and its bundles. */
export function* tilesOf(size: number): Generator<TileName> {
  for (let index = 0; index * TILE_WIDTH < size; index++) {
    yield { level: "entries", index, width: widthOf(size, { level: "entries", index }) };
  }
  for (let level = 0; countAt(size, level) > 0; level++) {
    for (let index = 0; index * TILE_WIDTH < countAt(size, level); index++) {
      yield { level, index, width: widthOf(size, { level, index }) };
    }
  }
}

/** The hashes of a tile. */
export function hashesOf(tile: Uint8Array): Hash[] {
  return Array.from(
    { length: Math.floor(tile.length / HASH_BYTES) },
    (_, at) => tile.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES),
  );
}

/** The root of the complete subtree that these hashes are the leaves of; their number is a power of two. */
function perfectRoot(hashes: readonly Hash[]): Hash {
  if (hashes.length === 1) return hashes[0]!;
  const middle = hashes.length / 2;
  return nodeHash(perfectRoot(hashes.slice(0, middle)), perfectRoot(hashes.slice(middle)));
}

/** Reads a tree of that size by its tiles, each once for a while. Rejects as `read` does. */
export function tileReader(
  size: number,
  read: (tile: TileName) => Promise<Uint8Array>,
): SubtreeReader {
  const known = new RecentMap<string, Promise<Hash[]>>(TILES_KNOWN);
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
      return hashesOf(bytes);
    });
    known.set(path, reading);
    const at = first % TILE_WIDTH;
    return perfectRoot((await reading).slice(at, at + span));
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

/** The first entries of a bundle; undefined when it has fewer, or is cut. Without `width`: exactly all. */
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

/**
 * The right edge of a tree: the partial tile of each level. It takes entries' hashes, and says which tiles that has
 * changed.
 */
export class Edge {
  size: number;
  readonly #tiles: Hash[][];

  /** `tiles`: the partial tile of each level, as wide as the size has it. */
  constructor(size: number, tiles: readonly (readonly Hash[])[]) {
    this.size = size;
    this.#tiles = tiles.map((tile) => [...tile]);
  }

  /** Appends hashes of entries, and gives the tiles that are other or new, the full ones first. */
  append(leaves: readonly Hash[]): { readonly tile: TileName; readonly hashes: readonly Hash[] }[] {
    const changed: { tile: TileName; hashes: readonly Hash[] }[] = [];
    const touched = new Set<number>();
    const push = (level: number, hash: Hash) => {
      const tile = this.#tiles[level] ??= [];
      tile.push(hash);
      touched.add(level);
      if (tile.length < TILE_WIDTH) return;
      // The size counts the entry whose hash has filled it.
      const index = countAt(this.size, level) / TILE_WIDTH - 1;
      changed.push({ tile: { level, index, width: TILE_WIDTH }, hashes: tile });
      this.#tiles[level] = [];
      touched.delete(level);
      push(level + 1, perfectRoot(tile));
    };
    for (const leaf of leaves) {
      this.size++;
      push(0, leaf);
    }
    return [...changed, ...this.partial().filter(({ tile: { level } }) => touched.has(level))];
  }

  /** The partial tiles. */
  partial() {
    return this.#tiles.flatMap((hashes, level) => {
      const index = Math.floor(countAt(this.size, level) / TILE_WIDTH);
      const tile = { level, index, width: hashes.length };
      return hashes.length === 0 ? [] : [{ tile, hashes: [...hashes] }];
    });
  }

  /** The root of the tree; undefined: it has no entry. */
  root(): Hash | undefined {
    let root: Hash | undefined;
    for (const tile of this.#tiles) {
      let end = tile.length;
      for (let span = 1; end > 0; span *= 2) {
        if (Math.floor(tile.length / span) % 2 === 0) continue;
        const subtree = perfectRoot(tile.slice(end - span, end));
        root = root === undefined ? subtree : nodeHash(subtree, root);
        end -= span;
      }
    }
    return root;
  }
}
