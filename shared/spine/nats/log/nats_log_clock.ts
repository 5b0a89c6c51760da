/**
 * The clock of a log: the server's time of its last answer, advanced by the monotonic clock. And samples of the log's
 * offset at a time: a message with an offset above a sample was stored after it, so it is known to be too young for the
 * age limit, even if everything below has expired.
 */

/** Smaller differences between answers count as the same clock, so that its time does not go back. */
const JITTER_MS = 5_000;

/** Unix ms of the server. */
export class ServerClock {
  readonly #monotonic: () => number;
  /** Server time minus the monotonic clock. */
  #ahead_ms = 0;
  #given_ms = 0;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Whether an answer told the time: before, `now` is none. */
  get is_set(): boolean {
    return this.#ahead_ms !== 0;
  }

  /** Records the time in an answer; `asked_ms` is the monotonic time of the request. */
  note(time: string, asked_ms: number): void {
    const now_ms = Date.parse(time);
    if (!Number.isFinite(now_ms)) return;
    this.#ahead_ms = now_ms - (asked_ms + this.#monotonic()) / 2;
    // The clock of another leader, or one that was set: its new time counts from now on.
    if (this.#given_ms - this.#here() > JITTER_MS) this.#given_ms = 0;
  }

  now(): number {
    this.#given_ms = Math.max(this.#given_ms, this.#here());
    return Math.floor(this.#given_ms);
  }

  #here(): number {
    return this.#ahead_ms + this.#monotonic();
  }
}

/** The most samples for one age limit; more would not be more precise. */
const SAMPLES = 64;

/** The samples of one stream. */
export class Samples {
  /** Sorted by offset and time. */
  #samples: { readonly offset: number; readonly time_ms: number }[] = [];

  /** Records that `offset` was the log's highest at `time_ms`; samples older than `age_ms` are forgotten. */
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

  /** A time after which everything above `offset` was stored; undefined if unknown. */
  since(offset: number): number | undefined {
    return this.#samples.findLast((sample) => sample.offset <= offset)?.time_ms;
  }
}
