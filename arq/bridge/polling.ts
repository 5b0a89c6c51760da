/**
 * Reads the log of a database every so often, by plain SQL: for where nobody lets the replication protocol through. Each
 * read is published whole before the next.
 */
import { pause } from "../rooms/flow.ts";
import { IDLE_BYTES } from "./following.ts";
import type { Following } from "./following.ts";
import { databaseAt, IN_USE } from "./database.ts";
import type { Database } from "./database.ts";
import { lsnText, parseLsn, readChange } from "./wal.ts";

/** A session that is gone must not hold its lock until the system's own hours are over. */
const KEEPALIVE = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; " +
  "set tcp_keepalives_count = 3";
const LOCK = "select pg_try_advisory_lock(hashtext('arqon.bridge.poll ' || $1)) as is_ours";
const NOW = "select pg_current_wal_flush_lsn()::text as lsn";
const READ = "select lsn::text, data from pg_logical_slot_peek_binary_changes($1, $2, $3, " +
  "'proto_version', '1', 'publication_names', 'arqon', 'messages', 'true')";
const ADVANCE = "select pg_replication_slot_advance($1, $2)";

/** Until the signal. Rejects when the connection breaks, and with 55006 while another one has the slot. */
export async function poll(following: Following, poll_ms: number): Promise<void> {
  const { url, lost } = following;
  const sql = databaseAt(url, "patient");
  await sql.connect();
  try {
    await Promise.race([pollWith(sql, following, poll_ms), lost]);
  } finally {
    await sql.end();
  }
}

async function pollWith(sql: Database, following: Following, poll_ms: number): Promise<void> {
  const { slot, standing, intake, waiting_messages, signal, note, check } = following;
  const { progress } = intake;
  let noted = standing.lsn;
  await sql.query(KEEPALIVE);
  const { rows: [{ is_ours }] } = await sql.query(LOCK, [slot]);
  if (!is_ours) throw Object.assign(new Error("another bridge polls"), { code: IN_USE });
  for (let is_told = false; !signal.aborted;) {
    const { rows: [{ lsn: now_lsn }] } = await sql.query(NOW);
    // It gives whole transactions: more than that, when the last one is longer.
    const { rows } = await sql.query(READ, [slot, now_lsn, waiting_messages]);
    // Nobody holds a slot between two reads: it may be another one by now.
    await check();
    if (!is_told) following.onFollowing();
    is_told = true;
    for (const { data } of rows) intake.take(readChange(data));
    await Promise.race([intake.settled(), aborted(signal)]);
    if (signal.aborted) return;
    // What others wrote since the last read need not be kept.
    if (rows.length === 0) progress.alive(parseLsn(now_lsn));
    if (progress.done_lsn > noted || progress.over_lsn - noted >= IDLE_BYTES) {
      noted = await note();
      await sql.query(ADVANCE, [slot, lsnText(noted)]);
    }
    if (rows.length === 0) await pause(poll_ms, signal);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
