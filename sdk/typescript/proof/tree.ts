/**
 * A reader's state of a transparency log's tree: the roots of its complete subtrees, which every later tree must extend
 * (RFC 6962). Also the signed notes of its checkpoints (c2sp.org/signed-note). Uses only WebCrypto.
 */
import { hex } from "../wire/hex.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Hash = Bytes;

/** Hashes of a full tile, and entries of a full bundle. */
export const TILE_WIDTH = 256;
const HASH_BYTES = 32;
const LOG = 1;
/** The kind of a key that cosigns the checkpoints of others (c2sp.org/tlog-cosignature). */
export const WITNESS = 4;

/** SHA-256 of the concatenated parts. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Hash> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all));
}

/** The bytes of a base64 text. Throws for other texts. */
const fromBase64 = (text: string): Bytes =>
  Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const nodeHash = (left: Hash, right: Hash) => sha256(Uint8Array.of(1), left, right);

/** A signed checkpoint. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly root: string;
  /** The signed note. */
  readonly note: string;
}

/** The keys, each `NAME+ID+KEY`, that have signed a note. Throws an Error for an invalid signature. */
export async function signedBy(
  note: string,
  vkeys: readonly string[],
  kind: typeof LOG | typeof WITNESS,
): Promise<ReadonlySet<string>> {
  const split = note.lastIndexOf("\n\n");
  const by = new Set<string>();
  for (const line of split < 0 ? [] : note.slice(split + 2).split("\n")) {
    const [, name = "", encoded = ""] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    const signed = fromBase64(encoded);
    const vkey = vkeys.find((one) => one.startsWith(`${name}+${hex(signed.subarray(0, 4))}+`));
    if (vkey === undefined) continue;
    const [algorithm, ...raw] = fromBase64(vkey.split("+").slice(2).join("+"));
    if (algorithm !== kind) continue;
    // The signature of a witness begins with a timestamp.
    const begin = kind === WITNESS ? 12 : 4;
    const time = kind === WITNESS && signed.length >= begin
      ? new DataView(signed.buffer).getBigUint64(4)
      : undefined;
    const head = time === undefined ? "" : `cosignature/v1\ntime ${time}\n`;
    const bytes = new TextEncoder().encode(head + note.slice(0, split + 1));
    const signature = signed.slice(begin);
    const key = await crypto.subtle.importKey("raw", Uint8Array.from(raw), "Ed25519", false, [
      "verify",
    ]);
    if (!await crypto.subtle.verify("Ed25519", key, signature, bytes)) {
      throw new Error(`the signature of ${name} is not of this checkpoint`);
    }
    by.add(vkey);
  }
  return by;
}

/** The checkpoint of a note that one of a log's keys has signed. Throws an Error. */
export async function openCheckpoint(note: string, vkeys: readonly string[]): Promise<Checkpoint> {
  const text = note.slice(0, note.lastIndexOf("\n\n") + 1);
  const [, origin = "", size = "", root = ""] =
    /^([^\n]+)\n(0|[1-9]\d{0,15})\n([^\n]+)\n(?:[^\n]+\n)*$/.exec(text) ?? [];
  const own = vkeys.filter((one) => one.startsWith(`${origin}+`));
  if ((await signedBy(note, own, LOG)).size > 0) {
    return { origin, size: Number(size), root: hex(fromBase64(root)), note };
  }
  throw new Error("no known key has signed this checkpoint");
}

/** The path of a tile or bundle (c2sp.org/tlog-tiles). */
function tilePath(level: number | "entries", index: number, width: number): string {
  const digits = String(index);
  const parts = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/\d{3}/g) ?? [];
  const name = parts.map((part, at) => at === parts.length - 1 ? part : `x${part}`).join("/");
  return `tile/${level}/${name}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

/** Reads a file of a log by its path. */
export type LogFiles = (path: string) => Promise<Bytes>;

/** A growing tree. */
export class GrowingTree {
  size = 0;
  /** By level, the root of the complete subtree of `2 ** level` entries; undefined if the size has none. */
  #subtrees: (Hash | undefined)[] = [];

  /** Loads the right edge of the tree of that size from the tiles of a later one; compare its root to verify them. */
  static async load(files: LogFiles, size: number, later: number): Promise<GrowingTree> {
    const tree = new GrowingTree();
    tree.size = size;
    for (
      let [level, count] = [0, size];
      count > 0;
      level++, count = Math.floor(count / TILE_WIDTH)
    ) {
      let width = count % TILE_WIDTH;
      if (width === 0) continue;
      const index = Math.floor(count / TILE_WIDTH);
      const there = Math.floor(later / TILE_WIDTH ** level) - index * TILE_WIDTH;
      const tile = await files(tilePath(level, index, Math.min(TILE_WIDTH, there)));
      for (let bit = 0; width > 0; bit++) {
        const span = 2 ** bit;
        if ((width & span) === 0) continue;
        const part = new GrowingTree();
        for (let at = width - span; at < width; at++) {
          await part.#push(tile.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES));
        }
        tree.#subtrees[level * 8 + bit] = part.#subtrees[bit];
        width -= span;
      }
    }
    return tree;
  }

  copy(): GrowingTree {
    const tree = new GrowingTree();
    tree.size = this.size;
    tree.#subtrees = [...this.#subtrees];
    return tree;
  }

  /** Hexadecimal. */
  async root(): Promise<string> {
    let root: Hash | undefined;
    for (const subtree of this.#subtrees) {
      if (subtree !== undefined) root = root ? await nodeHash(subtree, root) : subtree;
    }
    return hex(root ?? await sha256());
  }

  /** Appends the entries up to that size from the bundles of a later tree, and returns them. */
  async grow(files: LogFiles, size: number, later: number): Promise<Bytes[]> {
    const grown: Bytes[] = [];
    while (this.size < size) {
      const first = this.size % TILE_WIDTH;
      const index = Math.floor(this.size / TILE_WIDTH);
      const width = Math.min(TILE_WIDTH, later - index * TILE_WIDTH);
      const path = tilePath("entries", index, width);
      const entries = entriesOf(await files(path));
      if (entries.length !== width) throw new Error(`${path} has ${entries.length} entries`);
      for (const entry of entries.slice(first, size - index * TILE_WIDTH)) {
        await this.#push(await sha256(Uint8Array.of(0), entry));
        grown.push(entry);
      }
    }
    return grown;
  }

  async #push(leaf: Hash): Promise<void> {
    this.size++;
    let hash = leaf;
    let level = 0;
    for (; this.#subtrees[level] !== undefined; level++) {
      hash = await nodeHash(this.#subtrees[level]!, hash);
      this.#subtrees[level] = undefined;
    }
    this.#subtrees[level] = hash;
  }
}

/** The entries of a bundle. */
function entriesOf(bundle: Bytes): Bytes[] {
  const entries: Bytes[] = [];
  for (let at = 0; at + 2 <= bundle.length;) {
    const end = at + 2 + bundle[at]! * 256 + bundle[at + 1]!;
    entries.push(bundle.slice(at + 2, end));
    at = end;
  }
  return entries;
}
