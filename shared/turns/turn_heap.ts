/**
 * Tenants in the order of their ranks, such as the time that each has used: a binary heap in which an entry's rank may
 * change in place. Plain data; its users define the rank.
 */

export interface HeapEntry {
  /** The least is first. */
  rank: number;
  /** The order of arrival: of equal entries the earlier one is first. */
  arrival: number;
  /** The entry's index in the heap; -1 if it is not in it. */
  place: number;
}

const isBefore = (a: HeapEntry, b: HeapEntry): boolean =>
  a.rank < b.rank || (a.rank === b.rank && a.arrival < b.arrival);

/** The heap of entries by rank. */
export class TurnHeap<T extends HeapEntry> {
  readonly #entries: T[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** The entry with the least rank. */
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
    this.moved(last);
  }

  /** Restores the order after a change of an entry. */
  moved(entry: T): void {
    this.#rise(entry);
    this.#sink(entry);
  }

  /** Restores the order after an entry's `rank` or `arrival` has grown; the entry need not be in the heap. */
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
