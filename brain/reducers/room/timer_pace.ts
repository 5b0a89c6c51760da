/**
 * How often the timers of one room run: a room may set thousands, each of them a message of its log. One that is late runs
 * once, whatever it has missed: it is set anew only by the command that it runs.
 */
import {
  createFuelBucket,
  type FuelBucket,
  hasFuel,
  spendFuel,
} from "../../../shared/rates/fuel_bucket.ts";

/** Timers of one room in a second: as often as one that sets itself may. After a pause, twice as many at once. */
export const TIMERS_PER_SECOND = 100;

/** Who has to wait waits for so many: each time that some run is a message of the log. */
export const TIMERS_IN_GROUP = 10;

/** The pace of one room. Times are monotonic ms. */
export class TimerPace {
  readonly #bucket: FuelBucket;
  #is_out = false;

  constructor(now_ms: number) {
    this.#bucket = createFuelBucket(TIMERS_PER_SECOND, now_ms);
  }

  /** In how many ms some may run; 0: now. */
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

  /** So many have run. */
  take(now_ms: number, count: number): void {
    spendFuel(this.#bucket, count, now_ms);
  }
}
