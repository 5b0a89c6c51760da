/**
 * A set that mostly has one member. An empty `Set` of the engine takes 230 bytes with its table, and there
 * may be several for each room; this one takes 70 until there is a second member. Its order is that of a
 * `Set`.
 */

/** A set of objects. */
export class FewSet<T extends object> {
  /** None or one as an array, which is another one after each change; more as a set. */
  #members: readonly T[] | Set<T> = NOBODY;

  get size(): number {
    return this.#members instanceof Set ? this.#members.size : this.#members.length;
  }

  /**
   * The members in the order in which they came, to go through and not to keep. A lone one that is removed
   * meanwhile is given still. This is no iterator of its own: those make an object for each step.
   */
  get members(): Iterable<T> {
    return this.#members;
  }

  add(member: T): void {
    const members = this.#members;
    if (members instanceof Set) members.add(member);
    else if (members.length === 0) this.#members = [member];
    else if (members[0] !== member) this.#members = new Set([members[0]!, member]);
  }

  /** True when it was a member. */
  delete(member: T): boolean {
    const members = this.#members;
    if (members instanceof Set) return members.delete(member);
    if (members[0] !== member) return false;
    this.#members = NOBODY;
    return true;
  }
}

const NOBODY: readonly never[] = [];
