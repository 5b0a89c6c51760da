/**
 * Publishes committed messages: rooms concurrently, each in order, until the bus has accepted each message or refuses
 * it for good. After a start, messages that a former bridge may have published are searched in the rooms. Knows no
 * database.
 */
import type { BridgeBus, Committed, StoredMessage } from "./bus.ts";
import { type Lsn, parseLsn } from "./wal.ts";
import { ArqonError } from "@arqon/sdk";
import { pause } from "../rooms/flow.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** Which messages of a room are believed to be of this database. */
export interface Origin {
  /** The database and its timeline: positions of another one mean nothing here. */
  readonly source: string;
  /** Where its log ended when that was asked: whatever says that it is from beyond is of another history. */
  readonly end_lsn: Lsn;
}

/** What a room has had. */
export interface Before {
  /** The newest message of this database. */
  readonly newest: Position | undefined;
  /** The ids of the bridge's user above it that say no position of this database. */
  readonly ids: ReadonlySet<string>;
  /** Whether it was looked at as far as was asked. */
  readonly is_whole: boolean;
}

interface Position {
  readonly lsn: Lsn;
  /** Among the messages of its transaction. */
  readonly number: number;
  /** By the clock of the database, Unix ms. */
  readonly commit_ms: number;
}

/**
 * Commits that are in their order in the log may have times in another order by so much, in ms. A database that was
 * set back to a copy of its disk has the same positions again, but later.
 */
const DISORDER_MS = 10_000;
const IDS_MAX = 100_000;

/** Looks at a room, back to `oldest_ms` (Unix ms) at most. Rejects as the bus does. */
async function publishedBefore(
  bus: Pick<BridgeBus, "sender" | "storedBack">,
  room_id: string,
  origin: Origin,
  oldest_ms: number,
): Promise<Before> {
  const ids = new Set<string>();
  const { sender } = bus;
  for await (const page of bus.storedBack(room_id)) {
    for (const message of page.messages) {
      // Anybody can write such headers; nobody else has the sender.
      if (message.sender !== sender) continue;
      const newest = positionOf(message, origin);
      if (newest !== undefined) return { newest, ids, is_whole: true };
      if (ids.size >= IDS_MAX) return { newest, ids, is_whole: false };
      ids.add(message.message_id);
    }
    if (page.oldest_ms < oldest_ms) break;
  }
  return { newest: undefined, ids, is_whole: true };
}

/** Whether the room has had it. */
function hasHad({ newest, ids }: Before, message: Committed): boolean {
  if (ids.has(message.message_id)) return true;
  if (newest === undefined || message.commit_ms > newest.commit_ms + DISORDER_MS) return false;
  const lsn = parseLsn(message.place.lsn);
  return lsn < newest.lsn || (lsn === newest.lsn && message.place.number <= newest.number);
}

/** Undefined: it says none of this database. */
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

/** The outcome of a message: `repeated`, a bridge before had published it. */
export type Outcome = "published" | "repeated" | "refused";

/** What publishing needs. */
export interface PublisherOptions {
  readonly bus: BridgeBus;
  readonly origin: Origin;
  /** The bus refuses it for good. Rejects when that could not be noted; then it is tried again. */
  readonly onRefused: (message: Committed, reason: string) => Promise<void>;
  readonly onProblem: (text: string) => void;
  /** The outcome of a message that is over. */
  readonly onOver: (message: Committed, outcome: Outcome) => void;
  readonly signal: AbortSignal;
  /** Unix ms. */
  readonly now: () => number;
}

const RETRY_MS = 250;
const RETRY_MAX_MS = 5_000;
/** Clocks of the bus and of the database may be so far apart, in ms. */
const SKEW_MS = 60_000;
/**
 * After so long the room is asked whether it has what was tried, in ms: it may have been stored though nobody heard of
 * that, and the bus knows repetitions for two minutes.
 */
const DOUBT_MS = 30_000;

/** The publisher of one bridge. */
export class Publisher {
  readonly #options: PublisherOptions;
  /** The last message of each room that is under way. */
  readonly #rooms = new Map<string, Promise<void>>();
  /** What each room had at the start, where it may have had more than was noted. */
  readonly #before = new Map<string, Promise<Before>>();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Resolves when it is over; rejects only when everything ends. `is_early`: a bridge before may have had it. */
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
    const { bus, signal, now, onRefused, onProblem } = this.#options;
    const { room, refusal } = message;
    step(AT.bridge);
    // Nothing older is to come.
    if (!is_early) this.#before.delete(room);
    let tried_ms = Infinity;
    for (let wait_ms = RETRY_MS;; wait_ms = Math.min(RETRY_MAX_MS, 2 * wait_ms)) {
      try {
        if (refusal !== undefined) {
          await onRefused(message, refusal);
          return "refused";
        }
        if (is_early && hasHad(await this.#beforeIn(message), message)) return "repeated";
        if (now() - tried_ms > DOUBT_MS && await this.#has(message)) return "published";
        tried_ms = Math.min(tried_ms, now());
        await bus.publish(message);
        return "published";
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ArqonError && !isPassing(error)) {
          const is_noted = await onRefused(message, error.message).then(() => true, () => false);
          if (is_noted) return "refused";
        }
        onProblem(`${room}: ${error instanceof Error ? error.message : error}; it is tried again`);
      }
      await pause(wait_ms, signal);
      signal.throwIfAborted();
    }
  }

  /** The first that asks is the oldest: its room has nothing of what is to come from before its commit. */
  #beforeIn({ room, commit_ms }: Committed): Promise<Before> {
    const { bus, origin, onProblem } = this.#options;
    const known = this.#before.get(room);
    if (known !== undefined) return known;
    const looking = publishedBefore(bus, room, origin, commit_ms - SKEW_MS);
    this.#before.set(room, looking);
    looking.then(({ is_whole }) => {
      if (!is_whole) onProblem(`${room}: too much was published with this bridge's user`);
      // What could not be read is read by the next try.
    }, () => this.#before.delete(room));
    return looking;
  }

  /** Whether the room has this one by now. */
  async #has(message: Committed): Promise<boolean> {
    const { bus, origin: { source } } = this.#options;
    const { room, commit_ms, place } = message;
    const origin = { source, end_lsn: parseLsn(place.lsn) };
    return hasHad(await publishedBefore(bus, room, origin, commit_ms - SKEW_MS), message);
  }
}

/** Whether the same may be taken in a moment. */
function isPassing({ code, reason }: ArqonError): boolean {
  return code === 401 || code === 408 || code === 429 || code >= 500 ||
    ["connection-lost", "closed", "not-connected"].includes(reason);
}
