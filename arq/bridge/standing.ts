/**
 * What a bridge notes in the database: how far it is, what was refused for good; and the slot, which keeps the rest of
 * the database's log for it. Follows nothing.
 */
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Committed } from "./bus.ts";
import type { Database } from "./database.ts";
import type { Progress } from "./progress.ts";
import { lsnText, parseLsn } from "./wal.ts";
import type { Lsn } from "./wal.ts";

/** What finding it needs. */
export interface StandingOptions {
  readonly slot: string;
  /** Goes on from now where the slot is gone, though something may have been missed. */
  readonly accept_loss: boolean;
  /** How to accept that. */
  readonly accept_hint: string;
  readonly say: (text: string) => void;
}

/** Where the bridge stands in the database. */
export interface Standing {
  readonly lsn: Lsn;
  /** Whether a bridge before may have published what stands above; else the slot is new. */
  readonly is_known: boolean;
  /** How far the log of the database went. */
  readonly end_lsn: Lsn;
  /** The database, and its timeline: after a restore or a failover, positions may come again. */
  readonly source: string;
}

/** What the database keeps of its log for a slot. */
export interface KeptWal {
  readonly slot: string;
  readonly kept_bytes: number;
  /** What may still be written before the slot is lost; undefined: without bound. */
  readonly safe_bytes: number | undefined;
}

const STANDING = `
  select b.lsn::text, pg_current_wal_flush_lsn()::text as end_lsn, concat_ws('-',
    (select system_identifier from pg_control_system()),
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (select oid from pg_database where datname = current_database())) as source
  from arqon.bridge b where slot = $1`;

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

/**
 * Finds where to go on, and makes the slot where there is none. Rejects with a CommandError for what does not pass by
 * itself.
 */
export async function standingOf(
  sql: Database,
  { slot, accept_loss, accept_hint, say }: StandingOptions,
): Promise<Standing> {
  const { rows: [level] } = await sql.query("select current_setting('wal_level') as wal_level");
  if (level.wal_level !== "logical") {
    throw new CommandError(
      `the database has wal_level = ${level.wal_level}, not logical`,
      EXIT.failure,
      "alter system set wal_level = logical; then restart PostgreSQL",
    );
  }
  const { rows: [made] } = await sql.query("select to_regclass('arqon.bridge') as name");
  if (made.name === null) {
    const hint = "arq bridge postgres --sql | psql DATABASE";
    throw new CommandError("the database has no schema arqon", EXIT.failure, hint);
  }
  const { rows: [row] } = await sql.query(
    "select lsn::text, extract(epoch from at) * 1000 as at_ms from arqon.bridge where slot = $1",
    [slot],
  );
  const { rows: [own] } = await sql.query(
    "select wal_status, confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1",
    [slot],
  );
  const is_there = own !== undefined && own.wal_status !== "lost";
  if (!is_there && row !== undefined) {
    const since = new Date(Number(row.at_ms)).toISOString();
    const text =
      `the slot ${slot} is gone: what was committed after ${row.lsn} (${since}) may be missed`;
    if (!accept_loss) throw new CommandError(text, EXIT.failure, accept_hint);
    say(text);
  }
  if (!is_there) await makeSlot(sql, slot, own !== undefined);
  else if (row === undefined) await noteSlot(sql, slot, own.lsn);
  const { rows: [now] } = await sql.query(STANDING, [slot]);
  const { source } = now;
  const is_known = is_there && row !== undefined;
  return { lsn: parseLsn(now.lsn), is_known, end_lsn: parseLsn(now.end_lsn), source };
}

async function makeSlot(sql: Database, slot: string, is_lost: boolean): Promise<void> {
  if (is_lost) await sql.query("select pg_drop_replication_slot($1)", [slot]);
  const { rows: [{ lsn }] } = await sql.query(
    "select lsn::text from pg_create_logical_replication_slot($1, 'pgoutput')",
    [slot],
  );
  await noteSlot(sql, slot, lsn);
}

/** Notes that a slot begins there: it is new, somebody else has made it, or whoever did was killed before this. */
async function noteSlot(sql: Database, slot: string, lsn: string): Promise<void> {
  await sql.query(
    `insert into arqon.bridge (slot, lsn) values ($1, $2)
     on conflict (slot) do update set lsn = excluded.lsn, at = clock_timestamp()`,
    [slot, lsn],
  );
}

/**
 * Notes how far everything is over. Not the time of the note: while one room waits, what others have published may be much older than that, and whoever
 * goes on after a kill must look back so far.
 */
export async function save(sql: Database, slot: string, progress: Progress): Promise<void> {
  const { done_lsn, done_ms } = progress;
  await sql.query(
    "update arqon.bridge set lsn = $2, at = to_timestamp($3::float8 / 1000) where slot = $1 and lsn < $2",
    [slot, lsnText(done_lsn), done_ms],
  );
}

/** Notes what the bus refuses for good, and says it. */
export async function noteRefused(
  sql: Database,
  { room, type, data, message_id, place }: Committed,
  reason: string,
  say: StandingOptions["say"],
): Promise<void> {
  say(`${room}: refused for good: ${reason}; it is in arqon.refused`);
  await sql.query(
    `insert into arqon.refused (lsn, number, room, type, data, message_id, reason)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
    [place.lsn, place.number, room, type, data, message_id, reason],
  );
}
