/**
 * The Shield's clock as a client knows it: what WELCOME said, and what has passed since by a clock that
 * nobody sets. So a jump of the device's own clock moves neither the refresh of a token nor the end of
 * a move.
 */

/** One Shield's clock. Before the first WELCOME the device's own stands in. */
export class ServerClock {
  readonly #own: () => number;
  readonly #elapsed: () => number;
  /** The Shield's Unix ms at 0 of `elapsed`. */
  #start_ms: number | undefined;

  /** `own` gives Unix ms, `elapsed` ms since any moment, never backwards. */
  constructor(own: () => number, elapsed: () => number) {
    this.#own = own;
    this.#elapsed = elapsed;
  }

  /** A Shield says that it is `server_time_ms` now. */
  set(server_time_ms: number): void {
    this.#start_ms = server_time_ms - this.#elapsed();
  }

  /** Unix ms. */
  readonly now = (): number =>
    this.#start_ms === undefined ? this.#own() : this.#start_ms + this.#elapsed();
}
