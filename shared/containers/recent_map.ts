/**
 * A cache of recently set or found entries, within a bound, without clean-up pauses. For values that can be computed
 * again.
 */

/** A map of at least the last `size_max` keys that were set or found, at most twice as many. */
export class RecentMap<Key, Value extends NonNullable<unknown>> {
  readonly #size_max: number;
  #recent = new Map<Key, Value>();
  /** The previous generation, from before `#recent` was full; dropped as a whole when it is full again. */
  #older = new Map<Key, Value>();

  constructor(size_max: number) {
    this.#size_max = size_max;
  }

  get(key: Key): Value | undefined {
    const value = this.#recent.get(key);
    if (value !== undefined) return value;
    const older = this.#older.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: Key, value: Value): void {
    if (this.#recent.size >= this.#size_max && !this.#recent.has(key)) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, value);
  }

  delete(key: Key): void {
    this.#recent.delete(key);
    this.#older.delete(key);
  }

  clear(): void {
    this.#recent.clear();
    this.#older.clear();
  }
}
