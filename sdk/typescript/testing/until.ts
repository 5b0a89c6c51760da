/**
 * How a test of the SDK waits for what comes by itself: it looks again and again, and gives up after
 * a limit that only what never happens reaches. What the servers' tests have is no use here: the
 * SDK's take nothing from `shared/`. Not part of the package.
 */

const POLL_MS = 10;
const LIMIT_MS = 60_000;

/** Resolves once `condition` holds; rejects with `what` when it has not within the limit. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limit_ms: number = LIMIT_MS,
): Promise<void> {
  const begun_ms = performance.now();
  while (!await condition()) {
    if (performance.now() - begun_ms > limit_ms) {
      throw new Error(`waited ${limit_ms} ms in vain: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
