/**
 * A cache of modules besides those in force, so that an upload's check, its deployment and its load do the work once.
 * It has the last few modules, each for a limited time after its last use.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";

interface KeptLimits {
  readonly max: number;
  /** How long a value is kept after its last use, in ms; absent: until another value takes its place. */
  readonly kept_ms?: number | undefined;
}

interface Entry<V> {
  readonly value: Promise<V>;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Values that are made or being made, by key. A failure is not kept. */
export class Kept<V> {
  readonly #limits: KeptLimits;
  readonly #entries: BoundedMap<string, Entry<V>>;
  /** The number of values dropped since the start. */
  released = 0;

  constructor(limits: KeptLimits) {
    this.#limits = limits;
    this.#entries = new BoundedMap(limits.max);
  }

  /** The number of kept values. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value of a key. It is made now unless it is kept. */
  get(key: string, make: () => Promise<V>): Promise<V> {
    const known = this.#entries.get(key);
    clearTimeout(known?.timer);
    const entry: Entry<V> = { value: known?.value ?? make(), timer: this.#expire(key) };
    const dropped = this.#entries.renew(key, entry);
    if (dropped !== undefined) {
      clearTimeout(dropped.timer);
      this.released++;
    }
    if (known === undefined) {
      // The failure may be temporary, so the next caller tries again.
      entry.value.catch(() => {
        if (this.#entries.get(key)?.value === entry.value) this.#drop(key);
      });
    }
    return entry.value;
  }

  close(): void {
    for (const key of this.#entries.keys()) this.#drop(key);
  }

  #expire(key: string): Entry<V>["timer"] {
    const { kept_ms } = this.#limits;
    if (kept_ms === undefined) return undefined;
    const timer = setTimeout(() => this.#release(key), kept_ms);
    Deno.unrefTimer(timer);
    return timer;
  }

  #release(key: string): void {
    this.released++;
    this.#drop(key);
  }

  #drop(key: string): void {
    clearTimeout(this.#entries.get(key)?.timer);
    this.#entries.delete(key);
  }
}
