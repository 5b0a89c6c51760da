/**
 * The body of a `fetch`, aborted by its signal as long as it is read. Not the request, which is `fetch`'s own.
 *
 * `fetch` follows a signal by one of its own, which Deno holds weakly once the head of the answer has arrived. The
 * first garbage collection after that collects it (an idle process has one after some 30 s), and from then on an abort
 * reaches nobody: the body stays open for good.
 */

/**
 * Errors with the signal's reason when it aborts, and when there are more than `max_bytes`; cancelling it closes the
 * connection.
 */
export function endedBy(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  max_bytes = Infinity,
): ReadableStream<Uint8Array> {
  const own = new AbortController();
  // A listener keeps the signal alive, also one made by `AbortSignal.any`.
  const end = () => own.abort(signal.reason);
  const over = () => signal.removeEventListener("abort", end);
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  let left = max_bytes;
  const passed = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, to) {
      left -= chunk.length;
      if (left < 0) throw new Error(`the answer has more than ${max_bytes} bytes`);
      to.enqueue(chunk);
    },
    flush: over,
    cancel: over,
  });
  return body.pipeThrough(passed, { signal: own.signal });
}

/** The whole answer as text. Rejects as its body errors: with the signal, or beyond the bytes. */
export async function textOf(
  response: Response,
  signal: AbortSignal,
  max_bytes?: number,
): Promise<string> {
  if (response.body === null) return "";
  return await new Response(endedBy(response.body, signal, max_bytes) as BodyInit).text();
}
