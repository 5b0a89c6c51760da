/** The names that hooks want, each counted: a change of one hook costs what it names, however many hooks there are. */

/** Among the keys of hooks: all hooks of the configuration together. */
export const OF_CONFIG = "";

/** The names that any hook wants. */
export class WantedNames implements Iterable<string> {
  readonly #of = new Map<string, readonly string[]>();
  readonly #counts = new Map<string, number>();

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#counts.keys();
  }

  /** Replaces what that hook wants; returns whether one of the names is new. */
  set(hook: string, names: readonly string[]): boolean {
    const before = this.#of.get(hook) ?? [];
    if (names.length > 0) this.#of.set(hook, names);
    else this.#of.delete(hook);
    const is_new = names.some((name) => !this.#counts.has(name));
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    for (const name of before) {
      const count = this.#counts.get(name)! - 1;
      if (count > 0) this.#counts.set(name, count);
      else this.#counts.delete(name);
    }
    return is_new;
  }
}
