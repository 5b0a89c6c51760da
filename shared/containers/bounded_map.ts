/**
 * A bounded map that drops its oldest entry for a new one, at constant cost. Not for entries that expire by age only;
 * for caches with an approximate bound use `recent_map.ts`.
 */

/**
 * A map of at most `size_max` entries, in order: the oldest is the one that was set, renewed or used least recently.
 * With a `size_max` of Infinity the caller enforces the bound with `dropOldest`.
 */
export class BoundedMap<Key, Value extends NonNullable<unknown>> {
  readonly #size_max: number;
  /** A Map keeps insertion order, so the oldest comes first. */
  readonly #entries = new Map<Key, Value>();
  /**
   * An iterator before the oldest entry: all entries that it has passed were dropped. A new iterator would have to skip
   * all holes of deleted entries, which takes 20 µs with 65,536 entries.
   */
  #front: MapIterator<Key> | undefined;
  /** Entries that were deleted or moved since `#front` was used. */
  #passed = 0;

  constructor(size_max: number) {
    this.#size_max = size_max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value; the order is unchanged. */
  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** The value; its entry becomes the newest. */
  use(key: Key): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** Sets a value; an existing entry keeps its position. Returns the value that was dropped for a new entry. */
  set(key: Key, value: Value): Value | undefined {
    this.#entries.set(key, value);
    return this.#entries.size > this.#size_max ? this.dropOldest() : undefined;
  }

  /** Sets a value; its entry becomes the newest. Returns the value that was dropped for a new entry. */
  renew(key: Key, value: Value): Value | undefined {
    this.delete(key);
    return this.set(key, value);
  }

  delete(key: Key): boolean {
    if (!this.#entries.delete(key)) return false;
    // An unused iterator would retain every table that the map has had since.
    if (this.#front !== undefined && ++this.#passed > this.#entries.size) this.#front = undefined;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#front = undefined;
  }

  /** Drops the oldest entry and returns its value; undefined when there is none. */
  dropOldest(): Value | undefined {
    if (this.#entries.size === 0) return undefined;
    this.#front ??= this.#entries.keys();
    this.#passed = 0;
    const { value: oldest, done } = this.#front.next();
    if (done) return undefined;
    const dropped = this.#entries.get(oldest);
    this.#entries.delete(oldest);
    return dropped;
  }

  /** The keys, the oldest first; entries may be deleted meanwhile. */
  keys(): MapIterator<Key> {
    return this.#entries.keys();
  }

  /** The values, the oldest first. */
  values(): MapIterator<Value> {
    return this.#entries.values();
  }

  /** The entries, the oldest first; they may be deleted meanwhile. */
  [Symbol.iterator](): MapIterator<[Key, Value]> {
    return this.#entries[Symbol.iterator]();
  }
}
