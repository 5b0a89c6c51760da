/**
 * Whether the wall clock of this process can be believed. A machine may start with a clock that is wrong
 * until NTP sets it, and a clock may be set at any time. What is deleted because of it does not come
 * back when it is right again.
 */

/** Two clocks in ms: Unix time, which may jump, and one that only goes forward. */
export interface StepClocks {
  readonly now: () => number;
  readonly monotonic_ms: () => number;
}

/** A clock that was not set for so long is believed: NTP has had its time. */
export const QUIET_MS = 3_600_000;
/** Two wall clocks are taken to differ by no more: each may be set by two hours. */
export const CLOCKS_DIFFER_MS = 4 * 3_600_000;
/** A difference between two looks that is no step: NTP corrects slowly, and reading takes its time. */
const STEP_MS = 1_000;

/** Made when the process begins. Whoever deletes by the wall clock asks each time before. */
export class ClockSteps {
  readonly #clocks: StepClocks;
  /** The wall clock minus the monotonic one, at the last look. */
  #ahead_ms: number;
  #since_ms: number;

  constructor(clocks: StepClocks) {
    this.#clocks = clocks;
    this.#since_ms = clocks.monotonic_ms();
    this.#ahead_ms = clocks.now() - this.#since_ms;
  }

  /** Whether what is older than `age_ms` by the wall clock may be deleted: it was not set for so long, or an hour. */
  isBelieved(age_ms: number = QUIET_MS): boolean {
    return this.quietMs() >= Math.min(QUIET_MS, age_ms);
  }

  /** For how long the wall clock has not been set, in ms: at most since this was made. */
  quietMs(): number {
    const monotonic_ms = this.#clocks.monotonic_ms();
    const ahead_ms = this.#clocks.now() - monotonic_ms;
    if (Math.abs(ahead_ms - this.#ahead_ms) > STEP_MS) this.#since_ms = monotonic_ms;
    this.#ahead_ms = ahead_ms;
    return monotonic_ms - this.#since_ms;
  }
}
