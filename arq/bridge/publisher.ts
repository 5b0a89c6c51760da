/**
 * Publishes what was committed: rooms beside each other, each in its order, until the bus has taken it or refuses it
 * for good. After a start, what a bridge before may have published is looked for in the rooms. Knows no database.
 */
import { ArqonError } from "@arqon/sdk";
import { pause } from "../rooms/flow.ts";
import type { BridgeBus, Committed } from "./bus.ts";

/** What became of a message: `repeated`, a bridge before had published it. */
export type Outcome = "published" | "repeated" | "refused";

/** What publishing needs. */
export interface PublisherOptions {
  readonly bus: BridgeBus;
  /** Rooms may have messages since then that a bridge before has published, Unix ms; undefined: there was none. */
  readonly since_ms: number | undefined;
  /** The bus refuses it for good. Rejects when that could not be noted; then it is tried again. */
  readonly onRefused: (message: Committed, reason: string) => Promise<void>;
  readonly onProblem: (text: string) => void;
  /** What became of a message that is over. */
  readonly onOver: (message: Committed, outcome: Outcome) => void;
  readonly signal: AbortSignal;
}

const RETRY_MS = 250;
const RETRY_MAX_MS = 5_000;
/** Clocks of the bus and of the database may be so far apart, in ms. */
const SKEW_MS = 60_000;
/** Messages of a room that are looked at after a start, at most. */
const LOOKED_AT_MAX = 100_000;

/** The publisher of one bridge. */
export class Publisher {
  readonly #options: PublisherOptions;
  /** The last message of each room that is under way. */
  readonly #rooms = new Map<string, Promise<void>>();
  /** The ids that each room has had since the bridge before noted how far it was. */
  readonly #known = new Map<string, Promise<ReadonlySet<string>>>();

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
    const { bus, signal, onRefused, onProblem } = this.#options;
    const { room, message_id } = message;
    for (let wait_ms = RETRY_MS;; wait_ms = Math.min(RETRY_MAX_MS, 2 * wait_ms)) {
      try {
        if (is_early && (await this.#knownIn(room)).has(message_id)) return "repeated";
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

  #knownIn(room: string): Promise<ReadonlySet<string>> {
    const known = this.#known.get(room) ?? this.#read(room);
    this.#known.set(room, known);
    // What could not be read is read by the next try.
    known.catch(() => this.#known.delete(room));
    return known;
  }

  #read(room_id: string): Promise<ReadonlySet<string>> {
    const { bus, since_ms } = this.#options;
    if (since_ms === undefined) return Promise.resolve(new Set<string>());
    return bus.idsSince(room_id, since_ms - SKEW_MS, LOOKED_AT_MAX);
  }
}

/** Whether the same may be taken in a moment. */
function isPassing({ code, reason }: ArqonError): boolean {
  return code === 401 || code === 408 || code === 429 || code >= 500 ||
    ["connection-lost", "closed", "not-connected"].includes(reason);
}
