/**
 * Numbered items in insertion order: a growing ring instead of a Map or Set. Those are copied into a new table after
 * every few deletions, and a table in the old generation retains its content until the next full collection, and so
 * does its successor. In every second run that happened to 7 % of a busy policy pool's allocations. The ring allocates
 * nothing.
 */

/** The first number of places; a power of two. */
const PLACES = 16;

/** Items by number. A number is a u32 above 0, and is reused only 2^32 - 1 items later. */
export class SequenceTable<T extends object> {
  #items: (T | undefined)[] = new Array(PLACES).fill(undefined);
  /** The items have the numbers from `first` up to, and without, `next`. */
  #first: number;
  #next: number;
  #size = 0;

  /** `first` is the number of the first item. */
  constructor(first = 1) {
    this.#first = this.#next = first;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds an item; returns its number, which is valid until the item is taken. */
  add(item: T): number {
    // 0 is reserved for "no item"; its slot stays free.
    if (this.#next === 0) this.#next = 1;
    this.#reserve();
    const number = this.#next;
    this.#items[number & (this.#items.length - 1)] = item;
    this.#next = (number + 1) >>> 0;
    this.#size++;
    return number;
  }

  /** The item with this number; undefined if there is none. */
  get(number: number): T | undefined {
    const inside = ((number - this.#first) >>> 0) < ((this.#next - this.#first) >>> 0);
    return inside ? this.#items[number & (this.#items.length - 1)] : undefined;
  }

  /** As `get`, and removes the item. */
  take(number: number): T | undefined {
    const item = this.get(number);
    if (item === undefined) return undefined;
    const last_place = this.#items.length - 1;
    this.#items[number & last_place] = undefined;
    this.#size--;
    while (this.#first !== this.#next && this.#items[this.#first & last_place] === undefined) {
      this.#first = (this.#first + 1) >>> 0;
    }
    return item;
  }

  /** Removes and returns all items, the oldest first. */
  takeAll(): T[] {
    const all = [...this.values()];
    this.#items.fill(undefined);
    this.#first = this.#next;
    this.#size = 0;
    return all;
  }

  /** The items, the oldest first. Items may be taken during the iteration. */
  *values(): IterableIterator<T> {
    const end = this.#next;
    for (let number = this.#first; number !== end; number = (number + 1) >>> 0) {
      const item = this.get(number);
      if (item !== undefined) yield item;
    }
  }

  /** Makes room for one more item. */
  #reserve(): void {
    const places = this.#items.length;
    if (((this.#next - this.#first) >>> 0) < places) return;
    const larger: (T | undefined)[] = new Array(places * 2).fill(undefined);
    for (let at = 0; at < places; at++) {
      const number = (this.#first + at) >>> 0;
      larger[number & (places * 2 - 1)] = this.#items[number & (places - 1)];
    }
    this.#items = larger;
  }
}
