/**
 * A set that mostly has one member. An empty `Set` of the engine takes 230 bytes with its table, and there
 * may be several for each room; this one takes 40 until there is a second member. Its order is that of a
 * `Set`.
 */

/** A set of objects. */
export class FewSet<T extends object> {
  #one: T | undefined;
  #many: Set<T> | undefined;

  get size(): number {
    return this.#many?.size ?? (this.#one === undefined ? 0 : 1);
  }

  add(member: T): void {
    if (this.#many !== undefined) this.#many.add(member);
    else if (this.#one === undefined) this.#one = member;
    else if (this.#one !== member) {
      this.#many = new Set([this.#one, member]);
      this.#one = undefined;
    }
  }

  /** True when it was a member. */
  delete(member: T): boolean {
    if (this.#many !== undefined) return this.#many.delete(member);
    if (this.#one !== member) return false;
    this.#one = undefined;
    return true;
  }

  /** The members in the order in which they came. A lone one that is removed meanwhile is given still. */
  [Symbol.iterator](): Iterator<T> {
    const members = this.#many ?? (this.#one === undefined ? [] : [this.#one]);
    return members[Symbol.iterator]();
  }
}
