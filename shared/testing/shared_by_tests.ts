/**
 * One running thing for the tests of a file: started when the first of them asks for it, so that a run of some tests
 * starts no more than they need, and ended behind the last.
 */

/** What `start` gives, the same for each test that asks. The file's tests must not end or kill it. */
export function sharedByTests<T extends AsyncDisposable>(
  start: () => Promise<T>,
): () => Promise<T> {
  let started: Promise<T> | undefined;
  Deno.test.afterAll(async () => {
    // A start that failed has failed the tests that asked for it.
    const running = await started?.catch(() => undefined);
    await running?.[Symbol.asyncDispose]();
  });
  return () => started ??= start();
}
