/**
 * How long a hook has failed without a successful call. Pure: a Brain adds up the time between failures by its
 * monotonic clock, and the next Brain continues the sum. So neither wall clocks nor time without a running Brain count,
 * and a hook that is seldom called has more time.
 */

/** A hook is disabled after this time. */
const OFF_AFTER_MS = 5 * 86_400_000;
/** The most that counts between two failures. */
const GAP_MAX_MS = 86_400_000;
/** The sum is stored when it has grown by this much. */
const STORED_EVERY_MS = 600_000;

/** The time of one hook on this Brain. */
export class FailedTime {
  #sum_ms: number;
  #stored_ms: number;
  #last_ms: number | undefined;

  constructor(stored_ms: number) {
    this.#sum_ms = this.#stored_ms = stored_ms;
  }

  /** Whether the hook has to be disabled. */
  get is_over(): boolean {
    return this.#sum_ms >= OFF_AFTER_MS;
  }

  /** Records a call that ended at `at_ms`, monotonic. Returns the sum if it has to be stored. */
  add(is_taken: boolean, at_ms: number): number | undefined {
    if (is_taken) this.#sum_ms = 0;
    else if (this.#last_ms !== undefined) {
      this.#sum_ms += Math.min(Math.max(0, at_ms - this.#last_ms), GAP_MAX_MS);
    }
    this.#last_ms = is_taken ? undefined : at_ms;
    const is_due = is_taken
      ? this.#stored_ms > 0
      : this.#sum_ms >= this.#stored_ms + STORED_EVERY_MS;
    if (!is_due) return undefined;
    this.#stored_ms = this.#sum_ms;
    return this.#sum_ms;
  }
}
