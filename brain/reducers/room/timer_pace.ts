/**
 * The rate limit of one room's timers: a room may set thousands, each a message of its log. A late timer runs once,
 * however many periods it missed: only its own command sets it again.
 */
import {
  createFuelBucket,
  type FuelBucket,
  hasFuel,
  spendFuel,
} from "../../../shared/rates/fuel_bucket.ts";

/**
 * Timers of one room per second: as often as a timer that sets itself may run. After a pause, a burst of twice as many.
 */
export const TIMERS_PER_SECOND = 100;

/** The size of the group for which a delayed room waits: each run is a message of the log. */
export const TIMERS_IN_GROUP = 10;

/** The rate limit of one room. Times are monotonic ms. */
export class TimerPace {
  readonly #bucket: FuelBucket;
  #is_out = false;

  constructor(now_ms: number) {
    this.#bucket = createFuelBucket(TIMERS_PER_SECOND, now_ms);
  }

  /** Ms until some may run; 0: now. */
  wait(now_ms: number): number {
    if (!hasFuel(this.#bucket, now_ms)) this.#is_out = true;
    if (!this.#is_out) return 0;
    const missing = TIMERS_IN_GROUP - this.#bucket.fuel;
    this.#is_out = missing > 0;
    return Math.max(0, Math.ceil(missing / TIMERS_PER_SECOND * 1_000));
  }

  /** How many may run now. */
  most(now_ms: number): number {
    return this.wait(now_ms) > 0 ? 0 : Math.ceil(this.#bucket.fuel);
  }

  take(now_ms: number, count: number): void {
    spendFuel(this.#bucket, count, now_ms);
  }
}
