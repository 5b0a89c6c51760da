/**
 * The protocol of witnesses, as c2sp.org/tlog-witness has it: who signs a checkpoint only when it continues the last one
 * of that log that it has signed. What a log asks, and what a witness answers. No sockets, no files.
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

/** Logs that one witness keeps at most: a key of a tenant counts for all its rooms. */
const LOGS_MAX = 100_000;

/** What a log asks a witness. */
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

/** What such a body says; undefined for any other text. */
export function decodeShown(body: string): Shown | undefined {
  const [, old_size = "", hashes = "", note = ""] =
    /^old (0|[1-9]\d{0,15})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n([^]+)$/.exec(body) ?? [];
  if (note === "") return undefined;
  const proof = hashes.split("\n").slice(0, -1).map((hash) => Uint8Array.fromBase64(hash));
  if (proof.some(({ length }) => length !== HASH_BYTES)) return undefined;
  return { old_size: Number(old_size), proof, note };
}

const lastOf = (note: string) => decodeCheckpoint(note.slice(0, note.lastIndexOf("\n\n") + 1));

/** What a witness has seen, of its JSON. Throws an Error where that is no note of each log by its name. */
export function decodeSeen(text: string): Map<string, string> {
  const { data: seen } = z.record(z.string(), z.string()).safeParse(JSON.parse(text));
  if (seen === undefined) throw new Error("expected the note of each log by its name");
  for (const [name, note] of Object.entries(seen)) {
    if (lastOf(note).origin !== name) throw new Error(`the note of ${name} is of another log`);
  }
  return new Map(Object.entries(seen));
}

/** What a witness answers. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly body: string;
  /** Two signed trees of one log, of which one does not continue the other: the notes, the older one first. */
  readonly fork?: readonly [string, string];
}

/** What a witness needs. */
export interface WitnessOptions {
  /** A `cosigner`. */
  readonly signer: Signer;
  /** The keys of logs. One of a room's log counts for those of its tenant's other rooms, which have the same key. */
  readonly logs: readonly Verifier[];
  /** The last note that was cosigned, by the log's name. */
  readonly seen: Map<string, string>;
  /** Keeps `seen`: it resolves when that outlives the machine. */
  readonly keep: () => Promise<void>;
}

/** `TENANT.` of a room's log, with what is before; undefined: of another one. */
const tenantOf = (name: string) => /^(?:.*\/)?[^/.]+\.(?=[^/.]+$)/.exec(name)?.[0];

/** A witness. */
export class Witness {
  readonly #options: WitnessOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: WitnessOptions) {
    this.#options = options;
  }

  /** Answers `add-checkpoint`, one after the other. Rejects as `keep` does, and has not signed then. */
  add(body: string): Promise<WitnessAnswer> {
    const answered = this.#turn.then(() => this.#add(body));
    // Whoever asks receives the failure.
    this.#turn = answered.catch(() => {});
    return answered;
  }

  async #add(body: string): Promise<WitnessAnswer> {
    const { seen, signer, keep } = this.#options;
    const shown = decodeShown(body);
    if (shown === undefined) return { status: 400, body: "it is no add-checkpoint\n" };
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
      const body = "it is not proven to continue the last one\n";
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
