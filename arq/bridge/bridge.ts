/**
 * Follows the log of a PostgreSQL database and publishes what `arqon.publish` has put there. One of several bridges
 * with a slot is active, the others wait. How far it is stands in the database, so a kill of anything loses nothing.
 */
import { Buffer } from "node:buffer";
import type { Connection } from "@arqon/sdk";
import { pause } from "../rooms/flow.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import { committedOf } from "./committed.ts";
import { databaseAt } from "./database.ts";
import type { Database, Wire } from "./database.ts";
import { Progress } from "./progress.ts";
import { Publisher } from "./publisher.ts";
import type { Committed } from "./publisher.ts";
import { lsnText, parseLsn, readWal, statusUpdate } from "./wal.ts";
import type { Lsn } from "./wal.ts";

/** What a bridge needs. */
export interface BridgeOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly database: string;
  readonly slot: string;
  /** Goes on from now where the slot is gone, though something may have been missed. */
  readonly accept_loss: boolean;
  readonly bus: Pick<Connection, "room">;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
  /** Unix ms. */
  readonly now: () => number;
}

/** Messages that wait for the bus, above which the database is not read; it goes on below half of that. */
const OPEN_MAX = 2_000;
const SAVE_MS = 200;
/** The server closes what says nothing for a minute. */
const STATUS_MS = 5_000;
const STANDBY_MS = 1_000;
const AGAIN_MS = 1_000;
/** How long the end waits for what is under way, in ms. */
const CLOSE_MS = 5_000;
/** PostgreSQL: object_in_use, the slot is another's. */
const IN_USE = "55006";

/** Where the bridge stands in the database. */
interface Standing {
  readonly lsn: Lsn;
  /** Nothing above was published before that; undefined: nothing was ever published. Unix ms. */
  readonly at_ms: number | undefined;
  /** The clock of the database, Unix ms. */
  readonly now_ms: number;
}

/** Runs until the signal. Rejects with a CommandError for what does not pass by itself. */
export async function runBridge(options: BridgeOptions): Promise<void> {
  const { signal, say } = options;
  let accept_loss = options.accept_loss;
  let is_waiting = false;
  while (!signal.aborted) {
    try {
      await follow({ ...options, accept_loss }, () => {
        is_waiting = false;
        accept_loss = false;
        say("following");
      });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      if (signal.aborted) return;
      const is_standby = (error as { code?: unknown }).code === IN_USE;
      if (!is_standby) say(`the database: ${error instanceof Error ? error.message : error}`);
      else if (!is_waiting) say("another bridge is active; waiting");
      is_waiting = is_standby;
      await pause(is_standby ? STANDBY_MS : AGAIN_MS, signal);
    }
  }
}

async function follow(options: BridgeOptions, onFollowing: () => void): Promise<void> {
  const { database, slot, bus, say, signal, now } = options;
  const sql = databaseAt(database);
  await sql.connect();
  try {
    // Of bridges that start together one makes the slot, and the others find it noted.
    await sql.query("select pg_advisory_lock(hashtext('arqon.bridge ' || $1))", [slot]);
    const standing = await standingOf(sql, options);
    await sql.query("select pg_advisory_unlock(hashtext('arqon.bridge ' || $1))", [slot]);
    const over = new AbortController();
    const publisher = new Publisher({
      ...{ bus, since_ms: standing.at_ms, onProblem: say },
      signal: AbortSignal.any([signal, over.signal]),
      onRefused: (message, reason) => noteRefused(sql, message, reason, say),
    });
    const stream = new Stream(standing, publisher, say);
    try {
      await stream.run({ database, slot, sql, signal, now, onFollowing });
    } finally {
      await Promise.race([
        stream.settled(),
        new Promise((resolve) => setTimeout(resolve, CLOSE_MS)),
      ]);
      await save(sql, slot, stream.progress).catch(() => {});
      // What is not over comes again, to the publisher of the next connection.
      over.abort();
    }
  } finally {
    await sql.end();
  }
}

async function standingOf(
  sql: Database,
  { slot, accept_loss, say }: BridgeOptions,
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
    if (!accept_loss) throw new CommandError(text, EXIT.failure, "--accept-loss goes on from now");
    say(text);
  }
  if (!is_there) await makeSlot(sql, slot, own !== undefined);
  else if (row === undefined) await noteSlot(sql, slot, own.lsn);
  const { rows: [now] } = await sql.query(
    `select b.lsn::text, extract(epoch from clock_timestamp()) * 1000 as now_ms
     from arqon.bridge b where slot = $1`,
    [slot],
  );
  const at_ms = is_there && row !== undefined ? Number(row.at_ms) : undefined;
  return { lsn: parseLsn(now.lsn), at_ms, now_ms: Number(now.now_ms) };
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
 * Not the time of the note: while one room waits, what others have published may be much older than that, and whoever
 * goes on after a kill must look back so far.
 */
async function save(sql: Database, slot: string, progress: Progress): Promise<void> {
  const { done_lsn, done_ms } = progress;
  await sql.query(
    "update arqon.bridge set lsn = $2, at = to_timestamp($3::float8 / 1000) where slot = $1 and lsn < $2",
    [slot, lsnText(done_lsn), done_ms],
  );
}

async function noteRefused(
  sql: Database,
  { room, type, data, message_id, place }: Committed,
  reason: string,
  say: BridgeOptions["say"],
): Promise<void> {
  say(`${room}: refused for good: ${reason}; it is in arqon.refused`);
  await sql.query(
    `insert into arqon.refused (lsn, number, room, type, data, message_id, reason)
     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
    [place.lsn, place.number, room, type, data, message_id, reason],
  );
}

interface StreamRun {
  readonly database: string;
  readonly slot: string;
  readonly sql: Database;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly onFollowing: () => void;
}

/** One connection to the stream of a slot, until it ends. */
class Stream {
  readonly progress: Progress;
  readonly #say: BridgeOptions["say"];
  readonly #standing: Standing;
  readonly #publisher: Publisher;
  readonly #under_way = new Set<Promise<void>>();
  #now:
    | { readonly lsn: Lsn; readonly xid: number; readonly commit_ms: number; number: number }
    | undefined;
  #is_paused = false;
  /** How far the database knows that everything is over. */
  #noted: Lsn;

  constructor(standing: Standing, publisher: Publisher, say: BridgeOptions["say"]) {
    this.#say = say;
    this.#standing = standing;
    this.#publisher = publisher;
    this.progress = new Progress(standing.lsn);
    this.#noted = standing.lsn;
  }

  /** Resolves when everything that was begun is over. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#under_way);
  }

  async run({ database, slot, sql, signal, now, onFollowing }: StreamRun): Promise<void> {
    const client = databaseAt(database, true);
    await client.connect();
    const wire = client.connection;
    const broken = Promise.withResolvers<never>();
    wire.once("replicationStart", onFollowing);
    wire.on("copyData", ({ chunk }) => {
      try {
        this.#take(chunk, wire, now);
      } catch (error) {
        broken.reject(error);
      }
    });
    let told_ms = now();
    const tick = async () => {
      const { done_lsn } = this.progress;
      if (done_lsn === this.#noted && now() - told_ms < STATUS_MS) return;
      if (done_lsn > this.#noted) await save(sql, slot, this.progress);
      this.#noted = done_lsn;
      told_ms = now();
      this.#tell(wire, now());
    };
    let ticking = Promise.resolve();
    const timer = setInterval(() => {
      ticking = ticking.then(tick).catch((error) => broken.reject(error));
    }, SAVE_MS);
    const onAbort = () => void client.end();
    signal.addEventListener("abort", onAbort);
    try {
      const start = `START_REPLICATION SLOT "${slot}" LOGICAL ${lsnText(this.#standing.lsn)} ` +
        "(proto_version '1', publication_names 'arqon', messages 'true')";
      await Promise.race([client.query(start), broken.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearInterval(timer);
      await ticking;
      await client.end();
    }
  }

  #take(chunk: Uint8Array, wire: Wire, now: () => number): void {
    const message = readWal(chunk);
    switch (message.kind) {
      case "begin":
        this.progress.begin(message.commit_ms);
        this.#now = { ...message, number: 0 };
        return;
      case "commit":
        this.#now = undefined;
        return this.progress.commit(message.end_lsn);
      case "message":
        if (message.prefix === "arqon") this.#publish(message.content, wire);
        return;
      case "alive":
        this.progress.alive(message.lsn);
        if (message.wants_reply) this.#tell(wire, now());
        return;
      case "other":
        return;
      default:
        return message satisfies never;
    }
  }

  #tell(wire: Wire, now_ms: number): void {
    wire.sendCopyFromChunk(Buffer.from(statusUpdate(this.progress.flushed(this.#noted), now_ms)));
  }

  #publish(content: Uint8Array, wire: Wire): void {
    const at = this.#now;
    // What is below was dealt with; after a crash the server has forgotten that.
    if (at === undefined || at.lsn < this.#standing.lsn) return;
    const committed = committedOf(content, { ...at, number: at.number++ });
    if (committed === undefined) {
      return this.#say(
        `${lsnText(at.lsn)}: this is nothing that arqon.publish writes; passed over`,
      );
    }
    const over = this.progress.message();
    const is_early = at.commit_ms <= this.#standing.now_ms;
    const own = this.#publisher.publish(committed, is_early).then(over, () => {}).finally(() => {
      this.#under_way.delete(own);
      if (this.#is_paused && this.#under_way.size < OPEN_MAX / 2) {
        this.#is_paused = false;
        wire.stream.resume();
      }
    });
    this.#under_way.add(own);
    if (this.#is_paused || this.#under_way.size < OPEN_MAX) return;
    this.#is_paused = true;
    wire.stream.pause();
  }
}
