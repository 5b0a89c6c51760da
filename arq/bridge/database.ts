/**
 * The client of PostgreSQL, with types that it lacks, and the bridge's data in the database: its position, permanently
 * refused messages, and the slot, which makes the server keep the rest of the log.
 */
import type { Buffer } from "node:buffer";
import pg from "pg";
import { type CommandError, failed } from "../terminal/exit.ts";
import type { Committed } from "./bus.ts";
import { Copies } from "./copies.ts";
import { COPY_BYTES_MAX, type Lsn, lsnText, parseLsn } from "./wal.ts";
import { within } from "../../shared/within.ts";
import { time } from "../answers/figures.ts";

/** How long the package waits for the answer to its goodbye, in ms; a broken connection never answers. */
const END_MS = 1_000;
const CONNECT_MS = 10_000;
const QUERY_MS = 30_000;

/** PostgreSQL: object_in_use, another process has the slot. */
export const IN_USE = "55006";

/** The result of a query; each row is an object by column. */
interface Result {
  // deno-lint-ignore no-explicit-any -- the columns are the query's
  readonly rows: any[];
}

/** The connection below a client, while it replicates. */
export interface Wire {
  on(name: "copyData", listener: (message: { chunk: Uint8Array }) => void): void;
  once(name: "replicationStart", listener: () => void): void;
  sendCopyFromChunk(bytes: Buffer): void;
  readonly stream: { pause(): void; resume(): void };
}

/** A connection to a database. */
export interface Database {
  readonly connection: Wire;
  connect(): Promise<void>;
  /** Rejects with an Error that has the server's `code`. */
  query(text: string, values?: readonly unknown[]): Promise<Result>;
  /** The rows of the last of several statements. Rejects as `query`. */
  lastRows(text: string): Promise<Result["rows"]>;
  /** Never rejects. */
  end(): Promise<void>;
}

/**
 * `patient`: queries have no timeout. `replicates`: also without a timeout, and accepts commands of the replication
 * protocol.
 */
type DatabaseKind = "plain" | "patient" | "replicates";

/** For readers of the log: any role may write a prefix that UTF-8 cannot express, which the server would refuse. */
const AS_IT_IS = "set client_encoding = 'SQL_ASCII'";
/** Options of a client by kind; a stream is one query without an end. */
const OPTIONS = {
  plain: { query_timeout: QUERY_MS },
  patient: {},
  replicates: { replication: "database" },
} as const;

/** Bounds what the package assembles of one message. Between two messages of the server. */
function cutCopies(stream: pg.Connection["stream"]): void {
  const copies = new Copies(COPY_BYTES_MAX);
  const parsers = stream.listeners("data") as ((bytes: Buffer) => void)[];
  stream.removeAllListeners("data");
  stream.on("data", (bytes: Buffer) => {
    for (const piece of copies.pieces(bytes)) for (const parse of parsers) parse(piece);
  });
}

/** A client that is not connected yet. */
export function databaseAt(url: string, kind: DatabaseKind = "plain"): Database {
  const client = new pg.Client({
    connectionString: url,
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_MS,
    ...OPTIONS[kind],
  });
  // The next query receives an error that happens while none is running.
  client.on("error", () => {});
  return {
    connection: client.connection,
    async connect() {
      await client.connect();
      if (kind !== "plain") await client.query(AS_IT_IS);
      if (kind === "replicates") cutCopies(client.connection.stream);
    },
    query: (text, values) => client.query(text, values),
    lastRows: async (text) => [await client.query(text)].flat().at(-1)!.rows,
    async end() {
      // A broken connection has already ended.
      await within(END_MS, client.end().catch(() => {}), () => {});
      client.connection.stream.destroy();
    },
  };
}

/** The options of `standingOf`. */
export interface StandingOptions {
  readonly slot: string;
  /** Continues when the slot is gone or was replaced, though messages may have been missed. */
  readonly accept_loss: boolean;
  /** Tells the user how to accept that. */
  readonly accept_hint: string;
  readonly say: (text: string) => void;
}

/** The position of the bridge in the database. */
export interface Standing {
  readonly lsn: Lsn;
  /** Whether an earlier bridge may have published messages above the position; false for a new slot. */
  readonly is_known: boolean;
  readonly end_lsn: Lsn;
  /** The database and its timeline: after a restore or a failover, positions may repeat. */
  readonly source: string;
  /** The key with which `arqon.publish` signs. */
  readonly key: Uint8Array;
}

const SOURCE = `concat_ws('-',
    (select system_identifier from pg_control_system()),
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (select oid from pg_database where datname = current_database()))`;
const SLOT = `
  select database = current_database() and plugin = 'pgoutput' as is_ours, database, plugin,
    wal_status = 'lost' as is_lost, confirmed_flush_lsn::text as lsn
  from pg_replication_slots where slot_name = $1`;
const NOTED = `
  select ${SOURCE} as here, pg_current_wal_flush_lsn()::text as end_lsn, b.source, b.lsn::text,
    extract(epoch from b.at) * 1000 as at_ms
  from (select) as one left join arqon.bridge b on b.slot = $1`;
const SCHEMA = `
  select to_regclass('arqon.bridge') is not null as is_there, to_regclass('arqon.key') is not null and (
    select count(*) from pg_attribute where attname = 'source' and not attisdropped
      and attrelid in (to_regclass('arqon.bridge'), to_regclass('arqon.refused'))) = 2 as is_whole`;
/** Rows kept of unsigned messages, which any role can cause. */
const UNSIGNED_ROWS = 1_000;

/** How much of its log the database keeps for a slot. */
export type KeptWal = NonNullable<Awaited<ReturnType<typeof keptWal>>>;

/** Undefined: there is no such slot. */
export async function keptWal(sql: Database, slot: string) {
  const { rows: [row] } = await sql.query(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) as kept, safe_wal_size as safe
     from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  if (row === undefined || row.kept === null) return undefined;
  // Bytes that may still be written before the slot is lost; undefined: unlimited.
  const safe_bytes = row.safe === null ? undefined : Number(row.safe);
  return { slot, kept_bytes: Number(row.kept), safe_bytes };
}

interface Slot {
  readonly is_ours: boolean | null;
  readonly database: string | null;
  readonly plugin: string | null;
  readonly is_lost: boolean;
  readonly lsn: string;
}

/** The saved position, null where none is saved; and the current end of the log. */
interface Noted {
  readonly here: string;
  readonly end_lsn: string;
  readonly source: string | null;
  readonly lsn: string | null;
  readonly at_ms: string | null;
}

/** Finds where to continue, and creates the slot if it is missing. Rejects for problems that a person has to solve. */
export async function standingOf(
  sql: Database,
  { slot, accept_loss, accept_hint, say }: StandingOptions,
): Promise<Standing> {
  await checkDatabase(sql);
  // In this order: an active bridge saves its position before it confirms it to the slot.
  const { rows: [found] }: { rows: Slot[] } = await sql.query(SLOT, [slot]);
  const noted: Noted = (await sql.query(NOTED, [slot])).rows[0];
  if (found !== undefined && found.is_ours !== true) throw foreign(slot, found);
  const own = found?.is_lost === false ? found : undefined;
  const problem = problemOf(slot, own, noted);
  if (problem !== undefined) {
    const since = time(Number(noted.at_ms));
    const text = `${problem}: what was committed after ${noted.lsn} (${since}) may be missed`;
    if (!accept_loss) throw failed(text, accept_hint);
    say(text);
  }
  let begin_lsn = problem === undefined ? noted.lsn : null;
  if (begin_lsn === null) {
    begin_lsn = own?.lsn ?? await makeSlot(sql, slot, found !== undefined);
    await sql.query(
      `insert into arqon.bridge (slot, source, lsn) values ($1, $2, $3) on conflict (slot)
       do update set source = excluded.source, lsn = excluded.lsn, at = clock_timestamp()`,
      [slot, noted.here, begin_lsn],
    );
  }
  const { rows: [{ key }] } = await sql.query("select key from arqon.key");
  return {
    source: noted.here,
    key,
    lsn: parseLsn(begin_lsn),
    end_lsn: parseLsn(noted.end_lsn),
    is_known: own !== undefined || noted.lsn !== null,
  };
}

async function checkDatabase(sql: Database): Promise<void> {
  const { rows: [{ wal_level }] } = await sql.query(
    "select current_setting('wal_level') as wal_level",
  );
  if (wal_level !== "logical") {
    throw failed(
      `the database has wal_level = ${wal_level}, not logical`,
      "alter system set wal_level = logical; then restart PostgreSQL",
    );
  }
  const { rows: [{ is_there, is_whole }] } = await sql.query(SCHEMA);
  const install = "arq bridge postgres --sql | psql DATABASE";
  if (!is_there) {
    throw failed("the database has no schema arqon", install);
  }
  if (is_whole) return;
  throw failed(
    "the schema arqon has an earlier version",
    `psql DATABASE -c 'drop table arqon.bridge, arqon.refused'; ${install}; then grant on them anew`,
  );
}

/** The error for a slot that belongs to somebody else: it must be neither read nor dropped. */
function foreign(slot: string, { database, plugin }: Slot): CommandError {
  const whose = `${database ?? "no database"} with ${plugin ?? "no plugin"}`;
  const hint = "another name for ours, by --slot or [bridge.postgres] slot";
  return failed(`the slot ${slot} belongs to ${whose}`, hint);
}

/** Without the timeline: a promoted database continues from the saved position. */
const databaseOf = (source: string): string => source.replace(/-[^-]*-/, "-");

/**
 * Why the slot cannot deliver everything above the saved position. A bridge saves before it confirms to the slot, so
 * its own slot is never ahead. Without a saved position there is no reason.
 */
function problemOf(slot: string, own: Slot | undefined, noted: Noted): string | undefined {
  const { here, end_lsn, source, lsn } = noted;
  if (source === null || lsn === null) return undefined;
  if (databaseOf(source) !== databaseOf(here) || parseLsn(lsn) > parseLsn(end_lsn)) {
    return `arqon.bridge belongs to another database (${source} up to ${lsn}; ` +
      `this is ${here} up to ${end_lsn})`;
  }
  if (own === undefined) return `the slot ${slot} was deleted`;
  if (parseLsn(own.lsn) <= parseLsn(lsn)) return undefined;
  const promoted = source === here ? "" : ` after ${source} became ${here}`;
  return `the slot ${slot} was recreated or moved${promoted}, and begins at ${own.lsn}`;
}

/** Creates the slot and returns its position. */
async function makeSlot(sql: Database, slot: string, is_lost: boolean): Promise<string> {
  if (is_lost) await sql.query("select pg_drop_replication_slot($1)", [slot]);
  const { rows: [{ lsn }] } = await sql.query(
    "select lsn::text from pg_create_logical_replication_slot($1, 'pgoutput')",
    [slot],
  );
  return lsn;
}

/** Rejects when the slot that is read is not the one that `standingOf` found: it was recreated since. */
export async function checkHeld(sql: Database, slot: string): Promise<void> {
  const { rows: [held] } = await sql.query(
    `select s.confirmed_flush_lsn <= b.lsn as is_ours from arqon.bridge b
     join pg_replication_slots s on s.slot_name = b.slot where b.slot = $1`,
    [slot],
  );
  if (held?.is_ours !== true) {
    throw new Error(`the slot ${slot} is not at the position in arqon.bridge`);
  }
}

/**
 * Saves up to which position everything is settled, and returns it. The saved time is not that of the save: while one
 * room waits, published messages of others may be much older, and a bridge that continues after a kill must look back
 * that far.
 */
export async function save(
  sql: Database,
  slot: string,
  source: string,
  { over_lsn, done_ms }: { readonly over_lsn: Lsn; readonly done_ms: number },
): Promise<Lsn> {
  await sql.query(
    `update arqon.bridge set source = $2, lsn = $3,
       at = case when $4::float8 = 0 then at else to_timestamp($4::float8 / 1000) end
     where slot = $1 and lsn < $3`,
    [slot, source, lsnText(over_lsn), done_ms],
  );
  return over_lsn;
}

/** Whether `arqon.publish` still signs with the key that `standingOf` found. */
export async function isKeyKept(sql: Database, { key }: Standing): Promise<boolean> {
  const { rows } = await sql.query("select from arqon.key where key = $1", [key]);
  return rows.length > 0;
}

/**
 * Records and reports a message that the bus refuses permanently. Unsigned ones have no room; the number of their rows
 * is limited so that no role can fill the disk.
 */
export async function noteRefused(
  sql: Database,
  source: string,
  { room, type, data, message_id, place }: Committed,
  reason: string,
  say: StandingOptions["say"],
): Promise<void> {
  const { rows } = await sql.query(
    `insert into arqon.refused (source, lsn, number, room, type, data, message_id, reason)
     select $1, $2, $3, nullif($4, ''), nullif($5, ''), $6, nullif($7, ''), $8
     where $4 <> '' or (select count(*) from (
       select from arqon.refused where room is null limit ${UNSIGNED_ROWS}) as rows) < ${UNSIGNED_ROWS}
     on conflict do nothing returning true`,
    [source, place.lsn, place.number, room, type, data, message_id, reason],
  );
  const where = room === "" ? place.lsn : room;
  if (rows.length > 0) say(`${where}: refused permanently: ${reason}; it is in arqon.refused`);
}
