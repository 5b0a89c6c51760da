/**
 * The body of a `fetch` that its signal ends for as long as it is read. Not the request: that is
 * `fetch`'s own.
 *
 * `fetch` follows a signal by one of its own, which Deno holds weakly once the head of the answer is
 * there. The first garbage collection after that takes it away (an idle process has one after some 30
 * s), and from then on an abort reaches nobody: the body stays open for good.
 */

/**
 * Errors with the signal's reason when it aborts, and when there are more than `max_bytes`; whoever cancels it closes
 * the connection.
 */
export function endedBy(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  max_bytes = Infinity,
): ReadableStream<Uint8Array> {
  const own = new AbortController();
  // A listener is held strongly, also that of a signal which `AbortSignal.any` made.
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
    ...{ flush: over, cancel: over },
  });
  return body.pipeThrough(passed, { signal: own.signal });
}

/** All of an answer as text. Rejects as its body errors: with the signal, or beyond the bytes. */
export async function textOf(
  response: Response,
  signal: AbortSignal,
  max_bytes?: number,
): Promise<string> {
  if (response.body === null) return "";
  return await new Response(endedBy(response.body, signal, max_bytes) as BodyInit).text();
}
