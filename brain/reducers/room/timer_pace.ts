/**
 * How often the timers of one room run: a room may set thousands, each of them a message of its log. One that is late runs
 * once, whatever it has missed: it is set anew only by the command that it runs.
 */
import {
  createFuelBucket,
  type FuelBucket,
  fuelWait,
  spendFuel,
} from "../../../shared/rates/fuel_bucket.ts";

/** Timers of one room in a second: as often as one that sets itself may. After a pause, twice as many at once. */
export const TIMERS_PER_SECOND = 100;

/** The pace of one room. Times are monotonic ms. */
export class TimerPace {
  readonly #bucket: FuelBucket;

  constructor(now_ms: number) {
    this.#bucket = createFuelBucket(TIMERS_PER_SECOND, now_ms);
  }

  /** In how many ms one may run; 0: now. */
  wait(now_ms: number): number {
    return fuelWait(this.#bucket, now_ms);
  }

  /** One runs. */
  take(now_ms: number): void {
    spendFuel(this.#bucket, 1, now_ms);
  }
}
