/**
 * Notifies a slow handler that the client of its request has disconnected. Only reading on shows that, so a listener
 * reads on only for a handler that asks.
 */

const watched = new WeakMap<Request, () => AbortSignal>();

/** Has `watch` called once the handler of this request asks; for listeners that read on their own. */
export function onGoneAsked(request: Request, watch: () => AbortSignal): void {
  watched.set(request, watch);
}

/**
 * Aborted when the client of a request disconnects; its body must have been read. A client that only ends its sending
 * direction counts as disconnected. Not for a request whose connection will be taken over.
 */
export function clientGone(request: Request): AbortSignal {
  return watched.get(request)?.() ?? request.signal;
}
