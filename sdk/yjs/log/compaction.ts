/**
 * Says when a snapshot is due, and whose turn it is, from the log alone: everybody counts the updates behind
 * the newest snapshot, and the author of the one that fills the count makes the next. Nobody asks anybody,
 * nobody holds a lock. When that author dies, the author of the update that fills it twice does. Pure.
 */
import type { LooseUpdate } from "./reading.ts";

/** How much may be behind a snapshot before the next one is due. */
export interface CompactionLimits {
  /** Messages with updates. */
  readonly updates: number;
  readonly bytes: number;
}

/** The updates that no snapshot holds, as this reader knows. */
export class Compaction {
  readonly #limits: CompactionLimits;
  #loose: LooseUpdate[] = [];
  #bytes = 0;

  constructor(limits: CompactionLimits) {
    this.#limits = limits;
  }

  /** Begins anew with what was read of the room. */
  begin(loose: readonly LooseUpdate[]): void {
    this.#loose = [...loose];
    this.#bytes = loose.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  }

  /** Counts an update. True when it fills the count: its author makes a snapshot. */
  count(update: LooseUpdate): boolean {
    const before = this.#fills();
    this.#loose.push(update);
    this.#bytes += update.size_bytes;
    return this.#fills() > before;
  }

  /** Takes note of a snapshot that holds everything up to this offset. */
  held(upto: number): void {
    this.begin(this.#loose.filter(({ offset }) => offset > upto));
  }

  /** How often what is behind the snapshot would have filled the count. */
  #fills(): number {
    const { updates, bytes } = this.#limits;
    return Math.floor(Math.max(this.#loose.length / updates, this.#bytes / bytes));
  }
}
