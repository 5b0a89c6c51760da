/**
 * Publishes what was committed: rooms beside each other, each in its order, until the bus has taken it or refuses it
 * for good. After a start, what a bridge before may have published is looked for in the rooms. Knows no database.
 */
import { ArqonError } from "@arqon/sdk";
import { pause } from "../rooms/flow.ts";
import { hasHad, publishedBefore } from "./before.ts";
import type { Before, Origin } from "./before.ts";
import type { BridgeBus, Committed } from "./bus.ts";
import { parseLsn } from "./wal.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

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
