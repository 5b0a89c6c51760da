/**
 * Compares the messages of a subscription with the room's transparency log: each message must be an entry under the
 * newest signed checkpoint, and each checkpoint must extend the previous one. A violation is a `ProofError` with
 * evidence.
 */
import { consistencyProof, decodeBundle, decodeVerifier, decodeWitness, Edge } from "@arqon/proto";
import { encodeTextMessage, encodeUtf8, isConsistent, isForked, isSameHash } from "@arqon/proto";
import { openCosigned, pastProof, readEnvelope, sha256, TILE_WIDTH, tilePath } from "@arqon/proto";
import { tileReader, widthOf } from "@arqon/proto";
import type { Checkpoint, TreeHead, Verifier } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import { sleep } from "../time/clock.ts";
import { hex } from "../request/room_request.ts";
import { textOf } from "../wire/wire_error.ts";
import { type Answered, askPatiently } from "./patient.ts";

const WAIT_MS = 60_000;
const POLL_MS = 1_000;
/** A Shield may need this long to see a log that another Shield has created, in ms. */
const NEW_MS = 10_000;
/** Entries that are read at a time, and about as many are in memory. */
const AHEAD = 16 * TILE_WIDTH;
/** Beside a checkpoint: the class of the room omits messages for its readers, by a filter or without echo. */
const PARTIAL = "x-arqon-partial";
const LEFT_OUT =
  "the room's class leaves out messages for its readers, by its filter or without echo, " +
  "so say complete: false. This has not come";
const BUS_TYPE = /^(ROOM|PRESENCE|SYSTEM)_/;

/** The option `proof` of `connect`, and a part of the options of a verified log. */
export interface ProofOptions {
  /**
   * The keys that may have signed a log, as `arq proof key` prints them. For `connect`: one of each key of the tenant
   * is enough, since it signs the logs of all rooms.
   */
  readonly vkeys: readonly string[];
  /** The keys of witnesses, as `arq proof witness` prints them: each newest checkpoint must have their cosignatures. */
  readonly witnesses?: readonly string[];
  /**
   * The required number of witnesses; default all. With half of them or fewer, two readers may see different histories.
   */
  readonly quorum?: number;
  /**
   * How long to wait for a message's entry, a checkpoint's cosignatures, and a log that does not answer, in ms; default
   * one minute, as in a receipt.
   */
  readonly wait_ms?: number;
  /**
   * Whether every entry must arrive as a message; default true. Use false with a filter, with `no_echo`, in a room
   * whose class has one of them, or if a replay crosses erased messages.
   */
  readonly complete?: boolean;
}

/** Options of a verified log. */
export interface VerifiedLogOptions extends ProofOptions {
  /** Its URL: `https://bus.example.com/v1/proof/acme.bets`. */
  readonly url: string;
  /** Token for a log that is not public. */
  readonly token?: string | (() => string | Promise<string>);
  /** A saved checkpoint: the log must extend it. */
  readonly checkpoint?: string;
  /** Aborting ends every wait: `verify` rejects with the reason. */
  readonly signal?: AbortSignal;
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
  readonly break?: string;
  /** Whether the record has continued without it: its log was lost, or restored from a backup. */
  is_over?: boolean;
}

interface Head extends Checkpoint {
  readonly note: string;
}

/** Parses keys. Throws TypeError for an invalid one. */
const keysOf = (option: string, vkeys: readonly string[], decode: typeof decodeVerifier) =>
  [...new Set(vkeys)].map((vkey): Verifier => {
    const verifier = decode(vkey);
    if (verifier !== undefined) return verifier;
    throw new TypeError(`${option} has ${JSON.stringify(vkey)}: expected NAME+ID+KEY`);
  });

/** Verifies the messages of one room against its log. `verify` of `Room.subscribe` makes one for each loop. */
export class VerifiedLog {
  readonly #options: VerifiedLogOptions;
  readonly #keys: readonly Verifier[];
  readonly #witnesses: readonly Verifier[];
  readonly #quorum: number;
  /** The entries after the last verified message, as far as they are read. */
  #entries: Entry[] = [];
  /** The lowest of those in front of them that did not arrive as a message; undefined: none. */
  #passed: Entry | undefined;
  #edge: Edge | undefined;
  #checkpoint: Head | undefined;
  /** Whether the previous entry arrived as a message. */
  #is_joined = false;
  /** Whether the room's class omits messages for its readers, as said with the newest checkpoint. */
  #is_partial = false;

  /** Throws a RangeError for a quorum above the number of distinct witnesses, and TypeError for a malformed key. */
  constructor(options: VerifiedLogOptions) {
    this.#options = options;
    this.#keys = keysOf("vkeys", options.vkeys, decodeVerifier);
    this.#witnesses = keysOf("witnesses", options.witnesses ?? [], decodeWitness);
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
      await this.#hold(message);
      yield message;
    }
  }

  /** The newest checkpoint, once enough witnesses have cosigned it; they sign after it is published. */
  async #newest(): Promise<Head> {
    const { wait_ms = WAIT_MS } = this.#options;
    const until_ms = performance.now() + wait_ms;
    for (;;) {
      const note = text(await this.#files("checkpoint"));
      const { checkpoint, by } = await openCosigned(note, this.#keys, this.#witnesses).catch(
        (error) => Promise.reject(new Error(`${this.#options.url}/checkpoint: ${textOf(error)}`)),
      );
      if (by.length >= this.#quorum) return { ...checkpoint, note };
      if (performance.now() >= until_ms) {
        const { length } = this.#witnesses;
        throw new Error(`${by.length} of ${length} witnesses have cosigned the checkpoint`);
      }
      await this.#pause();
    }
  }

  /** Reads the newest checkpoint, and of its entries some that begin in front of the offset. */
  async #begin(offset: number, until_ms: number): Promise<void> {
    const { checkpoint: note } = this.#options;
    let next = await this.#newest();
    const kept = note === undefined
      ? next
      : { ...(await openCosigned(note, this.#keys, [])).checkpoint, note };
    // A cache may still serve an older checkpoint: it is a fork only if it stays.
    while (kept.size > next.size && performance.now() < until_ms) {
      await this.#pause();
      next = await this.#newest();
    }
    if (kept.size > next.size || kept.origin !== next.origin) this.#fork(kept, next);
    await this.#requireContinued(kept, kept, next);
    let index = Math.floor(next.size / TILE_WIDTH);
    for (let back = 1;; back *= 2) {
      index = Math.max(0, index - back);
      [this.#entries, this.#passed] = [[], undefined];
      await this.#grow(await Edge.load(index * TILE_WIDTH, this.#tilesOf(next)), next, next);
      if (index === 0 || this.#entries[0]!.offset < offset) return;
    }
  }

  /** Returns a reader of tiles with their widths in that tree. */
  readonly #tilesOf = ({ size }: Checkpoint) => (tile: Parameters<typeof widthOf>[1]) =>
    this.#files(tilePath({ ...tile, width: widthOf(size, tile) }));

  /** Reads on, once all of the last checkpoint is read in the newest one; returns the checkpoint. */
  async #advance(): Promise<Head> {
    const edge = this.#edge!;
    const before = this.#checkpoint!;
    const next = edge.size < before.size ? before : await this.#newest();
    // An older one proves nothing: the message keeps waiting.
    if (next.size >= before.size) await this.#grow(edge.copy(), before, next);
    return next;
  }

  /** Reads the next entries of a checkpoint, at most about AHEAD, in place of those before. */
  async #grow(edge: Edge, before: Head, next: Head): Promise<void> {
    const grown: Uint8Array[] = [];
    for (const to = Math.min(next.size, edge.size + AHEAD); edge.size < to;) {
      const place = { level: "entries", index: Math.floor(edge.size / TILE_WIDTH) } as const;
      const entries = decodeBundle(await this.#tilesOf(next)(place));
      if (entries?.length !== widthOf(next.size, place)) await this.#accuseFiles(before, next);
      const some = entries!.slice(edge.size % TILE_WIDTH);
      edge.append(some);
      grown.push(...some);
    }
    // The newest tree need not extend the previous one.
    await this.#requireContinued({ size: edge.size, root: edge.root() }, before, next);
    [this.#edge, this.#checkpoint] = [edge, next];
    this.#pass(this.#entries.splice(0));
    for (const bytes of grown) this.#take({ ...JSON.parse(text(bytes)), text: text(bytes) });
  }

  /** Rejects unless a tree continues an earlier one, by its own tiles. */
  async #requireContinued(old: TreeHead, before: Head, next: Head): Promise<void> {
    const read = tileReader(next.size, this.#tilesOf(next));
    const proof = await consistencyProof(read, old.size, next.size);
    if (!isConsistent(old, next, proof)) await this.#accuseFiles(before, next);
  }

  #take(entry: Entry): void {
    if (entry.break === "lost" || entry.break === "restored") {
      for (const one of this.#entries) one.is_over ||= one.offset > entry.offset;
      if ((this.#passed?.offset ?? 0) > entry.offset) this.#passed = undefined;
    }
    this.#entries.push(entry);
  }

  /** Notes what did not arrive. Of several the lowest: a break that takes it back takes back all. */
  #pass(entries: readonly Entry[]): void {
    for (const one of entries) {
      const is_lower = one.offset < (this.#passed?.offset ?? Infinity);
      if (one.sha256 !== undefined && !one.is_over && is_lower) this.#passed = one;
    }
  }

  #fork(before: Head, next: Head): never {
    const what =
      `the log of ${next.size} entries does not continue its signed checkpoint of ${before.size}`;
    throw new ProofError("fork", what, { checkpoints: [before.note, next.note] });
  }

  /** Distinguishes a fork from damaged files: in a fork the files match the newer root with another history. */
  async #accuseFiles(before: Head, next: Head): Promise<never> {
    const read = tileReader(next.size, this.#tilesOf(next));
    const is_fork = before.size === next.size
      ? !isSameHash(before.root, next.root)
      : isForked(before, next, await pastProof(read, before.size, next.size));
    if (is_fork) this.#fork(before, next);
    const what = `the files of the log do not make its signed checkpoint of ${next.size} entries`;
    throw new ProofError("damaged", what, { checkpoints: [next.note] });
  }

  readonly #pause = async (delay_ms = POLL_MS): Promise<void> => {
    const { signal } = this.#options;
    await sleep(delay_ms, signal);
    signal?.throwIfAborted();
  };

  /** Reads a file of the log. Retries while the bus restarts, and after a requested wait. */
  readonly #files = async (path: string): Promise<Uint8Array> => {
    const { url, token, signal: stop, wait_ms = WAIT_MS } = this.#options;
    const ask = async (signal: AbortSignal) => {
      const given = typeof token === "function" ? await token() : token;
      const headers = given === undefined ? {} : { authorization: `Bearer ${given}` };
      return await fetch(`${url}/${path}`, { headers, signal });
    };
    for (const until_ms = performance.now() + wait_ms;;) {
      const left_ms = until_ms - performance.now();
      const answered: Answered | Error = await askPatiently(ask, left_ms, this.#pause, stop)
        // `fetch` throws these without an answer, or after the timeout.
        .catch((error) =>
          error instanceof TypeError || error.name === "TimeoutError"
            ? error
            : Promise.reject(error)
        );
      let what = textOf(answered);
      let is_passing = left_ms > 0;
      if (!(answered instanceof Error)) {
        const { answer, bytes, waited } = answered;
        const { ok, status } = answer;
        if (ok) {
          if (path === "checkpoint") this.#is_partial = answer.headers.has(PARTIAL);
          return bytes;
        }
        what = `HTTP ${status} ${text(bytes).slice(0, 1_000)}${waited}`;
        const is_new = status === 404 && left_ms > wait_ms - NEW_MS;
        is_passing &&= (status >= 500 || is_new) && waited === "";
      }
      if (!is_passing) throw new Error(`${url}/${path}: ${what}`);
      await this.#pause();
    }
  };

  /** The hash of a message's text form, as in its entry. */
  #hashOf(message: Message, tenant_id: string): string {
    const { type, data, content_type, schema_id, signal } = message;
    const text = encodeTextMessage({
      ...readEnvelope(new Uint8Array()),
      ...signal === undefined ? { event: { type, data, content_type, schema_id } } : { signal },
      room_id: message.room,
      tenant_id,
      sender_id: message.sender,
      timestamp_ms: message.timestamp_ms,
      headers: message.headers,
      trace_id: message.trace_id,
      message_id: message.message_id,
      offset: message.offset,
      ...message.signature === undefined ? {} : { signature: message.signature },
    });
    return hex(sha256(encodeUtf8(text)));
  }

  /** Waits until the log has a message's entry, and compares them. */
  async #hold(message: Message): Promise<void> {
    const { wait_ms = WAIT_MS, complete = true } = this.#options;
    const { epoch, room } = message;
    const offset = Number(message.offset);
    const until_ms = performance.now() + wait_ms;
    // Messages of the bus itself are not stored, and its GAP is not a hidden gap. No user may send such a type.
    const of_bus = message.signal !== undefined || BUS_TYPE.test(message.type);
    if (offset === 0 && message.sender === "" && of_bus) {
      if (message.signal?.kind === "GAP") this.#is_joined = false;
      return;
    }
    if (this.#edge === undefined) await this.#begin(offset, until_ms);
    const { origin } = this.#checkpoint!;
    const [, tenant_id = "", own] = /([^/.]+)\.([^/.]*)$/.exec(origin) ?? [];
    if (room !== own) throw new Error(`a message of ${room} is not in the log ${origin}`);
    const hash = this.#hashOf(message, tenant_id);
    // A GAP replaces a message that the SDK cannot read or restore; or the log itself has that GAP.
    const is_lost = message.signal?.kind === "GAP";
    // The bus reports the present epoch, also for messages stored in an earlier one.
    const find = () =>
      this.#entries.findIndex((one) =>
        one.sha256 !== undefined && one.offset === offset &&
        (one.epoch === epoch || !one.is_over && (epoch === "" || is_lost || one.sha256 === hash))
      );
    while (find() < 0) {
      const next = await this.#advance();
      if (find() >= 0 || this.#edge!.size < this.#checkpoint!.size) continue;
      if (performance.now() < until_ms) {
        await this.#pause();
        continue;
      }
      if (next.size < this.#checkpoint!.size) this.#fork(this.#checkpoint!, next);
      this.#accuse("missing", "the log has no entry of", { message, sha256: hash });
    }
    this.#pass(this.#entries.splice(0, find()));
    const { text: entry, sha256 } = this.#entries.shift()!;
    if (sha256 !== hash && !is_lost) {
      const found = { message, sha256: hash, entry };
      this.#accuse("changed", "the log has another message in place of", found);
    }
    const hidden = this.#passed;
    this.#passed = undefined;
    if (complete && this.#is_joined && hidden !== undefined) {
      // Nobody has signed what the class is: it excuses no gap, but it is no evidence of one either.
      if (this.#is_partial) throw new Error(`${LEFT_OUT}: ${hidden.text}`);
      this.#accuse("gap", "the log has what has not come before", { message, entry: hidden.text });
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
