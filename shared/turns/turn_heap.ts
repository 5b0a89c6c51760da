/**
 * Tenants in the order of their used time: a binary heap in which an entry's time may grow in place. Plain data;
 * `tenant_turns.ts` defines the time.
 */

export interface HeapEntry {
  /** The time that decides the order, least first. */
  used_us: number;
  /** The order of arrival: of equal entries the earlier one is first. */
  arrival: number;
  /** The entry's index in the heap; -1 if it is not in it. */
  place: number;
}

const isBefore = (a: HeapEntry, b: HeapEntry): boolean =>
  a.used_us < b.used_us || (a.used_us === b.used_us && a.arrival < b.arrival);

/** The heap of entries by the time that they have used. */
export class TurnHeap<T extends HeapEntry> {
  readonly #entries: T[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** The entry that has used least. */
  get first(): T | undefined {
    return this.#entries[0];
  }

  /** All entries, in no particular order. */
  values(): readonly T[] {
    return this.#entries;
  }

  add(entry: T): void {
    entry.place = this.#entries.length;
    this.#entries.push(entry);
    this.#rise(entry);
  }

  remove(entry: T): void {
    const last = this.#entries.pop();
    const { place } = entry;
    entry.place = -1;
    if (last === undefined || last === entry) return;
    this.#put(last, place);
    this.#rise(last);
    this.#sink(last);
  }

  /** Restores the order; call it after an entry's `used_us` or `arrival` has grown. */
  grown(entry: T): void {
    if (entry.place >= 0) this.#sink(entry);
  }

  #put(entry: T, place: number): void {
    this.#entries[place] = entry;
    entry.place = place;
  }

  #rise(entry: T): void {
    let { place } = entry;
    while (place > 0) {
      const above = this.#entries[(place - 1) >> 1]!;
      if (!isBefore(entry, above)) break;
      const next = above.place;
      this.#put(above, place);
      place = next;
    }
    this.#put(entry, place);
  }

  #sink(entry: T): void {
    let { place } = entry;
    for (;;) {
      const left = this.#entries[2 * place + 1];
      if (left === undefined) break;
      const right = this.#entries[2 * place + 2];
      const below = right !== undefined && isBefore(right, left) ? right : left;
      if (!isBefore(below, entry)) break;
      const next = below.place;
      this.#put(below, place);
      place = next;
    }
    this.#put(entry, place);
  }
}
