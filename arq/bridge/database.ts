/**
 * The client of PostgreSQL, with types that it lacks, and the bridge's notes in the database: its position, messages
 * refused for good; and the slot, which retains the rest of the log for it.
 */
import type { Buffer } from "node:buffer";
import pg from "pg";
import { type CommandError, failed } from "../terminal/exit.ts";
import type { Committed } from "./bus.ts";
import { type Lsn, lsnText, parseLsn } from "./wal.ts";

/** The package waits for an answer to its goodbye, which may not come from a connection that is broken, in ms. */
const END_MS = 1_000;
const CONNECT_MS = 10_000;
const QUERY_MS = 30_000;

/** PostgreSQL: object_in_use, the slot is another's. */
export const IN_USE = "55006";

/** What a query gives; each row by its columns. */
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
  /** Never rejects. */
  end(): Promise<void>;
}

/** `patient`: a query may take as long as it does. `replicates`: that, and it takes commands of that protocol. */
type DatabaseKind = "plain" | "patient" | "replicates";

/** What a client of a kind is given: a stream is one query for as long as it goes on. */
const OPTIONS = {
  plain: { query_timeout: QUERY_MS },
  patient: {},
  replicates: { replication: "database" },
} as const;

/** A client that is not connected yet. What breaks it while nobody asks is heard by whoever asks next. */
export function databaseAt(url: string, kind: DatabaseKind = "plain"): Database {
  const client = new pg.Client({
    ...{ connectionString: url, keepAlive: true, connectionTimeoutMillis: CONNECT_MS },
    ...OPTIONS[kind],
  });
  client.on("error", () => {});
  return {
    connection: client.connection,
    connect: () => client.connect(),
    query: (text, values) => client.query(text, values),
    async end() {
      const timeout = Promise.withResolvers<void>();
      const timer = setTimeout(timeout.resolve, END_MS);
      // A connection that is broken has ended.
      await Promise.race([client.end().catch(() => {}), timeout.promise]);
      clearTimeout(timer);
      client.connection.stream.destroy();
    },
  };
}

/** What finding it needs. */
export interface StandingOptions {
  readonly slot: string;
  /** Goes on where the slot is gone or another one, though something may have been missed. */
  readonly accept_loss: boolean;
  /** How to accept that. */
  readonly accept_hint: string;
  readonly say: (text: string) => void;
}

/** Where the bridge is in the database. */
export interface Standing {
  readonly lsn: Lsn;
  /** Whether a bridge before may have published what is above; else the slot is new. */
  readonly is_known: boolean;
  /** How far the log of the database went. */
  readonly end_lsn: Lsn;
  /** The database, and its timeline: after a restore or a failover, positions may come again. */
  readonly source: string;
  /** With which `arqon.publish` signs. */
  readonly key: Uint8Array;
}

/** What the database keeps of its log for a slot. */
export interface KeptWal {
  readonly slot: string;
  readonly kept_bytes: number;
  /** What may still be written before the slot is lost; undefined: without bound. */
  readonly safe_bytes: number | undefined;
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
/** Rows of messages that are not signed: any role can cause them. */
const UNSIGNED_ROWS = 1_000;

/** Undefined: there is no such slot. */
export async function keptWal(sql: Database, slot: string): Promise<KeptWal | undefined> {
  const { rows: [row] } = await sql.query(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) as kept, safe_wal_size as safe
     from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  if (row === undefined || row.kept === null) return undefined;
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

/** What is noted, null where nothing is; and where the database is by then. */
interface Noted {
  readonly here: string;
  readonly end_lsn: string;
  readonly source: string | null;
  readonly lsn: string | null;
  readonly at_ms: string | null;
}

/** Finds where to go on, and makes the slot where there is none. Rejects for what needs a person. */
export async function standingOf(
  sql: Database,
  { slot, accept_loss, accept_hint, say }: StandingOptions,
): Promise<Standing> {
  await checkDatabase(sql);
  // In this order: a bridge that is active notes, and then tells the slot.
  const { rows: [found] }: { rows: Slot[] } = await sql.query(SLOT, [slot]);
  const noted: Noted = (await sql.query(NOTED, [slot])).rows[0];
  if (found !== undefined && found.is_ours !== true) throw foreign(slot, found);
  const own = found?.is_lost === false ? found : undefined;
  const problem = problemOf(slot, own, noted);
  if (problem !== undefined) {
    const since = new Date(Number(noted.at_ms)).toISOString();
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
    ...{ source: noted.here, key, lsn: parseLsn(begin_lsn), end_lsn: parseLsn(noted.end_lsn) },
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
    "the schema arqon is of an earlier version",
    `psql DATABASE -c 'drop table arqon.bridge, arqon.refused'; ${install}; then grant on them anew`,
  );
}

/** Another's slot is not ours to read, and not ours to drop. */
function foreign(slot: string, { database, plugin }: Slot): CommandError {
  const text = `the slot ${slot} is of ${database ?? "no database"} with ${plugin ?? "no plugin"}`;
  const hint = "another name for ours, by --slot or [bridge.postgres] slot";
  return failed(text, hint);
}

/** Without the timeline: that of a database that was promoted goes on from what is noted. */
const databaseOf = (source: string): string => source.replace(/-[^-]*-/, "-");

/**
 * Why the slot does not give everything that is above what is noted. A bridge notes before it tells the slot: its
 * own slot is never ahead. Nothing noted yet: no reason.
 */
function problemOf(slot: string, own: Slot | undefined, noted: Noted): string | undefined {
  const { here, end_lsn, source, lsn } = noted;
  if (source === null || lsn === null) return undefined;
  if (databaseOf(source) !== databaseOf(here) || parseLsn(lsn) > parseLsn(end_lsn)) {
    return `arqon.bridge is of another database (${source} up to ${lsn}; ` +
      `this is ${here} up to ${end_lsn})`;
  }
  if (own === undefined) return `the slot ${slot} is gone`;
  if (parseLsn(own.lsn) <= parseLsn(lsn)) return undefined;
  const promoted = source === here ? "" : ` after ${source} became ${here}`;
  return `the slot ${slot} was made anew or moved${promoted}, and begins at ${own.lsn}`;
}

/** Where it begins. */
async function makeSlot(sql: Database, slot: string, is_lost: boolean): Promise<string> {
  if (is_lost) await sql.query("select pg_drop_replication_slot($1)", [slot]);
  const { rows: [{ lsn }] } = await sql.query(
    "select lsn::text from pg_create_logical_replication_slot($1, 'pgoutput')",
    [slot],
  );
  return lsn;
}

/** Rejects when the slot that is read is not the one that `standingOf` has found: it was made anew since. */
export async function checkHeld(sql: Database, slot: string): Promise<void> {
  const { rows: [held] } = await sql.query(
    `select s.confirmed_flush_lsn <= b.lsn as is_ours from arqon.bridge b
     join pg_replication_slots s on s.slot_name = b.slot where b.slot = $1`,
    [slot],
  );
  if (held?.is_ours !== true) throw new Error(`the slot ${slot} is not where arqon.bridge says`);
}

/**
 * Notes how far everything is over, and gives that. Not the time of the note: while one room waits, what others have
 * published may be much older than that, and whoever goes on after a kill must look back so far.
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

/** Whether `arqon.publish` signs with the key that `standingOf` has found. */
export async function isKeyKept(sql: Database, { key }: Standing): Promise<boolean> {
  const { rows } = await sql.query("select from arqon.key where key = $1", [key]);
  return rows.length > 0;
}

/**
 * Notes what the bus refuses for good, and says it. What is not signed has no room; of that so many rows are kept that
 * no role fills the disk with them.
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
  const said = room === "" ? place.lsn : room;
  if (rows.length > 0) say(`${said}: refused for good: ${reason}; it is in arqon.refused`);
}
