/**
 * Compares the messages of a subscription with the room's transparency log: each message must be an entry under the
 * newest signed checkpoint, and each checkpoint must extend the previous one. A violation is a `ProofError` with
 * evidence.
 */
import { hex } from "../wire/hex.ts";
import { encodeTextMessage, readEnvelope } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import { askPatiently } from "./patient.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Hash = Bytes;

/** Hashes of a full tile, and entries of a full bundle. */
const TILE_WIDTH = 256;
const HASH_BYTES = 32;
const LOG = 1;
/** The kind of a key that cosigns the checkpoints of others (c2sp.org/tlog-cosignature). */
const WITNESS = 4;

/** SHA-256 of the concatenated parts. */
async function sha256(...parts: readonly Uint8Array[]): Promise<Hash> {
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
interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly root: string;
  /** The signed note. */
  readonly note: string;
}

/** The keys, each `NAME+ID+KEY`, that have signed a note. Throws an Error for an invalid signature. */
async function signedBy(
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
async function openCheckpoint(note: string, vkeys: readonly string[]): Promise<Checkpoint> {
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
type LogFiles = (path: string) => Promise<Bytes>;

/** A growing tree. */
class GrowingTree {
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

const WAIT_MS = 60_000;
const POLL_MS = 1_000;
const utf8 = new TextEncoder();
const pause = (delay_ms = POLL_MS) => new Promise<void>((resolve) => setTimeout(resolve, delay_ms));

/** Options of a verified log. */
export interface VerifiedLogOptions {
  /** Its URL: `https://bus.example.com/v1/proof/acme.bets`. */
  readonly url: string;
  /** The keys that may have signed it, as `arq proof key` prints them. */
  readonly vkeys: readonly string[];
  /** Token for a log that is not public. */
  readonly token?: string | (() => string | Promise<string>);
  /** A saved checkpoint: the log must extend it. */
  readonly checkpoint?: string;
  /** The keys of witnesses, as `arq proof witness` prints them: each newest checkpoint must have their cosignatures. */
  readonly witnesses?: readonly string[];
  /**
   * The required number of witnesses; default all. With half of them or fewer, two readers may see different histories.
   */
  readonly quorum?: number;
  /**
   * How long to wait for a message's entry, a checkpoint's cosignatures, and a file that the log has announced, in ms;
   * default one minute, as in a receipt.
   */
  readonly wait_ms?: number;
  /**
   * Whether every entry must arrive as a message; default true. Use false with a filter, with `no_echo`, or if a replay
   * crosses erased messages.
   */
  readonly complete?: boolean;
}

/** Evidence of a violation, for anybody with the keys. */
export interface ProofEvidence {
  /** Signed notes, the older one first. */
  readonly checkpoints: readonly string[];
  /** The entry of the log, as text. */
  readonly entry?: string | undefined;
  readonly message?: Message | undefined;
  /** The hash of the received message's text. */
  readonly sha256?: string | undefined;
}

/**
 * `fork`: two signed trees, and neither extends the other. `gap`: an entry of the log did not arrive as a message.
 * `changed`: the log has another message at that offset. `missing`: it has none in time. `damaged`: its files match no
 * signed tree, so nothing can be verified.
 */
export class ProofError extends Error {
  override readonly name = "ProofError";
  readonly kind: "fork" | "gap" | "changed" | "missing" | "damaged";
  readonly evidence: ProofEvidence;

  constructor(kind: ProofError["kind"], message: string, evidence: ProofEvidence) {
    super(message);
    this.kind = kind;
    this.evidence = evidence;
  }
}

interface Entry {
  readonly text: string;
  readonly epoch: string;
  readonly offset: number;
  /** Absent: the record breaks here. */
  readonly sha256?: string;
}

/** Verifies the messages of one room against its log. */
export class VerifiedLog {
  readonly #options: VerifiedLogOptions;
  readonly #witnesses: readonly string[];
  readonly #quorum: number;
  /** The entries after the last verified message. */
  #entries: Entry[] = [];
  #tree: GrowingTree | undefined;
  #checkpoint: Checkpoint | undefined;
  /** Whether the previous entry arrived as a message. */
  #is_joined = false;

  /** Throws a RangeError for a quorum above the number of distinct witnesses. */
  constructor(options: VerifiedLogOptions) {
    this.#options = options;
    this.#witnesses = [...new Set(options.witnesses)];
    const { length } = this.#witnesses;
    const { quorum = length } = options;
    const is_possible = Number.isInteger(quorum) && quorum <= length &&
      quorum >= Math.min(1, length);
    if (!is_possible) throw new RangeError(`quorum is ${quorum}, of ${length} witnesses`);
    this.#quorum = quorum;
  }

  /** The newest verified checkpoint, for saving; undefined: none yet. */
  get checkpoint(): string | undefined {
    return this.#checkpoint?.note;
  }

  /** The messages of a subscription, each once it is verified. Rejects with a ProofError. */
  async *verify(messages: AsyncIterable<Message>): AsyncGenerator<Message> {
    for await (const message of messages) {
      // A GAP that the bus reports is not a hidden gap.
      if (message.signal !== undefined && Number(message.offset) === 0) this.#is_joined = false;
      else await this.#hold(message);
      yield message;
    }
  }

  /** The newest checkpoint, once enough witnesses have cosigned it; they sign after it is published. */
  async #newest(): Promise<Checkpoint> {
    const { vkeys, wait_ms = WAIT_MS } = this.#options;
    const until_ms = performance.now() + wait_ms;
    for (;;) {
      const next = await openCheckpoint(text(await this.#files("checkpoint")), vkeys);
      const { size } = await signedBy(next.note, this.#witnesses, WITNESS);
      if (size >= this.#quorum) return next;
      if (performance.now() >= until_ms) {
        const { length } = this.#witnesses;
        throw new Error(`${size} of ${length} witnesses have cosigned the checkpoint`);
      }
      await pause();
    }
  }

  /** Reads the newest checkpoint, and the tree before it up to the offset. */
  async #begin(offset: number, until_ms: number): Promise<void> {
    const { vkeys, checkpoint } = this.#options;
    let next = await this.#newest();
    const kept = checkpoint === undefined ? next : await openCheckpoint(checkpoint, vkeys);
    // A cache may still serve an older checkpoint: it is a fork only if it stays.
    while (kept.size > next.size && performance.now() < until_ms) {
      await pause();
      next = await this.#newest();
    }
    const is_other = kept.size === next.size && kept.root !== next.root;
    if (is_other || kept.size > next.size || kept.origin !== next.origin) this.#fork(kept, next);
    for (let bundles = 1;; bundles *= 2) {
      const from = Math.max(0, (Math.floor(kept.size / TILE_WIDTH) - bundles) * TILE_WIDTH);
      this.#entries = [];
      await this.#grow(await GrowingTree.load(this.#files, from, next.size), kept, kept, next);
      await this.#grow(this.#tree!, kept, next, next);
      if (from === 0 || this.#entries[0]!.offset < offset) return;
    }
  }

  /** The log's name ends in `TENANT.ROOM`. */
  get #tenant_id(): string {
    return /([^/.]+)\.[^/]*$/.exec(this.#checkpoint!.origin)?.[1] ?? "";
  }

  /** Reads the newest checkpoint and its new entries; returns the checkpoint. */
  async #advance(): Promise<Checkpoint> {
    const [before, next] = [this.#checkpoint!, await this.#newest()];
    // An older one proves nothing: the message keeps waiting.
    if (next.size >= before.size) await this.#grow(this.#tree!.copy(), before, next, next);
    return next;
  }

  /** Reads the entries up to a checkpoint from the files of the newest one. */
  async #grow(
    tree: GrowingTree,
    before: Checkpoint,
    next: Checkpoint,
    newest: Checkpoint,
  ): Promise<void> {
    const grown = await tree.grow(this.#files, next.size, newest.size);
    // The newest tree need not extend the previous one.
    if (await tree.root() !== next.root) await this.#accuseFiles(before, newest);
    [this.#tree, this.#checkpoint] = [tree, next];
    for (const bytes of grown) {
      this.#entries.push({ ...JSON.parse(text(bytes)), text: text(bytes) });
    }
  }

  #fork(before: Checkpoint, next: Checkpoint): never {
    const what =
      `the log of ${next.size} entries does not continue its signed checkpoint of ${before.size}`;
    throw new ProofError("fork", what, { checkpoints: [before.note, next.note] });
  }

  /** Distinguishes a fork from damaged files: in a fork the files match the newer root with another history. */
  async #accuseFiles(before: Checkpoint, next: Checkpoint): Promise<never> {
    const tree = await GrowingTree.load(this.#files, before.size, next.size);
    const past = await tree.root();
    await tree.grow(this.#files, next.size, next.size);
    if (past !== before.root && await tree.root() === next.root) this.#fork(before, next);
    const what = `the files of the log do not make its signed checkpoint of ${next.size} entries`;
    throw new ProofError("damaged", what, { checkpoints: [next.note] });
  }

  readonly #files: LogFiles = async (path) => {
    const { url, token, wait_ms = WAIT_MS } = this.#options;
    const ask = async (signal: AbortSignal) => {
      const given = typeof token === "function" ? await token() : token;
      const headers = given === undefined ? {} : { authorization: `Bearer ${given}` };
      return await fetch(`${url}/${path}`, { headers, signal });
    };
    const { answer, bytes, waited } = await askPatiently(ask, wait_ms, pause);
    if (answer.ok) return bytes;
    throw new Error(`${path}: HTTP ${answer.status} ${text(bytes).slice(0, 1_000)}${waited}`);
  };

  /** The hash of a message's text form, as in its entry. */
  async #hashOf(message: Message): Promise<string> {
    const { type, data, content_type, schema_id, signal } = message;
    const text = encodeTextMessage({
      ...readEnvelope(new Uint8Array()),
      ...signal === undefined ? { event: { type, data, content_type, schema_id } } : { signal },
      room_id: message.room,
      tenant_id: this.#tenant_id,
      sender_id: message.sender,
      timestamp_ms: message.timestamp_ms,
      headers: message.headers,
      trace_id: message.trace_id,
      message_id: message.message_id,
      offset: message.offset,
      ...message.signature === undefined ? {} : { signature: message.signature },
    });
    return hex(await sha256(utf8.encode(text)));
  }

  /** Waits until the log has a message's entry, and compares them. */
  async #hold(message: Message): Promise<void> {
    const { wait_ms = WAIT_MS, complete = true } = this.#options;
    const offset = Number(message.offset);
    const until_ms = performance.now() + wait_ms;
    if (this.#tree === undefined) await this.#begin(offset, until_ms);
    const hash = await this.#hashOf(message);
    // The bus reports the present epoch, also for messages stored in an earlier one.
    const find = () =>
      this.#entries.findIndex((one) =>
        one.sha256 !== undefined && one.offset === offset &&
        (message.epoch === "" || one.epoch === message.epoch || one.sha256 === hash)
      );
    while (find() < 0) {
      const next = await this.#advance();
      if (find() >= 0) break;
      if (performance.now() < until_ms) {
        await pause();
        continue;
      }
      if (next.size < this.#checkpoint!.size) this.#fork(this.#checkpoint!, next);
      this.#accuse("missing", "the log has no entry of", { message, sha256: hash });
    }
    const before = this.#entries.splice(0, find());
    const { text: entry, sha256 } = this.#entries.shift()!;
    if (sha256 !== hash) {
      this.#accuse("changed", "the log has another message in place of", {
        message,
        sha256: hash,
        entry,
      });
    }
    const is_whole = before.every((one) => one.sha256 !== undefined);
    if (complete && this.#is_joined && is_whole && before.length > 0) {
      this.#accuse("gap", "the log has what has not come before", {
        message,
        entry: before[0]!.text,
      });
    }
    this.#is_joined = true;
  }

  #accuse(
    kind: ProofError["kind"],
    what: string,
    found: Omit<ProofEvidence, "checkpoints">,
  ): never {
    const { room = "", offset = 0 } = found.message ?? {};
    const checkpoints = [this.#checkpoint!.note];
    throw new ProofError(kind, `${what} the message at offset ${offset} of ${room}`, {
      checkpoints,
      ...found,
    });
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
