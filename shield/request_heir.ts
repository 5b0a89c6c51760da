/**
 * Requests that are read without keeping what was read. The runtime holds a request as long as the
 * WebSocket that it became, with every list of headers that was made of it: some 2 KB of each
 * connection, the token among them. Not what the headers say: that is `request_headers.ts`.
 */

const ORIGINALS = new WeakMap<Request, Request>();

/** The same request, to be asked for headers in its place; what it then holds goes with it. */
export function heirOf(request: Request): Request {
  // A copy of its members: as a prototype, the request would get a shape of its own, 450 bytes.
  const heir: Request = Object.assign(Object.create(Object.getPrototypeOf(request)), request);
  ORIGINALS.set(heir, request);
  return heir;
}

/** The same request to the runtime, with other headers for whoever asks for them. */
export function heirWith(request: Request, headers: Headers): Request {
  return Object.defineProperty(heirOf(request), "headers", { value: headers });
}

/** Whose heir it is, for the runtime to upgrade; else the request itself. */
export function originalOf(request: Request): Request {
  return ORIGINALS.get(request) ?? request;
}
