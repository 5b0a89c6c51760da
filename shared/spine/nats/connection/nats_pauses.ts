/** The back-off between attempts to reach NATS. Arithmetic only; it does not wait. */
import type { SpineState } from "../../contract/spine.ts";

/** The longest pause between two attempts to reconnect, in ms; the shortest is 100 ms. */
const PAUSE_MS_MAX = 5_000;
/** A connection that ends sooner than this, in ms, does not reset the back-off. */
const STEADY_MS = 5_000;

/** Pause in ms before attempt `attempt` (0 is the first): exponential, half of it random. */
export function reconnectDelay_ms(attempt: number, random: () => number): number {
  const whole = Math.min(PAUSE_MS_MAX, 100 * 2 ** Math.min(attempt, 16));
  return whole / 2 + random() * whole / 2;
}

/** The pauses of one connection. */
export class ReconnectPauses {
  /** The present pause, in ms. It is drawn once an attempt, because nats.js reads it repeatedly while it waits. */
  now_ms: number;
  readonly #monotonic: () => number;
  readonly #random: () => number;
  #attempt = 0;
  #connected_ms: number;

  /** Create it when connected. `monotonic` in ms, `random` in [0, 1). */
  constructor(monotonic: () => number, random: () => number) {
    this.#monotonic = monotonic;
    this.#random = random;
    this.#connected_ms = monotonic();
    this.now_ms = reconnectDelay_ms(0, random);
  }

  tried(): void {
    this.now_ms = reconnectDelay_ms(++this.#attempt, this.#random);
  }

  receive(state: SpineState): void {
    if (state === "connected") this.#connected_ms = this.#monotonic();
    if (state !== "disconnected") return;
    if (this.#monotonic() - this.#connected_ms < STEADY_MS) return;
    this.#attempt = 0;
    this.now_ms = reconnectDelay_ms(0, this.#random);
  }
}
