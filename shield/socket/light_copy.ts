/**
 * Light copies of requests, for reading without retaining the data. The runtime keeps a request as long as its
 * WebSocket, with every list of headers made from it: about 2 KB per connection, including the token.
 * `request_headers.ts` reads headers.
 */
import { Attached } from "../../shared/containers/attached.ts";

const ORIGINALS = new Attached<Request, Request>();

/** A copy of a request for reading headers; the objects that reading creates are freed with the copy. */
export function lightCopyOf(request: Request): Request {
  // The members are copied: with the request as prototype, it would get its own shape of 450 bytes.
  const copy: Request = Object.assign(Object.create(Object.getPrototypeOf(request)), request);
  ORIGINALS.set(copy, request);
  return copy;
}

/** A copy that is the same request for the runtime, but has other headers for all other readers. */
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
