/**
 * Where schemas live (design.md 6): in one bucket, under `[schema_id]` the history and beside it the
 * gzipped descriptor sets, under keys that name their bytes. The history is written last and by
 * compare-and-set, so it never names bytes that are not there and no registration is lost.
 */
import { ArqonError } from "@arqon/proto";
import type { KeyValue, KvChange, KvEntry, KvWatch, Spine } from "../../shared/spine/spine.ts";
import {
  decodeHead,
  encodeHead,
  isSchemaId,
  latestOf,
  SCHEMA_ID_RULE,
  sha256Of,
  versionKey,
} from "./head.ts";
import type { ReadHead, SchemaHead, SchemaVersion } from "./head.ts";

/** With n writers at once the last one succeeds at its n-th attempt, so this is how many there may be. */
const ATTEMPTS = 64;

/** A history and the revision at which it is stored. */
export interface StoredHead extends ReadHead {
  readonly revision: number;
}

/** A schema in a listing. */
export interface ListedSchema {
  readonly schema_id: string;
  readonly head: SchemaHead;
}

/** What a change makes of a schema: another history, and the bytes of its newest version if it is new. */
export interface HeadChange {
  readonly head: SchemaHead;
  readonly bytes?: Uint8Array;
}

/** Throws `invalid-schema` unless a text can name a schema. */
export function requireSchemaId(schema_id: string): void {
  if (isSchemaId(schema_id)) return;
  const shown = JSON.stringify(schema_id.slice(0, 64));
  throw new ArqonError("invalid-schema", `the id ${shown} has other characters; ${SCHEMA_ID_RULE}`);
}

/** Every method rejects with `spine-unavailable` while the Spine does not answer. */
export class SchemaStore {
  readonly #bucket: KeyValue;

  constructor(bucket: KeyValue) {
    this.#bucket = bucket;
  }

  /**
   * The schema's history; undefined when there is no such schema. Rejects with `invalid-schema` for
   * an id that cannot be one, and with `internal` when what is stored cannot be read.
   */
  async read(schema_id: string): Promise<StoredHead | undefined> {
    requireSchemaId(schema_id);
    const entry = await this.#bucket.get([schema_id]);
    if (entry === undefined) return undefined;
    const read = decodeHead(entry.value);
    if ("head" in read) return { ...read, revision: entry.revision };
    throw unreadable(schema_id, read.problem);
  }

  /** As `read`, but rejects with `schema-unknown` when there is none. */
  async require(schema_id: string): Promise<StoredHead> {
    const stored = await this.read(schema_id);
    if (stored !== undefined) return stored;
    throw new ArqonError("schema-unknown", JSON.stringify(schema_id));
  }

  /** The gzipped descriptor set of a version of `stored`. Rejects with `internal` when it is damaged. */
  async bytes(
    schema_id: string,
    { bare }: Pick<ReadHead, "bare">,
    version: SchemaVersion,
  ): Promise<Uint8Array> {
    const bytes = bare ?? (await this.#bucket.get(versionKey(schema_id, version)))?.value;
    if (bytes !== undefined && sha256Of(bytes) === version.sha256) return bytes;
    const what = bytes === undefined ? "is not there" : "is not what was registered";
    throw unreadable(schema_id, `version ${version.version} ${what}`);
  }

  /**
   * Writes what `change` makes of the schema, and asks it again when somebody else was faster.
   * Nothing is written when it returns undefined. Resolves with the history as it then is. Rejects
   * with what `change` throws, and with `version-conflict`.
   */
  async change(
    schema_id: string,
    change: (stored: StoredHead | undefined) => Promise<HeadChange | undefined>,
  ): Promise<SchemaHead | undefined> {
    for (let attempt = 1;; attempt++) {
      const stored = await this.read(schema_id);
      const changed = await change(stored);
      if (changed === undefined) return stored?.head;
      if (stored?.bare !== undefined) {
        await this.#putVersion(schema_id, latestOf(stored.head), stored.bare);
      }
      const { head, bytes } = changed;
      if (bytes !== undefined) await this.#putVersion(schema_id, latestOf(head), bytes);
      try {
        await this.#bucket.update([schema_id], encodeHead(head), stored?.revision ?? 0);
        return head;
      } catch (error) {
        const lost = error instanceof ArqonError && error.reason === "version-conflict";
        if (!lost || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Deletes the bytes of a version that no history names any more. */
  async forget(schema_id: string, version: SchemaVersion): Promise<void> {
    await this.#bucket.delete(versionKey(schema_id, version));
  }

  /** Every schema with a readable history, by id. */
  async list(): Promise<ListedSchema[]> {
    const found: ListedSchema[] = [];
    const watch = this.#bucket.watch([], (change) => {
      const read = change.type === "put" ? readEntry(change.entry) : undefined;
      if (read !== undefined) found.push(read);
    }, { depth: 1 });
    try {
      await watch.ready;
    } finally {
      watch.stop();
    }
    return found.sort((a, b) => a.schema_id < b.schema_id ? -1 : 1);
  }

  /** Tells the id of each schema that is there, then of each that changes or goes. */
  watch(onChange: (schema_id: string) => void): KvWatch {
    const idOf = (change: KvChange) => (change.type === "put" ? change.entry.key : change.key)[0];
    return this.#bucket.watch([], (change) => {
      const schema_id = idOf(change) ?? "";
      if (isSchemaId(schema_id)) onChange(schema_id);
    }, { depth: 1 });
  }

  async #putVersion(schema_id: string, version: SchemaVersion, bytes: Uint8Array): Promise<void> {
    const key = versionKey(schema_id, version);
    const there = await this.#bucket.get(key);
    // What is damaged is written anew: that is how it is repaired.
    if (there !== undefined && sha256Of(there.value) === version.sha256) return;
    await this.#bucket.put(key, bytes);
  }
}

function readEntry({ key, value }: KvEntry): ListedSchema | undefined {
  const [schema_id = ""] = key;
  const read = decodeHead(value);
  return isSchemaId(schema_id) && "head" in read ? { schema_id, head: read.head } : undefined;
}

function unreadable(schema_id: string, problem: string): ArqonError {
  const cause = new Error(`the stored schema ${schema_id} cannot be read: ${problem}`);
  return new ArqonError("internal", "", { cause });
}

/** Opens, and if need be makes, the bucket. Rejects with `spine-unavailable`. */
export async function openSchemaStore(spine: Spine, bucket: string): Promise<SchemaStore> {
  return new SchemaStore(await spine.keyValue(bucket));
}
