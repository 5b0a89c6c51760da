/** Promises that may fail before anybody awaits them. */

/**
 * The same promise, which may reject before anybody awaits it, or without anybody: without this, that would be an
 * uncaught error. Whoever awaits it still gets the failure.
 */
export function awaitedLater<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {}); // Whoever awaits it gets the failure.
  return promise;
}
