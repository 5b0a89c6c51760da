/**
 * Tells a request's listener, while the handler is still at work, that its token was accepted: from then on no
 * bound for unauthenticated connections ends it. Whether a token is good is up to the handler.
 */

const told = new WeakMap<Request, () => void>();

/** Has `know` called once the handler says of this request that its token was accepted. */
export function onTokenShown(request: Request, know: () => void): Request {
  told.set(request, know);
  return request;
}

/** The token of this request was accepted. */
export function showsToken(request: Request): void {
  told.get(request)?.();
  // The runtime may keep a request as long as the WebSocket that it becomes.
  told.delete(request);
}
