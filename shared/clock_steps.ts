/**
 * Whether the wall clock of this process can be trusted. A machine may start with a wrong clock until NTP sets it, and
 * a clock may be set at any time. Data deleted because of a wrong clock are lost.
 */
import type { Env } from "./env.ts";

/** Two clocks in ms: Unix time, which may jump, and a monotonic one. */
export type Clocks = Pick<Env, "now" | "monotonic_ms">;

/** A clock that was not set for this long is trusted: NTP had time to correct it. */
const QUIET_MS = 3_600_000;
/** The most that two wall clocks are assumed to differ: each may be set by two hours. */
export const CLOCKS_DIFFER_MS = 4 * 3_600_000;
/** A smaller difference between two checks is no step: NTP corrects slowly, and reading takes time. */
const STEP_MS = 1_000;

/** Created when the process starts. Call `isBelieved` before every deletion by the wall clock. */
export class ClockSteps {
  readonly #clocks: Clocks;
  /** The wall clock minus the monotonic one, at the last check. */
  #ahead_ms: number;
  #since_ms: number;

  constructor(clocks: Clocks) {
    this.#clocks = clocks;
    this.#since_ms = clocks.monotonic_ms();
    this.#ahead_ms = clocks.now() - this.#since_ms;
  }

  /**
   * Whether data older than `age_ms` by the wall clock may be deleted: the clock was not set for that time, or for an
   * hour.
   */
  isBelieved(age_ms: number = QUIET_MS): boolean {
    return this.quietMs() >= Math.min(QUIET_MS, age_ms);
  }

  /** Unix ms: what is from before is older than `age_ms` and may be deleted; 0: the clock is not trusted. */
  cutoff(age_ms: number): number {
    return this.isBelieved(age_ms) ? this.#clocks.now() - age_ms : 0;
  }

  /** How long the wall clock has not been set, in ms: at most since the creation of this object. */
  quietMs(): number {
    const monotonic_ms = this.#clocks.monotonic_ms();
    const ahead_ms = this.#clocks.now() - monotonic_ms;
    if (Math.abs(ahead_ms - this.#ahead_ms) > STEP_MS) this.#since_ms = monotonic_ms;
    this.#ahead_ms = ahead_ms;
    return monotonic_ms - this.#since_ms;
  }
}
