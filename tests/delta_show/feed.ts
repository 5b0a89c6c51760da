/**
 * What the show of deltas publishes: messages of some rooms and keys, of which each is much like the one before
 * of its key, now and then altogether another. All of it follows from a seed. Knows no bus.
 */

const KEYS = 5;
const LINES = 12;
/** After so many of a key nothing stays as it was. */
const RENEWED = 60;
/** Messages that are remembered; nobody is so far behind. */
const REMEMBERED = 20_000;

/** The rooms in which everybody has everything, or is closed. */
export const SHOW_ROOMS: readonly string[] = Array.from({ length: 4 }, (_, n) => `show-${n}`);
/** A room of the class that keeps the newest of each key for who reads slowly. */
export const LATEST_ROOM = "latest-0";
/** A room of the class that leaves out the oldest. */
export const OLDEST_ROOM = "oldest-0";
const ROOMS = [...SHOW_ROOMS, LATEST_ROOM, OLDEST_ROOM];

/** One message. */
export interface Shown {
  readonly n: number;
  readonly room: string;
  readonly key: string;
  readonly part: string;
  readonly data: Uint8Array;
}

function mix(...numbers: readonly number[]): number {
  let hash = 0x9e3779b1;
  for (const number of numbers) {
    hash = Math.imul(hash ^ number, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

/** The messages in their order, and those that were made last. */
export class Feed {
  readonly seed: number;
  readonly #made = new Map<number, Shown>();
  #next = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** The next message. */
  next(): Shown {
    const n = this.#next++;
    const room = mix(this.seed, n) % ROOMS.length;
    const key = mix(this.seed, n, 1) % KEYS;
    const shown = {
      ...{ n, room: ROOMS[room]!, key: `k${key}`, part: String(mix(n) % 3) },
      data: this.#data(room, key, n),
    };
    this.#made.set(n, shown);
    this.#made.delete(n - REMEMBERED);
    return shown;
  }

  /** A message that was made lately; undefined: there is none with this number. */
  made(n: number): Shown | undefined {
    return this.#made.get(n);
  }

  #data(room: number, key: number, n: number): Uint8Array {
    // Messages of a key come about so far apart: then one or two of the lines are other ones.
    const version = Math.floor(n / (ROOMS.length * KEYS));
    const era = Math.floor(version / RENEWED);
    const lines = Array.from({ length: LINES }, (_, line) => {
      const changed = version - (version + LINES - line) % LINES;
      return `${line} é ${mix(this.seed, room, key, era, line, changed).toString(36)} stays`;
    });
    return new TextEncoder().encode(JSON.stringify({ n, lines }));
  }
}
