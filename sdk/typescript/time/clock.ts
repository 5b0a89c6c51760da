/** Waits, and the Shield's clock: WELCOME's time plus the elapsed time. */
/** The longest wait of a platform's timer, in ms. */
export const TIMER_MS_MAX = 2_147_483_647;

/** Calls back once when `signal` is aborted, until the returned function is called. */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
  signal?.addEventListener("abort", call);
  return () => signal?.removeEventListener("abort", call);
}

/** Resolves after `ms` or when a signal is aborted; never rejects, leaves no listener. */
export function sleep(ms: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    clearTimeout(timer);
    for (const stop of stops) stop();
    resolve();
  };
  const timer = setTimeout(done, Math.min(ms, TIMER_MS_MAX));
  const stops = signals.map((signal) => onAbort(signal, done));
  if (signals.some((signal) => signal?.aborted)) done();
  return promise;
}

/** The bounds of the waits; `ConnectOptions.backoff` overrides each on its own. */
export interface Backoff {
  /** Upper bound of the first wait, in ms. */
  readonly base_ms: number;
  /** Upper bound of every wait, in ms. */
  readonly max_ms: number;
}

/** 250 ms, doubled up to 15 s: fast after a restart, and gentle in a long outage. */
export const DEFAULT_BACKOFF: Backoff = { base_ms: 250, max_ms: 15_000 };

/** The wait before attempt `attempt` (0: after the first failure), in ms. */
export function backoffDelay(attempt: number, backoff: Backoff, random: () => number): number {
  // 2 ** 31 is beyond every sensible maximum; the bound keeps the product finite.
  const ceiling_ms = Math.min(backoff.max_ms, backoff.base_ms * 2 ** Math.min(attempt, 31));
  return Math.floor(random() * ceiling_ms);
}

/** One Shield's clock. Before the first WELCOME it is the device's clock. */
export class ServerClock {
  readonly #own: () => number;
  readonly #elapsed: () => number;
  /** The Shield's Unix ms when `elapsed` was 0. */
  #start_ms: number | undefined;

  /** `own` returns Unix ms; `elapsed` returns monotonic ms. */
  constructor(own: () => number, elapsed: () => number) {
    this.#own = own;
    this.#elapsed = elapsed;
  }

  /** Sets the Shield's present time, Unix ms. */
  set(server_time_ms: number): void {
    this.#start_ms = server_time_ms - this.#elapsed();
  }

  /** The Shield's present time, Unix ms. */
  readonly now = (): number =>
    this.#start_ms === undefined ? this.#own() : this.#start_ms + this.#elapsed();
}
