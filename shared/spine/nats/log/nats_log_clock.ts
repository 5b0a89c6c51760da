/**
 * The clock of a log: the server's, as of its last answer, carried on by a clock that does not jump. And how far the log
 * was at what time: what has an offset above a sample was stored after it, and so is known to be too young for the age
 * limit, though everything below may be gone by now.
 */

/** Answers that differ by less are taken for the same clock, so that its time does not go back. */
const JITTER_MS = 5_000;

/** Unix ms of the server. */
export class LogClock {
  readonly #monotonic: () => number;
  /** Server time minus the monotonic clock. */
  #ahead_ms = 0;
  #told_ms = 0;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Takes the time that an answer carries; `asked_ms` is when it was asked, by the monotonic clock. */
  hear(time: string, asked_ms: number): void {
    const now_ms = Date.parse(time);
    if (!Number.isFinite(now_ms)) return;
    this.#ahead_ms = now_ms - (asked_ms + this.#monotonic()) / 2;
    // The clock of another leader, or one that was set: what counts is what it stamps from now on.
    if (this.#told_ms - this.#here() > JITTER_MS) this.#told_ms = 0;
  }

  now(): number {
    this.#told_ms = Math.max(this.#told_ms, this.#here());
    return Math.floor(this.#told_ms);
  }

  #here(): number {
    return this.#ahead_ms + this.#monotonic();
  }
}

/** Samples for one age limit; more would not tell more. */
const SAMPLES = 64;

/** The samples of one stream. */
export class Samples {
  /** In the order of both. */
  #samples: { readonly offset: number; readonly time_ms: number }[] = [];

  /** The log had given out `offset` at `time_ms` and no higher one; what is older than `age_ms` is forgotten. */
  note(offset: number, time_ms: number, age_ms: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && (offset < last.offset || time_ms - last.time_ms < age_ms / SAMPLES)) {
      return;
    }
    this.#samples.push({ offset, time_ms });
    const oldest_ms = time_ms - age_ms;
    const useless = this.#samples.findIndex((sample) => sample.time_ms >= oldest_ms);
    if (useless > 0) this.#samples.splice(0, useless);
  }

  /** A time after which everything above `offset` was stored; undefined when there is none. */
  since(offset: number): number | undefined {
    return this.#samples.findLast((sample) => sample.offset <= offset)?.time_ms;
  }
}
