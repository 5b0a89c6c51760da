/**
 * Key-value buckets of the embedded engine on `node:sqlite`: a file under `data_dir`, or in memory.
 * The file is opened in exclusive mode, which is the lock of `data_dir`: the system drops it with the
 * process, so a crash leaves no stale lock behind. Not shared between processes.
 */
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../log.ts";
import { assertSize } from "./check.ts";
import { migrateObjects, OBJECT_SCHEMA, objectTable } from "./embedded_objects.ts";
import type { ObjectTable } from "./embedded_objects.ts";
import { LEDGER_SCHEMA, ledgerTable } from "./embedded_ledger.ts";
import type { LedgerTable } from "./embedded_ledger.ts";
import { isBelow } from "./kv_key.ts";
import type { KeyForm } from "./kv_key.ts";
import type { KeyValue, KvChange, KvEntry, KvKey, KvWatch, WatchOptions } from "./spine.ts";
import type { Turns } from "./turns.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS entry (
    bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  ${OBJECT_SCHEMA}
  ${LEDGER_SCHEMA}`;

interface StoredEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** The rows of all buckets; keys are encoded. Every call is one transaction. */
export interface KvStore {
  get(bucket: string, key: string): StoredEntry | undefined;
  /** Those at or below `prefix`, in their order. */
  keys(bucket: string, prefix: string): string[];
  /** Returns the new revision. */
  put(bucket: string, key: string, value: Uint8Array): number;
  remove(bucket: string, key: string): number;
  /** The objects, in the same file. */
  readonly objects: ObjectTable;
  /** The ledgers, in the same file. */
  readonly ledgers: LedgerTable;
  close(): void;
}

function openDatabase(data_dir: string | undefined): DatabaseSync {
  if (data_dir === undefined) {
    const database = new DatabaseSync(":memory:");
    database.exec(SCHEMA);
    return database;
  }
  try {
    Deno.mkdirSync(data_dir, { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(`${data_dir}/spine.sqlite`);
    try {
      // NORMAL: a crash of the process loses nothing, a power cut at worst the last commits.
      database.exec(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" +
          `BEGIN EXCLUSIVE; COMMIT; ${SCHEMA}`,
      );
      migrateObjects(database);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const refused = /readonly|unable to open|disk I\/O|denied|read-only/i.test(text);
    const hint = refused ? "; may this user write there?" : "";
    const why = /database is locked/.test(text)
      ? "is in use by another ArqonBus process; stop that one or choose another data_dir"
      : `cannot be opened (${text}${hint})`;
    throw new ArqonError("spine-unavailable", `data_dir ${data_dir} ${why}`, { cause });
  }
}

interface Statements {
  readonly bump: StatementSync;
  readonly get: StatementSync;
  readonly keys: StatementSync;
  readonly put: StatementSync;
  readonly remove: StatementSync;
}

function prepare(database: DatabaseSync): Statements {
  // "." is followed by "/" in ASCII: the range holds exactly what begins with the prefix and a dot.
  const below = "bucket = ?1 AND (?2 = '' OR key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/'))";
  return {
    bump: database.prepare(
      "INSERT INTO bucket (name, revision) VALUES (?, 1) ON CONFLICT (name) " +
        "DO UPDATE SET revision = revision + 1 RETURNING revision",
    ),
    get: database.prepare("SELECT key, value, revision FROM entry WHERE bucket = ? AND key = ?"),
    keys: database.prepare(`SELECT key FROM entry WHERE ${below} ORDER BY key`),
    put: database.prepare(
      "INSERT INTO entry (bucket, key, value, revision) VALUES (?, ?, ?, ?) ON CONFLICT " +
        "(bucket, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
    ),
    remove: database.prepare("DELETE FROM entry WHERE bucket = ? AND key = ?"),
  };
}

function storedEntry(row: Record<string, unknown>): StoredEntry {
  const { key, value, revision } = row;
  if (typeof key !== "string" || !(value instanceof Uint8Array) || typeof revision !== "number") {
    throw new ArqonError("internal", "", { cause: new Error("spine.sqlite holds a foreign row") });
  }
  return { key, value: new Uint8Array(value), revision };
}

/** What the disk refuses is `spine-unavailable`, and has changed nothing. */
function onDisk<T>(data_dir: string | undefined, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof ArqonError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ArqonError("spine-unavailable", `data_dir ${data_dir ?? "(memory)"}: ${why}`, {
      cause,
    });
  }
}

function guarded(table: ObjectTable, guard: <T>(run: () => T) => T): ObjectTable {
  return {
    get: (bucket, name) => guard(() => table.get(bucket, name)),
    put: (bucket, name, value) => guard(() => table.put(bucket, name, value)),
    remove: (bucket, name) => guard(() => table.remove(bucket, name)),
    list: (bucket) => guard(() => table.list(bucket)),
  };
}

/** Opens, locks and if need be makes the database. Throws `spine-unavailable`. */
export function openStore(data_dir: string | undefined): KvStore {
  const database = openDatabase(data_dir);
  const statements = prepare(database);
  const guard = <T>(run: () => T): T => onDisk(data_dir, run);
  const write = (bucket: string, change: (revision: number) => void): number =>
    guard(() => {
      database.exec("BEGIN");
      try {
        const revision = Number(statements.bump.get(bucket)?.["revision"]);
        change(revision);
        database.exec("COMMIT");
        return revision;
      } catch (error) {
        // A full or failing disk has made SQLite roll back by itself.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw error;
      }
    });
  return {
    get(bucket, key) {
      const row = guard(() => statements.get.get(bucket, key));
      return row === undefined ? undefined : storedEntry(row);
    },
    keys: (bucket, prefix) =>
      guard(() => statements.keys.all(bucket, prefix)).map((row) => String(row["key"])),
    put: (bucket, key, value) =>
      write(bucket, (revision) => void statements.put.run(bucket, key, value, revision)),
    remove: (bucket, key) => write(bucket, () => void statements.remove.run(bucket, key)),
    objects: guarded(objectTable(database), guard),
    ledgers: ledgerTable(database, guard),
    close: () => database.close(),
  };
}

interface Watcher {
  /** Of the view that it watches. */
  readonly keys: KeyForm;
  /** As stored. */
  readonly prefix: string;
  /** Of the keys that it hears of. */
  readonly tokens_max: number;
  readonly onChange: (change: KvChange) => void;
  readonly abort: (error: ArqonError) => void;
  stopped: boolean;
}

/** Whoever watches one bucket, by whichever view. */
export type Watchers = Set<Watcher>;

/** What a bucket needs of its engine. */
export interface EmbeddedKvOptions {
  readonly bucket: string;
  readonly keys: KeyForm;
  readonly watchers: Watchers;
  readonly store: KvStore;
  readonly turns: Turns;
  readonly log: Logger;
  readonly value_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
}

function conflict(key: KvKey, revision: number): ArqonError {
  return new ArqonError("version-conflict", `${revision} (${JSON.stringify(key)})`);
}

/** One bucket of the embedded engine, by one view. */
export class EmbeddedKv implements KeyValue {
  readonly #options: EmbeddedKvOptions;
  readonly #keys: KeyForm;
  readonly #watchers: Watchers;

  constructor(options: EmbeddedKvOptions) {
    this.#options = options;
    this.#keys = options.keys;
    this.#watchers = options.watchers;
  }

  // deno-lint-ignore require-await -- every method answers with a promise, also when it throws
  async get(key: KvKey): Promise<KvEntry | undefined> {
    this.#options.assertOpen();
    const stored = this.#options.store.get(this.#options.bucket, this.#keys.encode(key));
    return stored === undefined ? undefined : { ...stored, key: [...key] };
  }

  // deno-lint-ignore require-await
  async put(key: KvKey, value: Uint8Array): Promise<number> {
    return this.#put(this.#keys.encode(key), value);
  }

  // deno-lint-ignore require-await
  async update(key: KvKey, value: Uint8Array, expected_revision: number): Promise<number> {
    const stored = this.#keys.encode(key);
    this.#assertRevision(key, stored, expected_revision);
    return this.#put(stored, value);
  }

  // deno-lint-ignore require-await
  async delete(key: KvKey, expected_revision?: number): Promise<void> {
    const stored = this.#keys.encode(key);
    if (expected_revision !== undefined) this.#assertRevision(key, stored, expected_revision);
    this.#options.assertOpen();
    const { store, bucket } = this.#options;
    if (store.get(bucket, stored) === undefined) return;
    const revision = store.remove(bucket, stored);
    for (const [watcher, key] of this.#watchersOf(stored)) {
      this.#deliver(watcher, { type: "delete", key: [...key], revision });
    }
  }

  // deno-lint-ignore require-await
  async keys(prefix: KvKey = []): Promise<KvKey[]> {
    this.#options.assertOpen();
    return this.#options.store.keys(this.#options.bucket, this.#keys.prefix(prefix))
      .map(this.#keys.decode).filter((key) => key !== undefined);
  }

  watch(prefix: KvKey, onChange: (change: KvChange) => void, options: WatchOptions = {}): KvWatch {
    this.#options.assertOpen();
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    // Whoever does not wait for it must not crash the process when the watch ends early.
    ready.catch(() => {});
    const watcher: Watcher = {
      keys: this.#keys,
      prefix: this.#keys.prefix(prefix),
      tokens_max: prefix.length + (options.depth ?? Infinity),
      onChange,
      abort: reject,
      stopped: false,
    };
    this.#watchers.add(watcher);
    for (const entry of this.#present(watcher)) this.#deliver(watcher, { type: "put", entry });
    this.#options.turns.push({ run: () => void (watcher.stopped || resolve()) });
    const stop = () => {
      watcher.stopped = true;
      this.#watchers.delete(watcher);
      reject(new ArqonError("spine-unavailable", "the watch was stopped"));
    };
    return { ready, stop };
  }

  /** Ends every watch; `error` is what those still waiting for `ready` get. */
  close(error: ArqonError): void {
    for (const watcher of this.#watchers) {
      watcher.stopped = true;
      watcher.abort(error);
    }
    this.#watchers.clear();
  }

  #assertRevision(key: KvKey, stored: string, expected_revision: number): void {
    this.#options.assertOpen();
    const revision = this.#options.store.get(this.#options.bucket, stored)?.revision ?? 0;
    if (revision !== expected_revision) throw conflict(key, revision);
  }

  #put(stored: string, value: Uint8Array): number {
    this.#options.assertOpen();
    assertSize(value.length, this.#options.value_bytes_max);
    const copy = value.slice();
    const revision = this.#options.store.put(this.#options.bucket, stored, copy);
    for (const [watcher, key] of this.#watchersOf(stored)) {
      // Each watcher owns what it gets, as if it had come over a wire.
      const entry = { key: [...key], value: copy.slice(), revision };
      this.#deliver(watcher, { type: "put", entry });
    }
    return revision;
  }

  /** What a watcher is told first. Values below its depth are not read: they may be many. */
  *#present({ prefix, tokens_max }: Watcher): Iterable<KvEntry> {
    const { store, bucket } = this.#options;
    for (const stored of store.keys(bucket, prefix)) {
      const key = this.#keys.decode(stored);
      const entry = key === undefined || key.length > tokens_max
        ? undefined
        : store.get(bucket, stored);
      if (key !== undefined && entry !== undefined) yield { ...entry, key };
    }
  }

  /** Who hears of a stored key, and how the key reads in their view. */
  #watchersOf(stored: string): [Watcher, KvKey][] {
    return [...this.#watchers].flatMap((watcher): [Watcher, KvKey][] => {
      if (!isBelow(stored, watcher.prefix)) return [];
      const key = watcher.keys.decode(stored);
      return key === undefined || key.length > watcher.tokens_max ? [] : [[watcher, key]];
    });
  }

  #deliver(watcher: Watcher, change: KvChange): void {
    const run = () => {
      if (watcher.stopped) return;
      try {
        watcher.onChange(change);
      } catch (error) {
        this.#options.log.error("a key-value watcher threw", {
          bucket: this.#options.bucket,
          error,
        });
      }
    };
    this.#options.turns.push({ run });
  }
}
