/**
 * Ledgers of the embedded engine: a table in the database of `embedded_store.ts`, and one row a
 * ledger in another. The one process that has the file is the only writer.
 */
import type { DatabaseSync } from "node:sqlite";
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../env.ts";
import type { ClockSteps } from "../../clock_steps.ts";
import { assertSize } from "../contract/check.ts";
import type {
  Ledger,
  LedgerEntry,
  LedgerRead,
  LedgerRetention,
  LedgerStatus,
} from "../contract/ledger.ts";

/** The tables; run once when the database is opened. */
export const LEDGER_SCHEMA = `
  CREATE TABLE IF NOT EXISTS ledger (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS ledger_entry (
    ledger TEXT NOT NULL, offset INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (ledger, offset)
  ) STRICT, WITHOUT ROWID;`;

/**
 * The most entries that one append removes to make room; a bound that was lowered is reached in
 * steps.
 */
const REMOVED_AT_ONCE = 256;

/** The rows of all ledgers. Every call is one transaction. */
export interface LedgerTable {
  /** Appends when `after` is the newest offset, and returns it; undefined otherwise. */
  append(name: string, payload: Uint8Array, after: number, time_ms: number): number | undefined;
  read(name: string, after: number, limit: number): LedgerEntry[];
  last(name: string): LedgerEntry | undefined;
  /** The state of a ledger, without `bytes`, for which every entry would be looked at. */
  status(name: string): Omit<LedgerStatus, "bytes">;
  /** Bytes of all entries that are there. */
  bytes(name: string): number;
  /**
   * Removes the oldest entry that is older than `before_ms`, any with `before_ms` Infinity. Gives
   * its bytes; undefined when there is none.
   */
  removeOldest(name: string, before_ms: number): number | undefined;
}

function entryOf(row: Record<string, unknown>): LedgerEntry {
  const { offset, payload } = row;
  if (typeof offset !== "number" || !(payload instanceof Uint8Array)) {
    throw new ArqonError("internal", "", { cause: new Error("spine.sqlite holds a foreign row") });
  }
  return { offset, payload: new Uint8Array(payload) };
}

function appending(database: DatabaseSync): LedgerTable["append"] {
  const last = database.prepare("SELECT last FROM ledger WHERE name = ?");
  const bump = database.prepare(
    "INSERT INTO ledger (name, last) VALUES (?, ?) ON CONFLICT (name) " +
      "DO UPDATE SET last = excluded.last",
  );
  const insert = database.prepare(
    "INSERT INTO ledger_entry (ledger, offset, time_ms, payload) VALUES (?, ?, ?, ?)",
  );
  return (name, payload, after, time_ms) => {
    if (Number(last.get(name)?.["last"] ?? 0) !== after) return undefined;
    // On the disk when it is acknowledged, also if the power goes.
    database.exec("PRAGMA synchronous = FULL; BEGIN");
    try {
      bump.run(name, after + 1);
      insert.run(name, after + 1, time_ms, payload);
      database.exec("COMMIT");
      return after + 1;
    } finally {
      if (database.isTransaction) database.exec("ROLLBACK");
      database.exec("PRAGMA synchronous = NORMAL");
    }
  };
}

/**
 * The rows of ledgers in an open database, in which `LEDGER_SCHEMA` has run. `guard` names what the
 * disk refuses.
 */
export function ledgerTable(
  database: DatabaseSync,
  guard: <T>(run: () => T) => T,
): LedgerTable {
  const append = appending(database);
  const read = database.prepare(
    "SELECT offset, payload FROM ledger_entry WHERE ledger = ? AND offset > ? " +
      "ORDER BY offset LIMIT ?",
  );
  const last = database.prepare(
    "SELECT offset, payload FROM ledger_entry WHERE ledger = ? ORDER BY offset DESC LIMIT 1",
  );
  const first = database.prepare(
    "SELECT offset, time_ms FROM ledger_entry WHERE ledger = ? ORDER BY offset LIMIT 1",
  );
  const sum = database.prepare(
    "SELECT coalesce(sum(length(payload)), 0) AS bytes FROM ledger_entry WHERE ledger = ?",
  );
  const newest = database.prepare("SELECT last FROM ledger WHERE name = ?");
  const remove = database.prepare(
    "DELETE FROM ledger_entry WHERE ledger = ?1 AND time_ms < ?2 AND " +
      "offset = (SELECT min(offset) FROM ledger_entry WHERE ledger = ?1) " +
      "RETURNING length(payload) AS bytes",
  );
  return {
    append: (...given) => guard(() => append(...given)),
    read: (name, after, limit) => guard(() => read.all(name, after, limit).map(entryOf)),
    last(name) {
      const row = guard(() => last.get(name));
      return row === undefined ? undefined : entryOf(row);
    },
    status(name) {
      const last_offset = Number(guard(() => newest.get(name))?.["last"] ?? 0);
      const row = guard(() => first.get(name));
      const first_offset = Number(row?.["offset"] ?? last_offset + 1);
      const first_ms = row === undefined ? undefined : Number(row["time_ms"]);
      return { entries: last_offset + 1 - first_offset, last_offset, first_offset, first_ms };
    },
    bytes: (name) => Number(guard(() => sum.get(name))?.["bytes"]),
    removeOldest(name, before_ms) {
      const row = guard(() => remove.get(name, Math.min(before_ms, Number.MAX_SAFE_INTEGER)));
      return row === undefined ? undefined : Number(row["bytes"]);
    },
  };
}

/** What a ledger needs of its engine. */
export interface EmbeddedLedgerOptions extends Pick<Env, "now"> {
  readonly name: string;
  readonly table: LedgerTable;
  /** Nothing is too old by a clock that was set lately. */
  readonly steps: ClockSteps;
  readonly payload_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
}

/** One ledger of the embedded engine. */
export class EmbeddedLedger implements Ledger {
  readonly #options: EmbeddedLedgerOptions;
  readonly #retention: LedgerRetention;
  /** Bytes of the entries that are there. */
  #bytes: number;

  constructor(options: EmbeddedLedgerOptions, retention: LedgerRetention) {
    this.#options = options;
    this.#retention = retention;
    this.#bytes = options.table.bytes(options.name);
    this.#shrink();
  }

  // deno-lint-ignore require-await -- every method answers with a promise, also when it throws
  async append(payload: Uint8Array, after: number): Promise<number> {
    const { name, table, now, payload_bytes_max, assertOpen } = this.#options;
    assertOpen();
    assertSize(payload.length, payload_bytes_max);
    const offset = table.append(name, payload, after, now());
    if (offset === undefined) {
      const { last_offset } = table.status(name);
      throw new ArqonError("version-conflict", `${last_offset} (the newest entry of ${name})`);
    }
    this.#bytes += payload.length;
    this.#shrink();
    return offset;
  }

  // deno-lint-ignore require-await
  async last(): Promise<LedgerEntry | undefined> {
    this.#options.assertOpen();
    return this.#options.table.last(this.#options.name);
  }

  // deno-lint-ignore require-await
  async read({ after, limit }: LedgerRead): Promise<LedgerEntry[]> {
    this.#options.assertOpen();
    return this.#options.table.read(this.#options.name, after, limit);
  }

  // deno-lint-ignore require-await
  async status(): Promise<LedgerStatus> {
    this.#options.assertOpen();
    return { ...this.#options.table.status(this.#options.name), bytes: this.#bytes };
  }

  #shrink(): void {
    const { name, table, now, steps } = this.#options;
    const { max_age_seconds, max_bytes } = this.#retention;
    const age_ms = max_age_seconds * 1_000;
    const before_ms = steps.isBelieved(age_ms) ? now() - age_ms : 0;
    for (let removed = 0; removed < REMOVED_AT_ONCE; removed++) {
      const is_over = this.#bytes > max_bytes;
      const bytes = table.removeOldest(name, is_over ? Infinity : before_ms);
      if (bytes === undefined) return;
      this.#bytes -= bytes;
    }
  }
}
