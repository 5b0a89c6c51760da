/**
 * The body of a `fetch` that its signal ends for as long as it is read. Not the request: that is
 * `fetch`'s own.
 *
 * `fetch` follows a signal by one of its own, which Deno holds weakly once the head of the answer is
 * there. The first garbage collection after that takes it away (an idle process has one after some 30
 * s), and from then on an abort reaches nobody: the body stays open for good.
 */

/** Errors with the signal's reason when it aborts; whoever cancels it closes the connection. */
export function endedBy(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const own = new AbortController();
  // A listener is held strongly, also that of a signal which `AbortSignal.any` made.
  const end = () => own.abort(signal.reason);
  const over = () => signal.removeEventListener("abort", end);
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  const passed = new TransformStream<Uint8Array, Uint8Array>({ flush: over, cancel: over });
  return body.pipeThrough(passed, { signal: own.signal });
}

/** All of an answer as text. Rejects with the signal's reason when it aborts before the end. */
export async function textOf(response: Response, signal: AbortSignal): Promise<string> {
  if (response.body === null) return "";
  return await new Response(endedBy(response.body, signal) as BodyInit).text();
}
