/**
 * The protocol of witnesses (c2sp.org/tlog-witness): a witness signs a checkpoint only if it extends the last one of
 * that log that it has signed. Requests and answers, without sockets and files.
 */
import { z } from "zod";
import {
  type Checkpoint,
  decodeCheckpoint,
  emptyRoot,
  type Hash,
  HASH_BYTES,
  isConsistent,
  isForked,
  isKeyName,
  isSameHash,
  openCheckpoint,
  type Signer,
  signNote,
  type Verifier,
  verifierOf,
} from "@arqon/proto";

/** The most logs of one witness: a tenant's key is valid for all its rooms. */
const LOGS_MAX = 100_000;

/** The request of a log to a witness. */
export interface Shown {
  /** The size of the tree that the witness has cosigned last; 0: none, or the log does not know. */
  readonly old_size: number;
  /** That the checkpoint's tree continues it. */
  readonly proof: readonly Hash[];
  /** The signed checkpoint. */
  readonly note: string;
}

/** The body of `add-checkpoint`. */
export const encodeShown = ({ old_size, proof, note }: Shown): string =>
  `old ${old_size}\n${proof.map((hash) => `${hash.toBase64()}\n`).join("")}\n${note}`;

/** Parses such a body; undefined for any other text. */
export function decodeShown(body: string): Shown | undefined {
  const [, old_size = "", hashes = "", note = ""] =
    /^old (0|[1-9]\d{0,15})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^]+)$/.exec(body) ?? [];
  if (note === "") return undefined;
  const proof = hashes.split("\n").slice(0, -1).map((hash) => Uint8Array.fromBase64(hash));
  if (proof.some(({ length }) => length !== HASH_BYTES)) return undefined;
  return { old_size: Number(old_size), proof, note };
}

const lastOf = (note: string) => decodeCheckpoint(note.slice(0, note.lastIndexOf("\n\n") + 1));

/**
 * The checkpoints that a witness has seen, from its JSON. Throws an Error unless each is a note of the log of that
 * name.
 */
export function decodeSeen(text: string): Map<string, string> {
  const { data: seen } = z.record(z.string(), z.string()).safeParse(JSON.parse(text));
  if (seen === undefined) throw new Error("expected the note of each log by its name");
  for (const [name, note] of Object.entries(seen)) {
    if (lastOf(note).origin !== name) throw new Error(`the note of ${name} is of another log`);
  }
  return new Map(Object.entries(seen));
}

/** The answer of a witness. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly body: string;
  /** Two signed trees of one log that do not extend each other: the notes, older one first. */
  readonly fork?: readonly [string, string];
}

interface WitnessOptions {
  /** A `cosigner`. */
  readonly signer: Signer;
  /**
   * The keys of logs. A room log's key is also valid for the logs of the tenant's other rooms, which have the same key.
   */
  readonly logs: readonly Verifier[];
  /** The last note that was cosigned, by the log's name. */
  readonly seen: Map<string, string>;
  /** Stores `seen`; resolves once it is durable. */
  readonly keep: () => Promise<void>;
}

/** The prefix of a room log's name up to `TENANT.`; undefined: another log. */
const tenantOf = (name: string) => /^(?:.*\/)?[^/.]+\.(?=[^/.]+$)/.exec(name)?.[0];

/** A witness. */
export class Witness {
  readonly #options: WitnessOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** Answers `add-checkpoint` requests in order. Rejects as `keep` does, without a signature. */
  add(body: string): Promise<WitnessAnswer> {
    const answered = this.#turn.then(() => this.#add(body));
    // The caller receives the failure.
    this.#turn = answered.catch(() => {});
    return answered;
  }

  async #add(body: string): Promise<WitnessAnswer> {
    const { seen, signer, keep } = this.#options;
    const shown = decodeShown(body);
    if (shown === undefined) {
      return { status: 400, body: "this is not an add-checkpoint request\n" };
    }
    const { note, old_size, proof } = shown;
    const origin = note.slice(0, note.indexOf("\n"));
    const verifiers = this.#verifiersOf(origin);
    const has_room = seen.has(origin) || seen.size < LOGS_MAX;
    if (verifiers.length === 0 || !has_room) return { status: 404, body: "an unknown log\n" };
    let tree: Checkpoint;
    try {
      tree = await openCheckpoint(note, ...verifiers);
    } catch (error) {
      return { status: 403, body: `${error instanceof Error ? error.message : error}\n` };
    }
    if (old_size > tree.size) return { status: 400, body: "its old size is above its size\n" };
    const older = seen.get(origin);
    const last = older === undefined ? { size: 0, root: emptyRoot() } : lastOf(older);
    const fork = older === undefined ? {} : { fork: [older, note] as const };
    if (old_size !== last.size) return { status: 409, body: `${last.size}\n` };
    if (tree.size === last.size && !isSameHash(tree.root, last.root)) {
      return { status: 409, body: `${last.size}\n`, ...fork };
    }
    if (!isConsistent(last, tree, proof)) {
      const body = "the proof does not show that it extends the last one\n";
      return { status: 422, body, ...isForked(last, tree, proof) ? fork : {} };
    }
    const text = note.slice(0, note.lastIndexOf("\n\n") + 1);
    const signed = await signNote(text, [signer]);
    seen.set(origin, note);
    try {
      await keep();
    } catch (error) {
      if (older === undefined) seen.delete(origin);
      else seen.set(origin, older);
      throw error;
    }
    return { status: 200, body: signed.slice(text.length + 1) };
  }

  #verifiersOf(origin: string): Verifier[] {
    const tenant = isKeyName(origin) ? tenantOf(origin) : undefined;
    return this.#options.logs.flatMap((one) => {
      if (one.name === origin) return [one];
      const is_sibling = tenant !== undefined && tenantOf(one.name) === tenant;
      return is_sibling ? [verifierOf(origin, one.public_key)] : [];
    });
  }
}
