/**
 * The Shield's clock as a client knows it: the time in WELCOME, and what has passed since by a
 * clock that nobody sets. So a jump of the device's own clock moves neither the refresh of a token
 * nor the deadline of a move.
 */

/** One Shield's clock. Before the first WELCOME the device's own clock is in. */
export class ServerClock {
  readonly #own: () => number;
  readonly #elapsed: () => number;
  /** The Shield's Unix ms when `elapsed` was 0. */
  #start_ms: number | undefined;

  /** `own` gives Unix ms; `elapsed` gives ms since some moment and never goes backwards. */
  constructor(own: () => number, elapsed: () => number) {
    this.#own = own;
    this.#elapsed = elapsed;
  }

  /** Takes the Shield's time of now, Unix ms. */
  set(server_time_ms: number): void {
    this.#start_ms = server_time_ms - this.#elapsed();
  }

  /** The Shield's time of now, Unix ms. */
  readonly now = (): number =>
    this.#start_ms === undefined ? this.#own() : this.#start_ms + this.#elapsed();
}
