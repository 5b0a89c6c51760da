/**
 * An answer without an end of its own, such as a tail or the lines of policies that somebody follows, ends with the
 * token of its reader.
 */

/** How often a silent answer is checked, in ms: a revocation acts within a second. */
const LOOK_MS = 1_000;
/** Answers without an end. An export has one, and is not cut before it. */
const endless = new WeakSet<Response>();

/** Marks an answer that has no end of its own. */
export function withoutEnd(response: Response): Response {
  endless.add(response);
  return response;
}

/** The same answer, which ends once `isOver` if it has no end of its own. */
export function endingWith(response: Response, isOver: () => boolean): Response {
  const { body } = response;
  if (body === null || !endless.has(response)) return response;
  const reader = body.getReader();
  // A pending read resolves as ended, and with it the answer.
  const looks = setInterval(() => isOver() && void reader.cancel(), LOOK_MS);
  const stop = () => clearInterval(looks);
  reader.closed.then(stop, stop);
  const bounded = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (!done && !isOver()) return controller.enqueue(value);
      controller.close();
      await reader.cancel();
    },
    cancel: () => reader.cancel(),
  }, { highWaterMark: 0 });
  return new Response(bounded, response);
}
