// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * The rows of the embedded engine's buckets and objects on `node:sqlite`: a file under `data_dir`, or in
 * memory. The file is opened in exclusive mode, which locks `data_dir`: the system releases the lock with the process,
 * so a crash leaves no stale lock. Not shared between processes.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { prepareAll, PROOF_SCHEMA, useProblem } from "./embedded_database.ts";
import { EngineFile, requireRestored } from "./embedded_backup.ts";
import { createHash } from "node:crypto";
import { assertObjectName, assertSize, OBJECT_BYTES_MAX } from "../contract/check.ts";
import type { ObjectStore, StoredObject } from "../contract/spine.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, digest BLOB NOT NULL,
    modified_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bucket, name)
  ) STRICT;
  ${PROOF_SCHEMA}`;
const FILE = "spine.sqlite";

interface StoredEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** Locks the database and creates its tables. */
function prepared(database: DatabaseSync, data_dir: string | undefined) {
  // NORMAL: a crash of the process loses nothing; a power cut may lose the last commits.
  database.exec(
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" +
      `BEGIN EXCLUSIVE; COMMIT; ${SCHEMA}`,
  );
  if (data_dir !== undefined) requireRestored(data_dir);
  return {
    ...prepareAll(database, ENTRIES),
    objects: prepareAll(database, OBJECTS),
  };
}

// "." is followed by "/" in ASCII: the range contains exactly the keys that begin with the prefix and a dot.
const BELOW = "bucket = ?1 AND (?2 = '' OR key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/'))";
const ENTRIES = {
  bump: `INSERT INTO bucket (name, revision) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET revision = revision + ?2 RETURNING revision`,
  get: "SELECT key, value, revision FROM entry WHERE bucket = ? AND key = ?",
  revision: "SELECT revision FROM entry WHERE bucket = ? AND key = ?",
  keys: `SELECT key FROM entry WHERE ${BELOW} ORDER BY key`,
  sizes: `SELECT key, length(value) AS size_bytes FROM entry WHERE ${BELOW} ORDER BY key`,
  put: `INSERT INTO entry (bucket, key, value, revision) VALUES (?, ?, ?, ?)
    ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, revision = excluded.revision`,
  remove: "DELETE FROM entry WHERE bucket = ? AND key = ?",
};

/** The present time in SQL, Unix ms. */
const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const OBJECTS = {
  get: "SELECT value, digest FROM object WHERE bucket = ? AND name = ?",
  put: `INSERT INTO object (bucket, name, value, digest, modified_ms) VALUES (?, ?, ?, ?, ${NOW})
    ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value, digest = excluded.digest,
    modified_ms = excluded.modified_ms`,
  remove: "DELETE FROM object WHERE bucket = ? AND name = ?",
  list: "SELECT name, length(value) AS size_bytes, modified_ms FROM object WHERE bucket = ?",
};

/** The rows of all buckets; keys are encoded. Every call is one transaction. Failures are `spine-unavailable`. */
export class KvStore extends EngineFile<ReturnType<typeof prepared>> {
  readonly #where: string;

  constructor(data_dir: string | undefined) {
    super(FILE, data_dir, (database) => prepared(database, data_dir));
    this.#where = `data_dir ${data_dir ?? "(memory)"}`;
  }

  get(bucket: string, key: string): StoredEntry | undefined {
    const row = this.ask(({ get }) => get.get(bucket, key));
    return row as unknown as StoredEntry | undefined;
  }

  /** The revision of a key without its value, which may be large; 0: there is none. */
  revision(bucket: string, key: string): number {
    return Number(this.ask(({ revision }) => revision.get(bucket, key))?.["revision"] ?? 0);
  }

  /** The keys at or below `prefix`, in their order. */
  keys(bucket: string, prefix: string): string[] {
    return this.ask(({ keys }) => keys.all(bucket, prefix)).map((row) => String(row["key"]));
  }

  sizes(bucket: string, prefix: string): { readonly key: string; readonly size_bytes: number }[] {
    return this.ask(({ sizes }) => sizes.all(bucket, prefix)) as never[];
  }

  /** Stores values in one transaction; returns the new revision of the last one, after those of the others. */
  put(bucket: string, entries: readonly Pick<StoredEntry, "key" | "value">[]): number {
    return this.#write(bucket, entries.length, (last) => {
      let revision = last - entries.length;
      for (const { key, value } of entries) this.rows.put.run(bucket, key, value, ++revision);
    });
  }

  remove(bucket: string, key: string): number {
    return this.#write(bucket, 1, () => this.rows.remove.run(bucket, key));
  }

  protected failure(message: string, cause: unknown): ArqonError {
    const why = `${this.#where}: ${useProblem(FILE, message)}`;
    return new ArqonError("spine-unavailable", why, { cause });
  }

  #write(bucket: string, changes: number, change: (revision: number) => void): number {
    this.assertOpen();
    return this.transaction(() => {
      const revision = Number(this.rows.bump.get(bucket, changes)?.["revision"]);
      change(revision);
      return revision;
    });
  }
}

const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function checked(row: Record<string, unknown>, bucket: string, name: string): Uint8Array {
  const { value, digest } = row;
  if (value instanceof Uint8Array && digest instanceof Uint8Array) {
    const found = sha256(value);
    if (digest.length === found.length && found.every((byte, at) => byte === digest[at])) {
      return new Uint8Array(value);
    }
  }
  const cause = new Error(`object ${JSON.stringify(name)} of ${bucket} does not match its digest`);
  throw new ArqonError("internal", "", { cause });
}

/** One object store of the embedded engine. */
export class EmbeddedObjects implements ObjectStore {
  readonly #bucket: string;
  readonly #store: KvStore;

  constructor(bucket: string, store: KvStore) {
    this.#bucket = bucket;
    this.#store = store;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    assertObjectName(name);
    assertSize(bytes.length, OBJECT_BYTES_MAX);
    this.#store.ask(({ objects }) => objects.put.run(this.#bucket, name, bytes, sha256(bytes)));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    assertObjectName(name);
    const row = this.#store.ask(({ objects }) => objects.get.get(this.#bucket, name));
    return row && checked(row, this.#bucket, name);
  }

  async delete(name: string): Promise<void> {
    assertObjectName(name);
    this.#store.ask(({ objects }) => objects.remove.run(this.#bucket, name));
  }

  async list(): Promise<StoredObject[]> {
    const rows = this.#store.ask(({ objects }) => objects.list.all(this.#bucket));
    return rows.map((row) => ({ ...row }) as unknown as StoredObject);
  }
}
