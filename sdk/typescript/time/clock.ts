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

/** A Shield's clock in Unix ms. */
export interface ServerClock {
  readonly now: () => number;
  /** Sets the present time. */
  set(server_time_ms: number): void;
}

/** The clock of WELCOME's time plus the elapsed time; before the first WELCOME the device's. */
export function serverClock(device: () => number, elapsed: () => number): ServerClock {
  let start_ms: number | undefined;
  return {
    now: () => start_ms === undefined ? device() : start_ms + elapsed(),
    set(server_time_ms) {
      start_ms = server_time_ms - elapsed();
    },
  };
}
