/**
 * Finds the pattern subscriptions of a room: a prefix of ids followed by `*`. Pure; it knows only the requested room.
 * `pattern_rooms.ts` uses the matches.
 */
import { reservedRoom } from "../../shared/rooms/reserved.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";

/** The least number of rooms with a cached answer. */
const ROOMS_MAX = 8_192;
const ID_MAX = 64;

/** Whether a room can only be subscribed to by name. */
export const isOnlyNamed = (room_id: string): boolean => reservedRoom(room_id) !== undefined;

interface Patterned {
  readonly pattern: string;
}

/**
 * The patterns of one tenant. A recently requested room costs one map lookup for any number of patterns; any other room
 * at most one for each length of a pattern.
 */
export class PatternIndex<T extends Patterned> {
  readonly #prefixes = new Map<string, Set<T>>();
  /** The number of prefixes of each length. */
  readonly #lengths = new Uint32Array(ID_MAX + 1);
  readonly #known = new RecentMap<string, readonly ReadonlySet<T>[]>(ROOMS_MAX);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds one, whose pattern ends in `*`; adding it twice is harmless. */
  add(one: T): void {
    const prefix = one.pattern.slice(0, -1);
    let members = this.#prefixes.get(prefix);
    if (members === undefined) {
      this.#prefixes.set(prefix, members = new Set());
      this.#lengths[prefix.length]!++;
      this.#known.clear();
    }
    if (members.has(one)) return;
    members.add(one);
    this.#size++;
  }

  delete(one: T): void {
    const prefix = one.pattern.slice(0, -1);
    const members = this.#prefixes.get(prefix);
    if (members === undefined || !members.delete(one)) return;
    this.#size--;
    if (members.size > 0) return;
    this.#prefixes.delete(prefix);
    this.#lengths[prefix.length]!--;
    this.#known.clear();
  }

  /** The patterns that match the room, longest first; valid until one is added or deleted. */
  matching(room_id: string): readonly ReadonlySet<T>[] {
    const known = this.#known.get(room_id);
    if (known !== undefined) return known;
    if (isOnlyNamed(room_id)) return [];
    const found: Set<T>[] = [];
    for (let length = Math.min(room_id.length, ID_MAX); length >= 0; length--) {
      if (this.#lengths[length] === 0) continue;
      const members = this.#prefixes.get(room_id.slice(0, length));
      if (members !== undefined) found.push(members);
    }
    this.#known.set(room_id, found);
    return found;
  }

  /** All of them, unordered. */
  *all(): Iterable<T> {
    for (const members of this.#prefixes.values()) yield* members;
  }
}
