/**
 * How a test waits for what comes by itself: it looks again and again, and gives up after a limit
 * that only what never happens reaches. For every test but the SDK's, which has its own; not for
 * benchmarks, whose pauses belong to what they measure. No product code polls with it.
 */

const POLL_MS = 10;
const LIMIT_MS = 60_000;

/** Resolves once `condition` holds; rejects with `what` when it has not within the limit. */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
  limit_ms: number = LIMIT_MS,
): Promise<void> {
  const begun_ms = performance.now();
  while (!await condition()) {
    if (performance.now() - begun_ms > limit_ms) {
      const text = typeof what === "string" ? what : what();
      throw new Error(`waited ${limit_ms} ms in vain: ${text}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Resolves with the first value of `find` that is not undefined; rejects as `until` does. */
export async function found<T>(
  what: string | (() => string),
  find: () => T | undefined | Promise<T | undefined>,
  limit_ms: number = LIMIT_MS,
): Promise<T> {
  let value: T | undefined;
  await until(what, async () => (value = await find()) !== undefined, limit_ms);
  return value as T;
}
