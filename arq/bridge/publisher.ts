/**
 * Publishes committed messages: rooms concurrently, each in order, until the bus has accepted each message or refuses
 * it permanently. After a start, the rooms are searched for messages that an earlier bridge may have published. Knows
 * no database.
 */
import type { BridgeBus, Committed, StoredMessage } from "./bus.ts";
import { type Lsn, parseLsn } from "./wal.ts";
import { ruleOf } from "@arqon/proto";
import { ArqonError } from "@arqon/sdk";
import { sleep } from "../terminal/io.ts";
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import { isForNow } from "../../shared/for_now.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** Decides which messages of a room count as coming from this database. */
export interface Origin {
  /** The database and its timeline: positions of another timeline do not count. */
  readonly source: string;
  /**
   * End of the database's log when it was requested; a message with a position beyond it belongs to another history.
   */
  readonly end_lsn: Lsn;
}

/** The messages of this database that a room already has. */
export interface Before {
  /** The newest message of this database; undefined: none, or each is in `keys`. */
  readonly newest: Position | undefined;
  /**
   * The bridge's messages above `newest`: the message id of one without a position of this database, else its position
   * and commit time.
   */
  readonly keys: ReadonlySet<string>;
  /** Whether the room was read back as far as requested. */
  readonly is_whole: boolean;
}

interface Position {
  readonly lsn: Lsn;
  /** Index among the messages of its transaction. */
  readonly number: number;
  /** By the clock of the database, Unix ms. */
  readonly commit_ms: number;
}

/**
 * Commits that follow each other in the log may have times in another order by this much, in ms. A database that was
 * reset to a copy of its disk has the same positions again, but later.
 */
const DISORDER_MS = 10_000;
const KEYS_MAX = 100_000;

const keyOf = ({ lsn, number, commit_ms }: Position) => `${lsn} ${number} ${commit_ms}`;

/**
 * Reads a room, back to the newest message of this database, or to `oldest_ms` (Unix ms by the bus's clock) if
 * `reads_all` or if there is none. Rejects as the bus does.
 */
async function publishedBefore(
  bus: Pick<BridgeBus, "sender" | "storedBack">,
  room_id: string,
  origin: Origin,
  oldest_ms: number,
  reads_all = false,
): Promise<Before> {
  const keys = new Set<string>();
  const { sender } = bus;
  for await (const page of bus.storedBack(room_id)) {
    for (const message of page.messages) {
      // Anybody can set such headers; nobody else can be the sender.
      if (message.sender !== sender) continue;
      const at = positionOf(message, origin);
      if (at !== undefined && !reads_all) return { newest: at, keys, is_whole: true };
      if (keys.size >= KEYS_MAX) return { newest: undefined, keys, is_whole: false };
      keys.add(at === undefined ? message.message_id : keyOf(at));
    }
    if (page.oldest_ms < oldest_ms) break;
  }
  return { newest: undefined, keys, is_whole: true };
}

/** Whether the room already has the message; undefined: only the whole room shows it. */
function hasHad({ newest, keys }: Before, message: Committed): boolean | undefined {
  const { commit_ms, place: { number } } = message;
  const lsn = parseLsn(message.place.lsn);
  if (keys.has(message.message_id) || keys.has(keyOf({ lsn, number, commit_ms }))) return true;
  if (newest === undefined) return false;
  const is_above = lsn > newest.lsn || (lsn === newest.lsn && number > newest.number);
  if (is_above) return false;
  // A clock that was set back in between, or the same position in another history.
  return commit_ms > newest.commit_ms + DISORDER_MS ? undefined : true;
}

/** The position that a message carries; undefined when it is not of this database. */
function positionOf({ headers }: StoredMessage, origin: Origin): Position | undefined {
  if (headers["pg-source"] !== origin.source) return undefined;
  const number = Number(headers["pg-number"]);
  const commit_ms = Number(headers["pg-commit-ms"]);
  if (!Number.isInteger(number) || !Number.isFinite(commit_ms)) return undefined;
  try {
    const lsn = parseLsn(headers["pg-lsn"] ?? "");
    return lsn <= origin.end_lsn ? { lsn, number, commit_ms } : undefined;
  } catch {
    return undefined;
  }
}

/** The outcome of a message. `repeated`: an earlier bridge had published it. */
export type Outcome = "published" | "repeated" | "refused";

interface PublisherOptions {
  readonly bus: BridgeBus;
  readonly origin: Origin;
  /** The bus refuses the message permanently. Rejects when this could not be recorded; it is retried then. */
  readonly onRefused: (message: Committed, reason: string) => Promise<void>;
  readonly onProblem: (text: string) => void;
  readonly onOver: (message: Committed, outcome: Outcome) => void;
  readonly signal: AbortSignal;
  readonly monotonic_ms: () => number;
}

const RETRY_MS = 250;
const RETRY_MAX_MS = 5_000;
/**
 * After this time, in ms, the room is checked for the message: it may have been stored without an acknowledgement, and
 * the bus recognizes repetitions only for two minutes.
 */
const DOUBT_MS = 30_000;

/** The publisher of one bridge. */
export class Publisher {
  readonly #options: PublisherOptions;
  /** The last pending message of each room. */
  readonly #rooms = new Map<string, Promise<void>>();
  /** What each room had at the start, while it may have had more than was recorded. */
  readonly #before = new Map<string, Promise<Before>>();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the message is settled; rejects only when the bridge ends. `is_early`: an earlier bridge may have
   * published it.
   */
  publish(message: Committed, is_early: boolean): Promise<void> {
    const before = this.#rooms.get(message.room) ?? Promise.resolve();
    const own = before.then(async () => {
      this.#options.onOver(message, await this.#publish(message, is_early));
    });
    this.#rooms.set(message.room, own);
    return own.finally(() => {
      if (this.#rooms.get(message.room) === own) this.#rooms.delete(message.room);
    });
  }

  async #publish(message: Committed, is_early: boolean): Promise<Outcome> {
    const { bus, signal, monotonic_ms, onRefused, onProblem } = this.#options;
    const { room, refusal } = message;
    step(AT.bridge);
    // No older message will come.
    if (!is_early) this.#before.delete(room);
    let tried_ms = Infinity;
    for (let wait_ms = RETRY_MS;; wait_ms = Math.min(RETRY_MAX_MS, 2 * wait_ms)) {
      try {
        if (refusal !== undefined) {
          await onRefused(message, refusal);
          return "refused";
        }
        if (is_early && await this.#wasThere(message)) return "repeated";
        if (monotonic_ms() - tried_ms > DOUBT_MS && await this.#has(message)) return "published";
        tried_ms = Math.min(tried_ms, monotonic_ms());
        await bus.publish(message);
        return "published";
      } catch (error) {
        signal.throwIfAborted();
        let problem = error;
        if (error instanceof ArqonError && !isPassing(error)) {
          try {
            await onRefused(message, error.message);
            return "refused";
          } catch (unnoted) {
            problem = unnoted;
          }
        }
        onProblem(`${room}: ${problem instanceof Error ? problem.message : problem}; retrying`);
      }
      await sleep(wait_ms, signal);
    }
  }

  /** Whether the room had the message at the start. */
  async #wasThere(message: Committed): Promise<boolean> {
    const before = this.#before.get(message.room) ?? this.#lookBack(message, false);
    return hasHad(await before, message) ??
      hasHad(await this.#lookBack(message, true), message) ?? false;
  }

  /** The first caller has the oldest message: no later one was published before that commit. */
  #lookBack({ room, commit_ms }: Committed, reads_all: boolean): Promise<Before> {
    const { bus, origin, onProblem } = this.#options;
    const oldest_ms = commit_ms - CLOCKS_DIFFER_MS;
    const looking = publishedBefore(bus, room, origin, oldest_ms, reads_all);
    this.#before.set(room, looking);
    looking.then(({ is_whole }) => {
      if (!is_whole) onProblem(`${room}: too much was published with this bridge's user`);
      // After a failure the next attempt reads again.
    }, () => this.#before.delete(room));
    return looking;
  }

  /** Whether the room has the message by now. */
  async #has(message: Committed): Promise<boolean> {
    const { bus, origin: { source } } = this.#options;
    const { room, commit_ms, place } = message;
    const origin = { source, end_lsn: parseLsn(place.lsn) };
    const before = await publishedBefore(bus, room, origin, commit_ms - CLOCKS_DIFFER_MS);
    return hasHad(before, message) ?? false;
  }
}

/** Whether a retry may succeed. */
function isPassing(error: ArqonError): boolean {
  return isForNow(error) || ruleOf(error.reason).code === 401;
}
