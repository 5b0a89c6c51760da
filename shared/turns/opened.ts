/** What is opened by who needs it first. */

/** Opens with the first call, once for all; what could not be opened is opened anew by the next call. */
export function opened<T>(open: () => Promise<T>): () => Promise<T> {
  let there: Promise<T> | undefined;
  return () => {
    if (there !== undefined) return there;
    const opening = open();
    there = opening;
    opening.catch(() => there = undefined);
    return opening;
  };
}
