/**
 * Follows the log of a PostgreSQL database and publishes the messages of `arqon.publish`. One of several bridges with a
 * slot is active, the others stand by. Its position is in the database, so killing any part loses nothing.
 */
import type { Env } from "../../shared/env.ts";
import { Intake } from "./intake.ts";
import { checkHeld, databaseAt, IN_USE, isKeyKept, keptWal, noteRefused } from "./database.ts";
import { save, standingOf } from "./database.ts";
import type { Database, KeptWal, Standing, StandingOptions, Wire } from "./database.ts";
import { lsnText, parseLsn, readChange, readWal, SHOWN_BYTES_MAX } from "./wal.ts";
import { SIGNED_BYTES_MAX, statusUpdate } from "./wal.ts";
import type { Lsn } from "./wal.ts";
import { Buffer } from "node:buffer";
import { CommandError, whyOf } from "../terminal/exit.ts";
import type { BridgeBus, Committed } from "./bus.ts";
import { type Outcome, Publisher } from "./publisher.ts";
import { awaitedLater } from "../../shared/awaited_later.ts";
import { pause, within } from "../../shared/within.ts";

/**
 * The position is saved once others wrote this many bytes. A save is itself in the log, so without a threshold an idle
 * database would never come to rest.
 */
const IDLE_BYTES = 1_048_576n;

/** One connection to a database, until it breaks. */
interface Following extends Pick<Env, "now" | "monotonic_ms"> {
  readonly url: string;
  readonly slot: string;
  readonly standing: Standing;
  readonly intake: Intake;
  /** Messages that may wait for the bus; beyond it nothing more is read. */
  readonly waiting_messages: number;
  readonly signal: AbortSignal;
  /** Called when this bridge owns the slot and has saved its position, which a read-only database does not allow. */
  readonly onFollowing: () => void;
  /** Registers a listener that is called when a message is settled. */
  readonly onOver: (listener: () => void) => void;
  /** Rejects when the connection to the database is lost. */
  readonly lost: Promise<never>;
  /** Rejects when the slot that this bridge now owns is not the one that `standing` was found with. */
  readonly check: () => Promise<void>;
  /**
   * Saves in the database up to which position everything is settled, and returns it. The slot never advances further.
   */
  readonly note: () => Promise<Lsn>;
}

/** How often the settled position is saved. */
const SAVE_MS = 200;
/** The server closes a connection that is silent for a minute. */
const STATUS_MS = 5_000;

/** Runs until the signal. Rejects when the connection breaks, and with 55006 while another process has the slot. */
async function stream(following: Following): Promise<void> {
  const { url, slot, standing, intake, waiting_messages, signal, note } = following;
  const { now, monotonic_ms } = following;
  const client = databaseAt(url, "replicates");
  await client.connect();
  const wire = client.connection;
  const broken = Promise.withResolvers<never>();
  let checked = Promise.resolve();
  let noted = standing.lsn;
  let reported_ms = monotonic_ms();
  let is_paused = false;
  let is_resting = false;
  const resume = () => void (is_paused || is_resting || wire.stream.resume());
  following.onOver(() => {
    if (!is_paused || intake.waiting >= waiting_messages / 2) return;
    is_paused = false;
    resume();
  });
  // Any role can write a million messages at once, and what has arrived is read without a turn for others.
  const rest = () => {
    if (is_resting) return;
    is_resting = true;
    wire.stream.pause();
    setImmediate(() => {
      is_resting = false;
      resume();
    });
  };
  wire.once("replicationStart", () => {
    // From now on nobody can create another slot of this name.
    checked = following.check().then(note).then(following.onFollowing);
    checked.catch(broken.reject);
  });
  wire.on("copyData", ({ chunk }) => {
    try {
      if (take(chunk, following)) tickSoon(true);
    } catch (error) {
      broken.reject(error);
    }
    is_paused ||= pauseIfFull(following, wire);
    rest();
  });
  // A server that shuts down asks until everything it has sent is confirmed.
  const tick = async (is_asked: boolean) => {
    const { done_lsn, over_lsn } = intake.progress;
    const is_far = done_lsn > noted || over_lsn - noted >= (is_asked ? 1n : IDLE_BYTES);
    if (!is_far && !is_asked && monotonic_ms() - reported_ms < STATUS_MS) return;
    if (is_far) noted = await checked.then(note);
    reported_ms = monotonic_ms();
    wire.sendCopyFromChunk(Buffer.from(statusUpdate(noted, now())));
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

/** A dead session must release its lock before the system's default of hours. */
const KEEPALIVE = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; " +
  "set tcp_keepalives_count = 3";
const LOCK = "select pg_try_advisory_lock(hashtext('arqon.bridge.poll ' || $1)) as is_ours";
const NOW = "select pg_current_wal_flush_lsn()::text as lsn";
/**
 * PostgreSQL returns whole transactions, however long, and any role can write one. So the rows stay in its temporary
 * file, are fetched in parts, and no transaction stays open meanwhile. Only the beginning of an overlong one is read.
 */
const readingOf = (slot: string, to_lsn: string, most: number) =>
  `close all; begin; declare changes no scroll cursor with hold for
    select length(data) > ${SIGNED_BYTES_MAX} as is_cut,
      case when length(data) > ${SIGNED_BYTES_MAX} then substr(data, 1, ${SHOWN_BYTES_MAX}) else data end as data
    from pg_logical_slot_peek_binary_changes('${slot}', '${to_lsn}', ${most},
      'proto_version', '1', 'publication_names', 'arqon', 'messages', 'true');
  commit; ${fetchOf(most)}`;
const fetchOf = (most: number) => `fetch ${most} from changes`;
const ADVANCE = "select pg_replication_slot_advance($1, $2)";

/** Runs until the signal. Rejects when the connection breaks, and with 55006 while another process has the slot. */
async function poll(following: Following, poll_ms: number): Promise<void> {
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
  for (let is_following = false; !signal.aborted;) {
    const { rows: [{ lsn: now_lsn }] } = await sql.query(NOW);
    let rows = await sql.lastRows(readingOf(slot, now_lsn, waiting_messages));
    const is_idle = rows.length === 0;
    // Between two reads nobody owns the slot, so it may have been replaced.
    await check();
    if (!is_following) await note().then(following.onFollowing);
    is_following = true;
    for (; rows.length > 0; rows = await sql.lastRows(fetchOf(waiting_messages))) {
      for (const { data, is_cut } of rows) intake.take(readChange(data, is_cut));
      await Promise.race([intake.settled(), aborted(signal)]);
      if (signal.aborted) return;
    }
    // The server need not keep what others wrote since the last read.
    if (is_idle) progress.alive(parseLsn(now_lsn));
    if (progress.done_lsn > noted || progress.over_lsn - noted >= IDLE_BYTES) {
      noted = await note();
      await sql.query(ADVANCE, [slot, lsnText(noted)]);
    }
    if (is_idle) await pause(poll_ms, signal);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** What a bridge needs. */
export interface BridgeOptions extends StandingOptions, Pick<Env, "now" | "monotonic_ms"> {
  /** `postgres://user:password@host:port/database`, requested for each connection. May throw. */
  readonly database: () => string;
  readonly bus: BridgeBus;
  readonly reading: Reading;
  /** Messages that wait for the bus, above which the database is not read; reading resumes below half of that. */
  readonly waiting_messages: number;
  readonly watch: BridgeWatch;
  readonly signal: AbortSignal;
}

/** How a bridge reads the log: streamed, or by plain SQL at intervals. */
export type Reading =
  | { readonly mode: "replication" }
  | { readonly mode: "polling"; readonly poll_ms: number };

/** Receives the activity of a bridge, for metrics. */
export interface BridgeWatch {
  /** `false`: waiting for the slot, or without the database. */
  readonly state: (is_following: boolean) => void;
  readonly over: (message: Committed, outcome: Outcome) => void;
  readonly waiting: (messages: number) => void;
  readonly kept: (wal: KeptWal) => void;
}

const STANDBY_MS = 1_000;
const AGAIN_MS = 1_000;
/** How often the database is asked how much it keeps, in ms. */
const KEPT_MS = 5_000;
/** Kept bytes at the first warning; the next one comes each time the amount has doubled. */
const KEPT_WARN_BYTES = 1_073_741_824;
/** How long the end waits for work in progress, in ms. */
const CLOSE_MS = 5_000;

const SYNCHRONOUS = "select set_config('synchronous_commit', 'local', false) " +
  "where current_setting('synchronous_commit') = 'off'";

/** Runs until the signal. Rejects with a CommandError for problems that do not pass on their own. */
export async function runBridge(given: BridgeOptions): Promise<void> {
  const { signal, say } = given;
  const options = { ...given, watch: { ...given.watch, kept: sayingKept(given) } };
  let accept_loss = options.accept_loss;
  let is_waiting = false;
  while (!signal.aborted) {
    try {
      await follow({ ...options, accept_loss }, () => {
        is_waiting = false;
        accept_loss = false;
        options.watch.state(true);
        say("following");
      });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      if (signal.aborted) return;
      const is_standby = (error as { code?: unknown }).code === IN_USE;
      if (!is_standby) say(`the database: ${whyOf(error)}`);
      else if (!is_waiting) say("another bridge is active; waiting");
      is_waiting = is_standby;
      await pause(is_standby ? STANDBY_MS : AGAIN_MS, signal);
    } finally {
      options.watch.state(false);
    }
  }
}

/** The watches, with one that also warns when the database keeps much. */
function sayingKept({ watch, slot, say }: BridgeOptions): BridgeWatch["kept"] {
  let warned_bytes = KEPT_WARN_BYTES / 2;
  return (wal) => {
    watch.kept(wal);
    const { kept_bytes } = wal;
    if (kept_bytes < KEPT_WARN_BYTES) warned_bytes = KEPT_WARN_BYTES / 2;
    if (kept_bytes < 2 * warned_bytes) return;
    warned_bytes = kept_bytes;
    say(`the database retains ${kept_bytes} bytes of WAL for the slot ${slot}`);
  };
}

async function follow(options: BridgeOptions, onFollowing: () => void): Promise<void> {
  const { database, slot, bus, say, signal, watch, reading } = options;
  const url = database();
  const sql = databaseAt(url);
  await sql.connect();
  try {
    // A saved position that a crash undoes would be behind the slot.
    await sql.query(SYNCHRONOUS);
    // Of bridges that start together, one creates the slot and the others find it.
    await sql.query("select pg_advisory_lock(hashtext('arqon.bridge ' || $1))", [slot]);
    const standing = await standingOf(sql, options);
    await sql.query("select pg_advisory_unlock(hashtext('arqon.bridge ' || $1))", [slot]);
    const lost = Promise.withResolvers<never>();
    awaitedLater(lost.promise);
    using _asking = asking(sql, options, lost.reject);
    const over = new AbortController();
    const publisher = new Publisher({
      bus,
      origin: standing,
      onProblem: say,
      onOver: watch.over,
      monotonic_ms: options.monotonic_ms,
      signal: AbortSignal.any([signal, over.signal]),
      async onRefused(message, reason) {
        if (message.refusal !== undefined && !await isKeyKept(sql, standing)) {
          const error = new Error("arqon.key has changed");
          lost.reject(error);
          throw error;
        }
        await noteRefused(sql, standing.source, message, reason, say);
      },
    });
    let notify = () => {};
    const intake = new Intake({
      standing,
      publisher,
      onWaiting(messages) {
        watch.waiting(messages);
        notify();
      },
    });
    const note = () => save(sql, slot, standing.source, intake.progress);
    const following = {
      ...options,
      url,
      standing,
      intake,
      note,
      onFollowing,
      lost: lost.promise,
      check: () => checkHeld(sql, slot),
      onOver: (listener: () => void) => void (notify = listener),
    };
    try {
      if (reading.mode === "polling") await poll(following, reading.poll_ms);
      else await stream(following);
    } finally {
      await within(CLOSE_MS, intake.settled(), () => {});
      // Unsaved messages are replayed; why the bridge ends is reported on its own.
      await note().catch(() => {});
      // Unsettled messages are replayed to the publisher of the next connection.
      over.abort();
    }
  } finally {
    await sql.end();
  }
}

/** Polls how much the database keeps; `onLost` is called when it does not answer. */
function asking(
  sql: Database,
  { slot, watch }: BridgeOptions,
  onLost: (error: unknown) => void,
): Disposable {
  let is_asking = false;
  const ask = async () => {
    if (is_asking) return;
    is_asking = true;
    try {
      const wal = await keptWal(sql, slot);
      if (wal !== undefined) watch.kept(wal);
    } catch (error) {
      onLost(error);
    }
    is_asking = false;
  };
  void ask();
  const timer = setInterval(ask, KEPT_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
