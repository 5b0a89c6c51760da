/**
 * Takes the messages of a document's room in the order of the log and gives whole updates. Knows up to
 * which message a snapshot of what was given may say that it holds everything. Pure.
 */
import type { Message } from "@arqon/sdk";
import { join, type LogPlace, partOf, placeOf, UPDATE } from "./records.ts";

/**
 * The parts of an update come within this, by the time that Shields stamp on them, or never make one.
 * The sender gives up much sooner, so all readers decide the same.
 */
const SET_MS = 300_000;

interface OpenSet {
  /** The message before the first part. */
  readonly before: LogPlace | undefined;
  readonly begun_ms: number;
  readonly pieces: Map<number, Uint8Array>;
}

/** The updates of one log, from a place on. */
export class Assembler {
  #last: LogPlace | undefined;
  readonly #open = new Map<string, OpenSet>();

  /** `last` is the message before the first that will be taken; undefined at the log's beginning. */
  constructor(last?: LogPlace) {
    this.#last = last;
  }

  /** The last message that was taken. */
  get last(): LogPlace | undefined {
    return this.#last;
  }

  /**
   * The last message up to which everything was given: the one before the first part of an update of
   * which parts are still missing, else the last. Who begins behind it misses nothing.
   */
  get floor(): LogPlace | undefined {
    const [first] = this.#open.values();
    return first === undefined ? this.#last : first.before;
  }

  /** Takes the next message. Gives the update that is whole with it; undefined when none is. */
  take(message: Message): Uint8Array | undefined {
    const before = this.#last;
    const { timestamp_ms } = message;
    this.#last = placeOf(message);
    for (const [set, { begun_ms }] of this.#open) {
      // Clocks of Shields differ: what could still be whole holds the floor for twice as long.
      if (timestamp_ms - begun_ms > 2 * SET_MS) this.#open.delete(set);
    }
    if (message.type !== UPDATE) return undefined;
    const part = partOf(message);
    if (part === undefined) return message.data;
    let open = this.#open.get(part.set);
    if (open === undefined) {
      open = { before, begun_ms: timestamp_ms, pieces: new Map() };
      this.#open.set(part.set, open);
    }
    if (timestamp_ms - open.begun_ms > SET_MS) return undefined;
    open.pieces.set(part.index, message.data);
    if (open.pieces.size < part.count) return undefined;
    this.#open.delete(part.set);
    const { pieces } = open;
    return join(Array.from({ length: part.count }, (_, at) => pieces.get(at) ?? new Uint8Array()));
  }
}
