// deno-lint-ignore-file require-await -- every method answers with a promise, also when it throws
/**
 * Ledgers of the embedded engine: a table of entries in the database of `embedded_store.ts`, and a table with one row a
 * ledger. The process that locks the file is the only writer.
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
import { type Guard, inTransaction } from "./embedded_database.ts";

/** The tables; run once when the database is opened. */
export const LEDGER_SCHEMA = `
  CREATE TABLE IF NOT EXISTS ledger (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS ledger_entry (
    ledger TEXT NOT NULL, offset INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (ledger, offset)
  ) STRICT, WITHOUT ROWID;`;

/** The most entries that one append removes to make room; a lowered bound is reached in steps. */
const REMOVED_AT_ONCE = 256;

function entryOf(row: Record<string, unknown>): LedgerEntry {
  const { offset, payload } = row;
  if (typeof offset !== "number" || !(payload instanceof Uint8Array)) {
    throw new ArqonError("internal", "", { cause: new Error("spine.sqlite holds a foreign row") });
  }
  return { offset, payload: new Uint8Array(payload) };
}

/** The statements of all ledgers in an open database, in which `LEDGER_SCHEMA` has run. */
export function ledgerStatements(database: DatabaseSync) {
  return {
    newest: database.prepare("SELECT last FROM ledger WHERE name = ?"),
    bump: database.prepare(
      "INSERT INTO ledger (name, last) VALUES (?, ?) ON CONFLICT (name) " +
        "DO UPDATE SET last = excluded.last",
    ),
    insert: database.prepare(
      "INSERT INTO ledger_entry (ledger, offset, time_ms, payload) VALUES (?, ?, ?, ?)",
    ),
    read: database.prepare(
      "SELECT offset, payload FROM ledger_entry WHERE ledger = ? AND offset > ? " +
        "ORDER BY offset LIMIT ?",
    ),
    last: database.prepare(
      "SELECT offset, payload FROM ledger_entry WHERE ledger = ? ORDER BY offset DESC LIMIT 1",
    ),
    first: database.prepare(
      "SELECT offset, time_ms FROM ledger_entry WHERE ledger = ? ORDER BY offset LIMIT 1",
    ),
    sum: database.prepare(
      "SELECT coalesce(sum(length(payload)), 0) AS bytes FROM ledger_entry WHERE ledger = ?",
    ),
    remove: database.prepare(
      "DELETE FROM ledger_entry WHERE ledger = ?1 AND time_ms < ?2 AND " +
        "offset = (SELECT min(offset) FROM ledger_entry WHERE ledger = ?1) " +
        "RETURNING length(payload) AS bytes",
    ),
  };
}

/** The engine's parts that a ledger needs. */
interface EmbeddedLedgerOptions extends Pick<Env, "now"> {
  readonly name: string;
  readonly store: {
    readonly database: DatabaseSync;
    readonly guard: Guard;
    readonly ledgers: ReturnType<typeof ledgerStatements>;
  };
  /** Nothing expires by a clock that was set lately. */
  readonly steps: ClockSteps;
  readonly payload_bytes_max: number;
  /** Throws when the engine is not open. */
  readonly assertOpen: () => void;
}

/** One ledger of the embedded engine. */
export class EmbeddedLedger implements Ledger {
  readonly #options: EmbeddedLedgerOptions;
  readonly #retention: LedgerRetention;
  /** Bytes of the stored entries. */
  #bytes: number;

  constructor(options: EmbeddedLedgerOptions, retention: LedgerRetention) {
    this.#options = options;
    this.#retention = retention;
    const { name, store: { guard, ledgers } } = options;
    this.#bytes = Number(guard(() => ledgers.sum.get(name))?.["bytes"]);
    this.#shrink();
  }

  async append(payload: Uint8Array, after: number): Promise<number> {
    const { name, store: { guard }, payload_bytes_max, assertOpen } = this.#options;
    assertOpen();
    assertSize(payload.length, payload_bytes_max);
    const newest = this.#newest();
    if (newest !== after) {
      throw new ArqonError("version-conflict", `${newest} (the newest entry of ${name})`);
    }
    guard(() => this.#store(payload, after + 1));
    this.#bytes += payload.length;
    this.#shrink();
    return after + 1;
  }

  async last(): Promise<LedgerEntry | undefined> {
    const { name, store: { guard, ledgers }, assertOpen } = this.#options;
    assertOpen();
    const row = guard(() => ledgers.last.get(name));
    return row === undefined ? undefined : entryOf(row);
  }

  async read({ after, limit }: LedgerRead): Promise<LedgerEntry[]> {
    const { name, store: { guard, ledgers }, assertOpen } = this.#options;
    assertOpen();
    return guard(() => ledgers.read.all(name, after, limit).map(entryOf));
  }

  async status(): Promise<LedgerStatus> {
    const { name, store: { guard, ledgers }, assertOpen } = this.#options;
    assertOpen();
    const last_offset = this.#newest();
    const row = guard(() => ledgers.first.get(name));
    const first_offset = Number(row?.["offset"] ?? last_offset + 1);
    const first_ms = row === undefined ? undefined : Number(row["time_ms"]);
    const entries = last_offset + 1 - first_offset;
    return { entries, bytes: this.#bytes, last_offset, first_offset, first_ms };
  }

  #newest(): number {
    const { name, store: { guard, ledgers } } = this.#options;
    return Number(guard(() => ledgers.newest.get(name))?.["last"] ?? 0);
  }

  #store(payload: Uint8Array, offset: number): void {
    const { name, now, store: { database, ledgers } } = this.#options;
    // Acknowledged entries are on the disk and survive a power cut.
    database.exec("PRAGMA synchronous = FULL");
    try {
      inTransaction(database, () => {
        ledgers.bump.run(name, offset);
        ledgers.insert.run(name, offset, now(), payload);
      });
    } finally {
      database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  #shrink(): void {
    const { name, store: { guard, ledgers }, now, steps } = this.#options;
    const { max_age_seconds, max_bytes } = this.#retention;
    const age_ms = max_age_seconds * 1_000;
    const before_ms = steps.isBelieved(age_ms) ? now() - age_ms : 0;
    for (let removed = 0; removed < REMOVED_AT_ONCE; removed++) {
      const is_over = this.#bytes > max_bytes;
      const older_ms = is_over ? Number.MAX_SAFE_INTEGER : before_ms;
      const row = guard(() => ledgers.remove.get(name, older_ms));
      if (row === undefined) return;
      this.#bytes -= Number(row["bytes"]);
    }
  }
}
