// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * Object stores of the embedded engine: one table in the database of `embedded_store.ts`. An object is a few MiB at
 * most, so each is one row; its digest detects a damaged or edited file.
 */
import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import { assertObjectName, assertSize, OBJECT_BYTES_MAX } from "../contract/check.ts";
import type { ObjectStore, StoredObject } from "../contract/spine.ts";
import type { Guard } from "./embedded_database.ts";

/** The table; run once when the database is opened. */
export const OBJECT_SCHEMA = `
  CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, digest BLOB NOT NULL,
    modified_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bucket, name)
  ) STRICT;`;
/** The present time in SQL, Unix ms. */
const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

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

/** The statements of all object stores in an open database, in which `OBJECT_SCHEMA` has run. */
export function objectStatements(database: DatabaseSync) {
  return {
    get: database.prepare("SELECT value, digest FROM object WHERE bucket = ? AND name = ?"),
    put: database.prepare(
      `INSERT INTO object (bucket, name, value, digest, modified_ms) VALUES (?, ?, ?, ?, ${NOW}) ` +
        "ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value, " +
        "digest = excluded.digest, modified_ms = excluded.modified_ms",
    ),
    remove: database.prepare("DELETE FROM object WHERE bucket = ? AND name = ?"),
    list: database.prepare(
      "SELECT name, length(value) AS size_bytes, modified_ms FROM object WHERE bucket = ?",
    ),
  };
}

interface ObjectRows {
  readonly objects: ReturnType<typeof objectStatements>;
  readonly guard: Guard;
}

/** One object store of the embedded engine. */
export class EmbeddedObjects implements ObjectStore {
  readonly #bucket: string;
  readonly #store: ObjectRows;
  /** Throws when the engine is not open. */
  readonly #assertOpen: () => void;

  constructor(bucket: string, store: ObjectRows, assertOpen: () => void) {
    this.#bucket = bucket;
    this.#store = store;
    this.#assertOpen = assertOpen;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    assertObjectName(name);
    assertSize(bytes.length, OBJECT_BYTES_MAX);
    const { objects, guard } = this.#store;
    guard(() => objects.put.run(this.#bucket, name, bytes, sha256(bytes)));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    assertObjectName(name);
    const { objects, guard } = this.#store;
    const row = guard(() => objects.get.get(this.#bucket, name));
    return row === undefined ? undefined : checked(row, this.#bucket, name);
  }

  async delete(name: string): Promise<void> {
    this.#assertOpen();
    assertObjectName(name);
    const { objects, guard } = this.#store;
    guard(() => objects.remove.run(this.#bucket, name));
  }

  async list(): Promise<StoredObject[]> {
    this.#assertOpen();
    const { objects, guard } = this.#store;
    return guard(() => objects.list.all(this.#bucket)).map(({ name, size_bytes, modified_ms }) => ({
      name: String(name),
      size_bytes: Number(size_bytes),
      modified_ms: Number(modified_ms),
    }));
  }
}
