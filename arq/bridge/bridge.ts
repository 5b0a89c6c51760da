/**
 * Follows the log of a PostgreSQL database and publishes what `arqon.publish` has put there. One of several bridges
 * with a slot is active, the others wait. Its position is in the database, so a kill of anything loses nothing.
 */
import { pause } from "../rooms/flow.ts";
import { CommandError } from "../terminal/exit.ts";
import type { BridgeBus, Committed } from "./bus.ts";
import {
  checkHeld,
  databaseAt,
  IN_USE,
  isKeyKept,
  keptWal,
  noteRefused,
  save,
  standingOf,
} from "./database.ts";
import type { Database, KeptWal, StandingOptions } from "./database.ts";
import { Intake } from "./intake.ts";
import { poll, stream } from "./following.ts";
import { type Outcome, Publisher } from "./publisher.ts";

/** What a bridge needs. */
export interface BridgeOptions extends StandingOptions {
  /** `postgres://user:password@host:port/database`, asked for each connection. May throw. */
  readonly database: () => string;
  readonly bus: BridgeBus;
  readonly reading: Reading;
  /** Messages that wait for the bus, above which the database is not read; it goes on below half of that. */
  readonly waiting_messages: number;
  readonly watch: BridgeWatch;
  readonly signal: AbortSignal;
  /** Unix ms. */
  readonly now: () => number;
}

/** How a bridge reads the log: as it comes, or by plain SQL every so often. */
export type Reading =
  | { readonly mode: "replication" }
  | { readonly mode: "polling"; readonly poll_ms: number };

/** Receives what a bridge does, for metrics. */
export interface BridgeWatch {
  /** Following, or waiting for another one, or without the database. */
  readonly state: (is_following: boolean) => void;
  readonly over: (message: Committed, outcome: Outcome) => void;
  readonly waiting: (messages: number) => void;
  readonly kept: (wal: KeptWal) => void;
}

const STANDBY_MS = 1_000;
const AGAIN_MS = 1_000;
/** How often is asked what the database keeps. */
const KEPT_MS = 5_000;
/** What is said of it, at first; then each time that it has doubled. */
const KEPT_SAID_BYTES = 1_073_741_824;
/** How long the end waits for what is under way, in ms. */
const CLOSE_MS = 5_000;

const SYNCHRONOUS = "select set_config('synchronous_commit', 'local', false) " +
  "where current_setting('synchronous_commit') = 'off'";

/** Runs until the signal. Rejects with a CommandError for what does not pass on its own. */
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
      if (!is_standby) say(`the database: ${error instanceof Error ? error.message : error}`);
      else if (!is_waiting) say("another bridge is active; waiting");
      is_waiting = is_standby;
      await pause(is_standby ? STANDBY_MS : AGAIN_MS, signal);
    } finally {
      options.watch.state(false);
    }
  }
}

/** Says it, too, when the database keeps much. */
function sayingKept({ watch, slot, say }: BridgeOptions): BridgeWatch["kept"] {
  let said_bytes = KEPT_SAID_BYTES / 2;
  return (wal) => {
    watch.kept(wal);
    const { kept_bytes } = wal;
    if (kept_bytes < KEPT_SAID_BYTES) said_bytes = KEPT_SAID_BYTES / 2;
    if (kept_bytes < 2 * said_bytes) return;
    said_bytes = kept_bytes;
    say(`the database keeps ${kept_bytes} bytes of its log for the slot ${slot}`);
  };
}

async function follow(options: BridgeOptions, onFollowing: () => void): Promise<void> {
  const { database, slot, bus, say, signal, watch, reading } = options;
  const url = database();
  const sql = databaseAt(url);
  await sql.connect();
  try {
    // A note that a crash takes back would be behind the slot.
    await sql.query(SYNCHRONOUS);
    // Of bridges that start together one makes the slot, and the others find it noted.
    await sql.query("select pg_advisory_lock(hashtext('arqon.bridge ' || $1))", [slot]);
    const standing = await standingOf(sql, options);
    await sql.query("select pg_advisory_unlock(hashtext('arqon.bridge ' || $1))", [slot]);
    const lost = Promise.withResolvers<never>();
    // Who follows is notified, and nobody may be following yet.
    lost.promise.catch(() => {});
    using _asking = asking(sql, options, lost.reject);
    const over = new AbortController();
    const publisher = new Publisher({
      ...{ bus, origin: standing, now: options.now, onProblem: say, onOver: watch.over },
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
    let told = () => {};
    const intake = new Intake({
      ...{ standing, publisher },
      onWaiting(messages) {
        watch.waiting(messages);
        told();
      },
    });
    const note = () => save(sql, slot, standing.source, intake.progress);
    const following = {
      ...{ ...options, url, standing, intake, note, onFollowing, lost: lost.promise },
      check: () => checkHeld(sql, slot),
      onOver: (listener: () => void) => void (told = listener),
    };
    try {
      if (reading.mode === "polling") await poll(following, reading.poll_ms);
      else await stream(following);
    } finally {
      await Promise.race([
        intake.settled(),
        new Promise((resolve) => setTimeout(resolve, CLOSE_MS)),
      ]);
      // What is not noted comes again; why the bridge ends is reported on its own.
      await note().catch(() => {});
      // What is not over comes again, to the publisher of the next connection.
      over.abort();
    }
  } finally {
    await sql.end();
  }
}

/** Asks from now on what the database keeps; `onLost` learns when it does not answer. */
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
