/**
 * Tells a request's listener, while the handler still runs, that its token was accepted: from then on no limit for
 * unauthenticated connections closes it. The handler decides whether a token is valid.
 */

const told = new WeakMap<Request, () => void>();

/** Has `know` called once the handler has accepted the request's token. */
export function onTokenShown(request: Request, know: () => void): Request {
  told.set(request, know);
  return request;
}

/** The request's token was accepted. */
export function showsToken(request: Request): void {
  told.get(request)?.();
  // The runtime may keep a request as long as its WebSocket.
  told.delete(request);
}
