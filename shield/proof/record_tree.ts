/**
 * The tree of one record: tiles, bundles and the newest checkpoint in a bucket, written by one Shield at a time. A
 * Shield claims the tree by compare-and-set before it writes, and publishes a checkpoint by another one. So only one of
 * two Shields can publish, and no two signed checkpoints disagree. The log is the source, and the tree follows it.
 * Tiles that a crash leaves after the published size are written again. No message waits for the tree.
 */
import type { Env } from "../../shared/env.ts";
import {
  ArqonError,
  consistencyProof,
  decodeBundle,
  decodeCheckpoint,
  Edge,
  emptyRoot,
  encodeBundle,
  encodeCheckpoint,
  HASH_BYTES,
  isConsistent,
  isSameHash,
  leafHashes,
  openNote,
  signNote,
  type SubtreeReader,
  TILE_WIDTH,
  type TileName,
  tilePath,
  tileReader,
  type TreeHead,
  widthOf,
  type WrittenTile,
} from "@arqon/proto";
import { concat } from "../../shared/containers/concat.ts";
import type { RecentMap } from "../../shared/containers/recent_map.ts";
import { decodeLeaf, encodeLeaves } from "../../shared/proof/entry.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvKey, KvUpdate } from "../../shared/spine/contract/spine.ts";
import type { LogKeys } from "./keys.ts";
import type { Batch, Position, RecordSource } from "./sources.ts";
import type { Witnesses } from "./witnesses.ts";

/** How long a tree waits for the Shield with the claim before another one claims it, in ms. */
const CLAIM_MS = 5_000;
const EMPTY = new Uint8Array();
const utf8 = new TextEncoder();

/** The counts of all trees. */
export interface ProofCounts {
  entries: number;
  checkpoints: number;
  /** Failed attempts; each is retried. */
  failed: number;
  /** How often a record did not continue as its tree recorded it. */
  breaks: number;
  /** How often the stored tree differed from the one that this Shield, or a witness, knew. */
  forks: number;
  /** Signatures of witnesses, and how often a witness has not signed. */
  cosigned: number;
  uncosigned: number;
}

/** The dependencies and settings of a tree. */
export interface RecordTreeOptions extends Pick<Env, "log" | "node_id"> {
  /** The name of the log, which begins each checkpoint. */
  readonly origin: string;
  readonly place: KvKey;
  readonly bucket: KeyValue;
  readonly source: RecordSource;
  /** The current keys, which sign as `origin`. */
  readonly keys: () => Promise<LogKeys>;
  readonly counts: Pick<ProofCounts, "entries" | "checkpoints" | "breaks" | "forks">;
  /** Absent: the tree has no witnesses. */
  readonly cosign?: Witnesses["cosign"] | undefined;
  /** Ms that only grow. */
  readonly monotonic_ms: () => number;
  /** The writing states of trees by origin. A tree without one reads its edge again. */
  readonly writings: Pick<RecentMap<string, Writing>, "get" | "set" | "delete">;
}

/** The stored state of the newest checkpoint. */
interface Head extends Position {
  readonly owner: string;
  readonly size: number;
  /** The signed note; "": none yet. */
  readonly checkpoint: string;
}

interface StoredHead {
  readonly head: Head;
  readonly root: Uint8Array;
  readonly revision: number;
}

interface KnownTree extends TreeHead {
  readonly checkpoint: string;
  /** The ids of the keys that have signed it. */
  readonly by: readonly number[];
}

/** The state with which a tree continues, in memory. */
export interface Writing {
  /** The revision of the head, which this Shield has written; 0: it has to claim the tree. */
  readonly revision: number;
  readonly edge: Edge;
  /** The last bundle, when it is partial. */
  readonly bundle: Uint8Array;
  /** The revisions of the partial tiles, by name. */
  readonly revisions: Map<string, number>;
}

const NEW_HEAD: Head = { owner: "", size: 0, stream: "", offset: 0, checkpoint: "" };

/** The tree of one record. */
export class RecordTree {
  readonly #options: RecordTreeOptions;
  /** The newest proven tree on this Shield, and its checkpoint. */
  #known: KnownTree = { size: 0, root: emptyRoot(), checkpoint: "", by: [] };
  #work: Promise<boolean> | undefined;
  /** The start of the last look for new entries, by `monotonic_ms`. */
  worked_ms = -Infinity;
  /** Where the tree ended in its record at the last look. */
  offset = 0;
  /** Since when entries wait for the Shield with the claim, with the revision and whether the tree is whole. */
  #waiting: { readonly what: string; readonly since_ms: number } | undefined;

  constructor(options: RecordTreeOptions) {
    this.#options = options;
  }

  /**
   * Adds the new entries of its record, and signs a checkpoint; false: another Shield has to do it. Rejects as the
   * Spine does, and with `log-unavailable` when the stored tree is not the one that this Shield knows.
   */
  advance(): Promise<boolean> {
    this.#work ??= this.#advance().finally(() => this.#work = undefined);
    return this.#work;
  }

  /** The newest checkpoint, with the witnesses' signatures if they have arrived. Rejects as `advance` does. */
  async checkpoint(): Promise<string> {
    const { origin, cosign } = this.#options;
    // A failure rejects the callers that wait for the work itself.
    if (cosign !== undefined) await this.#work?.catch(() => {});
    const { head: { checkpoint, size }, root, revision } = await this.#read();
    if (revision > 0) return checkpoint;
    return await signNote(encodeCheckpoint({ origin, size, root }), (await this.keys()).signers);
  }

  /** The keys that sign its checkpoints, and those that signed earlier ones. */
  keys(): Promise<LogKeys> {
    return this.#options.keys();
  }

  /** A tile or bundle of a published tree; undefined: there is none. Rejects as `advance` does. */
  async tile(tile: TileName): Promise<Uint8Array | undefined> {
    if (widthOf(this.#known.size, tile) < tile.width) await this.#read();
    if (tile.width > widthOf(this.#known.size, tile)) return undefined;
    return (await this.#stored(tile)).bytes;
  }

  async #advance(): Promise<boolean> {
    const { source, monotonic_ms, cosign } = this.#options;
    this.worked_ms = monotonic_ms();
    for (;;) {
      const stored = await this.#read();
      const [batch, { signers }] = await Promise.all([source.read(stored.head), this.keys()]);
      this.offset = batch.end.offset;
      // Requests for the logs of any names store nothing: `checkpoint` signs an empty tree.
      if (stored.revision === 0 && batch.entries.length === 0 && !batch.more) return true;
      const is_signed = signers.every(({ id }) => this.#known.by.includes(id));
      const is_whole = batch.entries.length === 0 && !batch.more && is_signed;
      if (is_whole && cosign === undefined) return true;
      // Readers get a new key at once.
      const is_rotated = !is_signed && stored.head.checkpoint !== "";
      if (!is_rotated && !this.#mayWrite(stored, is_whole)) return is_whole;
      try {
        if (is_whole) return await this.#show(stored);
        const published = await this.#take(stored, batch, signers);
        if (!batch.more) return await this.#show(published);
      } catch (error) {
        this.#forgetEdge();
        if (isConflict(error)) return false;
        throw error;
      }
    }
  }

  /** Sends a published checkpoint to the witnesses that have not signed it, and adds their signatures; returns true. */
  async #show({ head, revision }: Pick<StoredHead, "head" | "revision">): Promise<true> {
    const { cosign, origin } = this.#options;
    const { checkpoint: note, size } = head;
    const lines = await cosign?.({ origin, size, note, read: this.#subtrees(size) }) ?? "";
    if (lines === "") return true;
    const checkpoint = note + lines;
    const next = await this.#writeHead({ ...head, checkpoint }, revision);
    this.#known = { ...this.#known, checkpoint };
    const { writings } = this.#options;
    const writing = writings.get(origin);
    if (writing?.revision === revision) writings.set(origin, { ...writing, revision: next });
    return true;
  }

  #subtrees(size: number): SubtreeReader {
    return tileReader(size, async (tile) => (await this.#stored(tile)).bytes);
  }

  /** Whether this Shield has the claim, or the other Shield has abandoned it. */
  #mayWrite({ head: { owner }, revision }: StoredHead, is_whole: boolean): boolean {
    const { node_id, monotonic_ms } = this.#options;
    if (owner === node_id || owner === "") return true;
    const what = `${revision} ${is_whole}`;
    if (this.#waiting?.what !== what) this.#waiting = { what, since_ms: monotonic_ms() };
    return monotonic_ms() - this.#waiting.since_ms >= CLAIM_MS;
  }

  /** Whether there is a checkpoint that all signing keys have signed. */
  async isSignedByAll(): Promise<boolean> {
    const { by } = this.#known;
    return (await this.keys()).signers.every(({ id }) => by.includes(id));
  }

  #headUpdate(head: Head, expected_revision: number): KvUpdate {
    const value = utf8.encode(JSON.stringify(head));
    return { key: [...this.#options.place, "head"], value, expected_revision };
  }

  async #writeHead(head: Head, revision: number): Promise<number> {
    const { key, value } = this.#headUpdate(head, revision);
    return await this.#options.bucket.update(key, value, revision);
  }

  /** The stored head, if it continues the tree that this Shield knows. */
  async #read(): Promise<StoredHead> {
    const { bucket, place } = this.#options;
    const before = this.#known;
    const entry = await bucket.get([...place, "head"]);
    const head = entry === undefined ? NEW_HEAD : this.#decode(entry.value);
    const root = await this.#proven(head, before);
    return { head, root, revision: entry?.revision ?? 0 };
  }

  #decode(bytes: Uint8Array): Head {
    try {
      return { ...NEW_HEAD, ...JSON.parse(new TextDecoder().decode(bytes)) };
    } catch {
      return this.#fork("its head is not JSON");
    }
  }

  /**
   * The root of a stored head that continues the tree known before the read. A write or another read of this Shield may
   * have brought a newer head meanwhile, which must then continue this one.
   */
  async #proven({ size, checkpoint }: Head, before: KnownTree): Promise<Uint8Array> {
    if (size === before.size && checkpoint === before.checkpoint) return before.root;
    const opened = size === 0 && checkpoint === ""
      ? { size, root: emptyRoot(), by: [] }
      : await this.#open(checkpoint);
    if (opened.size !== size) this.#fork("its head does not match its checkpoint");
    const tree = { ...opened, checkpoint };
    if (size < before.size) {
      return this.#fork(`it has ${size} entries, and had ${before.size} before`);
    }
    for (;;) {
      const known = this.#known;
      const [older, newer] = size < known.size ? [tree, known] : [known, tree];
      const proof = await consistencyProof(this.#subtrees(newer.size), older.size, newer.size);
      if (!isConsistent(older, newer, proof)) {
        return this.#fork(`with ${newer.size} entries it does not continue that of ${older.size}`);
      }
      if (known !== this.#known) continue;
      if (size > known.size || known === before) this.#known = tree;
      return tree.root;
    }
  }

  async #open(checkpoint: string): Promise<Omit<KnownTree, "checkpoint">> {
    const { verifiers } = await this.keys();
    try {
      const { text, by } = await openNote(checkpoint, verifiers);
      const { size, root } = decodeCheckpoint(text);
      return { size, root, by: by.map(({ id }) => id) };
    } catch (error) {
      return this.#fork(`of its checkpoint, ${error instanceof Error ? error.message : error}`);
    }
  }

  #forgetEdge(): void {
    const { writings, origin } = this.#options;
    writings.delete(origin);
  }

  #fork(what: string): never {
    const { log, counts, origin } = this.#options;
    counts.forks++;
    this.#forgetEdge();
    log.error("a stored transparency log is not the one that was signed", { origin, what });
    throw new ArqonError("log-unavailable", `the stored transparency log: ${what}`);
  }

  #keyOf({ level, index }: TileName): KvKey {
    return [...this.#options.place, String(level), String(index)];
  }

  /** The first bytes of a tile or bundle, as wide as asked. A partial tile of leaves is made of its bundle. */
  async #stored(
    tile: TileName,
  ): Promise<{ readonly bytes: Uint8Array; readonly revision: number }> {
    if (isMade(tile)) {
      const { bytes, revision } = await this.#stored({ ...tile, level: "entries" });
      return { bytes: leafHashes(decodeBundle(bytes)!), revision };
    }
    const { value, revision } = await this.#options.bucket.get(this.#keyOf(tile)) ?? {};
    const bytes = value && cut(value, tile);
    if (bytes !== undefined) return { bytes, revision: revision ?? 0 };
    return this.#fork(`${tilePath(tile)} is gone, or cut`);
  }

  /**
   * Reads the right edge of the tree, and checks it against the root: the last bundle and the tiles before it must give
   * the root. The unsigned end of the tree in its record is checked against its last leaf.
   */
  async #loadEdge(head: Head, root: Uint8Array): Promise<Writing> {
    const { size } = head;
    const { isEnd = () => true } = this.#options.source;
    const revisions = new Map<string, number>();
    const load = async (tile: TileName): Promise<Uint8Array> => {
      const stored = await this.#stored(tile);
      revisions.set(this.#keyOf(tile).join("/"), stored.revision);
      return stored.bytes;
    };
    const index = Math.max(0, Math.ceil(size / TILE_WIDTH) - 1);
    const edge = await Edge.load(index * TILE_WIDTH, load);
    const place = { level: "entries", index } as const;
    const bundle = size === 0 ? EMPTY : await load({ ...place, width: widthOf(size, place) });
    const entries = decodeBundle(bundle)!;
    edge.append(entries);
    const same = await Promise.all(
      edge.partial().filter(({ tile }) => !isMade(tile))
        .map(async ({ tile, bytes }) => isSameHash(await load(tile), bytes)),
    );
    if (!isSameHash(edge.root(), root) || same.includes(false)) {
      return this.#fork("its tiles do not match its root");
    }
    const leaf = size === 0 ? undefined : decodeLeaf(entries.at(-1)!);
    if (size > 0 && (leaf === undefined || !isEnd(head, leaf))) {
      return this.#fork("it does not end where its head says");
    }
    return { revision: 0, edge, bundle: size % TILE_WIDTH === 0 ? EMPTY : bundle, revisions };
  }

  /** Writes the tiles of a batch, then its checkpoint. */
  async #take(
    { head, root, revision }: StoredHead,
    { entries: taken, end }: Batch,
    signers: LogKeys["signers"],
  ): Promise<Pick<StoredHead, "head" | "revision">> {
    const { counts, origin, log, bucket, node_id, writings } = this.#options;
    const known = writings.get(origin);
    const is_own = known?.revision === revision;
    const { edge, bundle, revisions } = is_own ? known : await this.#loadEdge(head, root);
    // What fails leaves the edge as it is not stored.
    this.#forgetEdge();
    const leaves = encodeLeaves(taken);
    const bundles: WrittenTile[] = [];
    let bytes = bundle;
    for (let [at, size] = [0, edge.size]; at < leaves.length;) {
      const some = leaves.slice(at, at + TILE_WIDTH - size % TILE_WIDTH);
      const index = Math.floor(size / TILE_WIDTH);
      [at, size] = [at + some.length, size + some.length];
      bytes = concat([bytes, encodeBundle(some)]);
      bundles.push({ tile: { level: "entries", index, width: size - index * TILE_WIDTH }, bytes });
      if (size % TILE_WIDTH === 0) bytes = EMPTY;
    }
    const changed = edge.append(leaves);
    const written = (leaves.length === 0 ? [] : [...changed, ...bundles])
      .filter(({ tile }) => !isMade(tile))
      .map(({ tile, bytes }) => {
        const key = this.#keyOf(tile);
        return { key, name: key.join("/"), value: bytes, is_full: tile.width === TILE_WIDTH };
      });
    const unknown = written.filter(({ name }) => !revisions.has(name));
    // Before the first claim there are none.
    if (revision > 0) await this.#learn(unknown, revisions);
    const owned = { ...head, owner: node_id };
    const still = is_own && unknown.length === 0
      ? revision
      : await this.#writeHead(owned, revision);
    const tree = { size: edge.size, root: edge.root() };
    const checkpoint = await signNote(encodeCheckpoint({ origin, ...tree }), signers);
    const { stream, offset } = end;
    const next = { ...owned, stream, offset, size: tree.size, checkpoint };
    const updates = written.map(({ key, name, value }) => (
      { key, value, expected_revision: revisions.get(name) ?? 0 }
    ));
    // The head comes last: what it names is stored.
    const stored = await bucket.updateAll([...updates, this.#headUpdate(next, still)]);
    for (const [at, { name, is_full }] of written.entries()) {
      // Full ones are never written again.
      if (is_full) revisions.delete(name);
      else revisions.set(name, stored[at]!);
    }
    const published = stored.at(-1)!;
    this.#known = { ...tree, checkpoint, by: signers.map(({ id }) => id) };
    writings.set(origin, { revision: published, edge, bundle: bytes, revisions });
    counts.checkpoints++;
    counts.entries += leaves.length;
    for (const one of taken) {
      if (!("break" in one)) continue;
      counts.breaks++;
      const found = { origin, kind: one.break };
      log.warn("a record does not continue as its transparency log recorded it", found);
    }
    return { head: next, revision: published };
  }

  /**
   * Reads the revisions of tiles that are about to be written for the first time, since a crash may have left some. The
   * tree is claimed after that, so a later claimer finds each tile unchanged, or changes it first.
   */
  async #learn(
    tiles: readonly { readonly key: KvKey; readonly name: string }[],
    revisions: Map<string, number>,
  ): Promise<void> {
    await Promise.all(tiles.map(async ({ key, name }) => {
      revisions.set(name, (await this.#options.bucket.get(key))?.revision ?? 0);
    }));
  }
}

/** Whether a tile is not stored: it would be written again with each entry, and its bundle has what makes it. */
const isMade = ({ level, width }: TileName): boolean => level === 0 && width < TILE_WIDTH;

/** The first part of a stored tile or bundle; undefined: it is shorter than requested. */
function cut(stored: Uint8Array, { level, width }: TileName): Uint8Array | undefined {
  if (level !== "entries") {
    return stored.length < width * HASH_BYTES ? undefined : stored.slice(0, width * HASH_BYTES);
  }
  const entries = decodeBundle(stored, width);
  return entries && encodeBundle(entries);
}
