/**
 * A shared resource for the tests of a file: started at its first use, so that a run of some tests starts no more than
 * they need, and ended after the last test.
 */

/** The result of `start`, the same for each test. Tests must not end or kill it. */
export function sharedByTests<T extends AsyncDisposable>(
  start: () => Promise<T>,
): () => Promise<T> {
  let started: Promise<T> | undefined;
  Deno.test.afterAll(async () => {
    // A failed start has already failed the tests that used it.
    const running = await started?.catch(() => undefined);
    await running?.[Symbol.asyncDispose]();
  });
  return () => started ??= start();
}
