/**
 * Remembers how far a log was at what time. What has an offset above a sample was stored after it, and
 * so is known to be too young for the age limit, though everything below may be gone by now. Pure.
 */

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
