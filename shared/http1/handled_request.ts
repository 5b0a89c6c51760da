/**
 * What a request's handler and its listener tell each other while the handler runs: the token was accepted, and from
 * then on no limit for unauthenticated connections closes the connection; the client has disconnected, which only
 * reading on shows, so a listener reads on only for a handler that asks.
 */
import { Attached } from "../containers/attached.ts";

const accepted = new Attached<Request, () => void>();
const watched = new Attached<Request, () => AbortSignal>();

/** Has `know` called once the handler has accepted the request's token. */
export function onTokenShown(request: Request, know: () => void): Request {
  accepted.set(request, know);
  return request;
}

/** The request's token was accepted; the handler decides whether it is valid. */
export function showsToken(request: Request): void {
  // The runtime may keep a request as long as its WebSocket.
  accepted.take(request)?.();
}

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
