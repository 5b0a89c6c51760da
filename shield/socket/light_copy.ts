/**
 * Light copies of requests, for reading without keeping what was read. The runtime keeps a request as long as its
 * WebSocket, with every list of headers made from it: some 2 KB per connection, the token among them.
 * `request_headers.ts` reads headers.
 */

const ORIGINALS = new WeakMap<Request, Request>();

/**
 * A copy of a request, to be asked for headers in its place; what reading creates is let go together
 * with the copy.
 */
export function lightCopyOf(request: Request): Request {
  // The members are copied: with the request as prototype, it would get a shape of its own, 450 bytes.
  const copy: Request = Object.assign(Object.create(Object.getPrototypeOf(request)), request);
  ORIGINALS.set(copy, request);
  return copy;
}

/** A copy that is the same request for the runtime, but has other headers for everybody else. */
export function lightCopyWith(request: Request, headers: Headers): Request {
  return Object.defineProperty(lightCopyOf(request), "headers", { value: headers });
}

/**
 * The request that a copy was made from, for the runtime to upgrade; a request that is not a copy is
 * returned as it is.
 */
export function originalOf(request: Request): Request {
  return ORIGINALS.get(request) ?? request;
}
