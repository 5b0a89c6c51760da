/**
 * One value of an object, for as long as the object lives. It replaces a WeakMap where the objects are short-lived:
 * once the map itself is old, each of its values survives every young collection, with all that it refers to, until the
 * next full one. Each handshake left 4 KB behind that way.
 */

/** The values of one kind; a value is a property of its object. */
export class Attached<K extends object, V> {
  readonly #key = Symbol("attached");

  get(owner: K): V | undefined {
    return (owner as Record<symbol, V | undefined>)[this.#key];
  }

  set(owner: K, value: V | undefined): void {
    (owner as Record<symbol, V | undefined>)[this.#key] = value;
  }

  /** Returns the value, once. */
  take(owner: K): V | undefined {
    const value = this.get(owner);
    if (value !== undefined) this.set(owner, undefined);
    return value;
  }
}
