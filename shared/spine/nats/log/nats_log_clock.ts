/** The clock of a log: the server's, as of its last answer, carried on by a clock that does not jump. */

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
