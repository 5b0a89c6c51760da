/** A last step of a scope, as `await using _end = atEnd(() => …)`; earlier ones of the scope run after it. */
export const atEnd = (end: () => unknown): AsyncDisposable => ({
  async [Symbol.asyncDispose]() {
    await end();
  },
});
