/** Opens a resource on first use. */

/** Opens with the first call, once for all callers; the next call retries a failure. */
export function openOnce<T>(open: () => Promise<T>): () => Promise<T> {
  let there: Promise<T> | undefined;
  return () => {
    if (there !== undefined) return there;
    const opening = open();
    there = opening;
    opening.catch(() => there = undefined);
    return opening;
  };
}
