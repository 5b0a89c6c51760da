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

/** The dependencies of `StoreTime`. */
export interface StoreTimeOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly bucket: Pick<KeyValue, "storeTime">;
  /** How often the store is asked, in ms; absent: every ten seconds. */
  readonly every_ms?: number;
}

const EVERY_MS = 10_000;

/** The time of one bucket; between two answers the monotonic clock advances it. */
export class StoreTime {
  readonly #options: StoreTimeOptions;
  /** The store's time minus the monotonic one. */
  #ahead_ms: number | undefined;
  #asking: Promise<void> | undefined;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: StoreTimeOptions) {
    this.#options = options;
    if (options.bucket.storeTime === undefined) return;
    this.#timer = setInterval(() => void this.ask(), options.every_ms ?? EVERY_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Unix ms. Before the first answer by the wall clock. */
  now(): number {
    const { now, monotonic_ms } = this.#options;
    return this.#ahead_ms === undefined ? now() : Math.floor(monotonic_ms() + this.#ahead_ms);
  }

  /** Asks the store now. Never rejects. */
  ask(): Promise<void> {
    // Without an answer the last one holds.
    return this.#asking ??= this.#ask().catch(() => {}).finally(() => this.#asking = undefined);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #ask(): Promise<void> {
    const { bucket, monotonic_ms } = this.#options;
    const asked_ms = monotonic_ms();
    const time_ms = await bucket.storeTime?.();
    if (time_ms !== undefined) this.#ahead_ms = time_ms - (asked_ms + monotonic_ms()) / 2;
  }
}
