/**
 * Reads the log of a database for a bridge: by the replication protocol, where what commits comes on its own, or
 * by plain SQL every so often, where nobody lets that protocol through.
 */
import type { Intake } from "./intake.ts";
import { type Database, databaseAt, IN_USE, type Standing, type Wire } from "./database.ts";
import { type Lsn, lsnText, parseLsn, readChange, readWal, statusUpdate } from "./wal.ts";
import { Buffer } from "node:buffer";
import { pause } from "../rooms/flow.ts";

/**
 * What others write is noted when it is so much: a note is itself in the log, and a database that has nothing to do
 * must come to rest.
 */
const IDLE_BYTES = 1_048_576n;

/** One connection to a database, until it breaks. */
export interface Following {
  readonly url: string;
  readonly slot: string;
  readonly standing: Standing;
  readonly intake: Intake;
  /** Messages that wait for the bus, above which nothing more is read. */
  readonly waiting_messages: number;
  readonly signal: AbortSignal;
  /** Unix ms. */
  readonly now: () => number;
  /** The slot is ours. */
  readonly onFollowing: () => void;
  /** Says whom to tell when a message is over. */
  readonly onOver: (listener: () => void) => void;
  /** Rejects when the database is no longer heard of. */
  readonly lost: Promise<never>;
  /** Rejects when the slot that is ours by now is not the one that `standing` was found with. */
  readonly check: () => Promise<void>;
  /** Notes in the database how far everything is over, and gives that. The slot learns no more than that. */
  readonly note: () => Promise<Lsn>;
}

/** How often is noted how far everything is over. */
const SAVE_MS = 200;
/** The server closes what says nothing for a minute. */
const STATUS_MS = 5_000;

/** Until the signal. Rejects when the connection breaks, and with 55006 while another one has the slot. */
export async function stream(following: Following): Promise<void> {
  const { url, slot, standing, intake, waiting_messages, signal, now, note } = following;
  const client = databaseAt(url, "replicates");
  await client.connect();
  const wire = client.connection;
  const broken = Promise.withResolvers<never>();
  let checked = Promise.resolve();
  let [noted, told_ms, is_paused] = [standing.lsn, now(), false];
  following.onOver(() => {
    if (!is_paused || intake.waiting >= waiting_messages / 2) return;
    is_paused = false;
    wire.stream.resume();
  });
  wire.once("replicationStart", () => {
    // From now on nobody can make another slot of this name.
    checked = following.check().then(following.onFollowing);
    checked.catch(broken.reject);
  });
  wire.on("copyData", ({ chunk }) => {
    try {
      if (take(chunk, following)) tickSoon(true);
    } catch (error) {
      broken.reject(error);
    }
    is_paused ||= pauseIfFull(following, wire);
  });
  // A server that shuts down asks, until all that it has sent is confirmed.
  const tick = async (is_asked: boolean) => {
    const { done_lsn, over_lsn } = intake.progress;
    const is_far = done_lsn > noted || over_lsn - noted >= (is_asked ? 1n : IDLE_BYTES);
    if (!is_far && !is_asked && now() - told_ms < STATUS_MS) return;
    if (is_far) {
      await checked;
      noted = await note();
    }
    told_ms = now();
    wire.sendCopyFromChunk(Buffer.from(statusUpdate(noted, told_ms)));
  };
  let ticking = Promise.resolve();
  const tickSoon = (is_asked: boolean) => {
    ticking = ticking.then(() => tick(is_asked)).catch((error) => broken.reject(error));
  };
  const timer = setInterval(tickSoon, SAVE_MS, false);
  const onAbort = () => void client.end();
  signal.addEventListener("abort", onAbort);
  try {
    const start = `START_REPLICATION SLOT "${slot}" LOGICAL ${lsnText(standing.lsn)} ` +
      "(proto_version '1', publication_names 'arqon', messages 'true')";
    await Promise.race([client.query(start), broken.promise, following.lost]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearInterval(timer);
    await ticking;
    await client.end();
  }
}

/** Whether the server wants an answer. */
function take(chunk: Uint8Array, { intake }: Following): boolean {
  const message = readWal(chunk);
  if (message.kind !== "alive") {
    intake.take(message);
    return false;
  }
  intake.progress.alive(message.lsn);
  return message.wants_reply;
}

function pauseIfFull({ intake, waiting_messages }: Following, wire: Wire): boolean {
  if (intake.waiting < waiting_messages) return false;
  wire.stream.pause();
  return true;
}

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
