/**
 * A set for mostly one member. An empty `Set` takes 230 bytes with its table, and there may be several for each room;
 * this one takes 70 until the second member. Its order is that of a `Set`.
 */

export class FewSet<T extends object> {
  /** Zero or one member as an immutable array; more as a set. */
  #members: readonly T[] | Set<T> = NOBODY;

  get size(): number {
    return this.#members instanceof Set ? this.#members.size : this.#members.length;
  }

  /**
   * The members in insertion order, for immediate iteration. A single member that is removed meanwhile is still
   * visited. It is not a generator: those create an object for each step.
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
