/**
 * The time that all processes of a bus share: that of a bucket's store, if it has a clock of its own, else of this
 * process's wall clock. Where several processes act on one time, one whose clock is wrong must not act for all of them.
 */
import type { Env } from "../../env.ts";
import type { KeyValue } from "./spine.ts";

/** Unix ms by the clock of the bucket's store, if it has one, else `now`. Rejects as the store. */
export async function storeTimeOf(
  { storeTime }: Pick<KeyValue, "storeTime">,
  now: () => number,
): Promise<number> {
  return await storeTime?.() ?? now();
}

interface StoreTimeOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly bucket: Pick<KeyValue, "storeTime">;
}

/** The age of an answer at which the next reading asks again: monotonic clocks drift. */
const OLD_MS = 10_000;

/** The time of one bucket's store, asked only while somebody reads it; the monotonic clock advances each answer. */
export class StoreTime {
  readonly #options: StoreTimeOptions;
  /** The store's time minus the monotonic one. */
  #ahead_ms: number | undefined;
  #asking: Promise<void> | undefined;
  /** When the store was asked last, by the monotonic clock. */
  #asked_ms = -Infinity;

  constructor(options: StoreTimeOptions) {
    this.#options = options;
  }

  /** Unix ms by the last answer. Before the first one, and if the store has no clock, by the wall clock. */
  now(): number {
    const { bucket, now, monotonic_ms } = this.#options;
    if (bucket.storeTime === undefined) return now();
    if (monotonic_ms() - this.#asked_ms >= OLD_MS) void this.ask();
    return this.#ahead_ms === undefined ? now() : Math.floor(monotonic_ms() + this.#ahead_ms);
  }

  /** Asks the store now. Never rejects. */
  ask(): Promise<void> {
    // Without an answer the last one holds.
    return this.#asking ??= this.#ask().catch(() => {}).finally(() => this.#asking = undefined);
  }

  async #ask(): Promise<void> {
    const { bucket, monotonic_ms } = this.#options;
    const asked_ms = this.#asked_ms = monotonic_ms();
    const time_ms = await bucket.storeTime?.();
    if (time_ms !== undefined) this.#ahead_ms = time_ms - (asked_ms + monotonic_ms()) / 2;
  }
}
