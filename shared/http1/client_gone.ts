/**
 * Tells a handler that takes its time that the client of its request has gone. That shows only to who reads on, so a
 * listener does it only for a handler that asks.
 */

const watched = new WeakMap<Request, () => AbortSignal>();

/** Has `watch` called once the handler of this request asks; for listeners that read by themselves. */
export function onGoneAsked(request: Request, watch: () => AbortSignal): void {
  watched.set(request, watch);
}

/**
 * Aborted when the client of a request has gone, whose body must have been read. A client that ends only its own
 * side of the connection counts as gone. Not for a request whose connection is to be taken over.
 */
export function clientGone(request: Request): AbortSignal {
  return watched.get(request)?.() ?? request.signal;
}
