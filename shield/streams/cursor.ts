/**
 * The cursors of live reads: a number that changes with time, so that a cache cannot return the same answer to a reader
 * for ever. Pure.
 */
const INTERVAL_MS = 20_000;
/** Intervals are counted from 2024-10-09. */
const EPOCH_MS = Date.UTC(2024, 9, 9);
const JITTER_SECONDS = 3_600;

/**
 * The cursor of an answer: the number of the present interval, and always more than the client's cursor. `now_ms` is
 * Unix ms, `random` is in [0, 1).
 */
export function nextCursor(given: string | undefined, now_ms: number, random: number): string {
  const present = Math.floor((now_ms - EPOCH_MS) / INTERVAL_MS);
  const known = Number(given ?? "");
  if (given === undefined || !Number.isSafeInteger(known) || known < present) {
    return String(present);
  }
  const jitter_ms = (1 + Math.floor(random * JITTER_SECONDS)) * 1_000;
  return String(known + Math.max(1, Math.floor(jitter_ms / INTERVAL_MS)));
}
