/** A bound on the time of a wait. */

/**
 * The result of `work`, or after `limit_ms` that of `late`, which may throw instead. `work` goes on, and its rejection
 * is then nobody's.
 */
export async function within<T, L>(
  limit_ms: number,
  work: Promise<T>,
  late: () => L,
): Promise<T | L> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limit_ms);
  try {
    return await Promise.race([work, over.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}
