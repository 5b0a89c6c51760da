/**
 * The headers of an upgrade or HTTP request that policies may see: no credentials, bounded, kept for
 * the life of the connection.
 */

/** Secrets, and what belongs to the handshake and says nothing of the client. */
const LEFT_OUT = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
  "connection",
  "upgrade",
  "sec-websocket-protocol",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
]);
const HEADERS_MAX = 48;
const BYTES_MAX = 8_192;

/** Names in lower case, in the order of the request; what exceeds the bounds is left out. */
export function policyHeaders(headers: Headers): readonly (readonly [string, string])[] {
  const kept: [string, string][] = [];
  let size = 0;
  let is_full = false;
  // An iterator would make three objects of each header, on the way of every handshake.
  headers.forEach((value, name) => {
    if (is_full || LEFT_OUT.has(name)) return;
    size += name.length + value.length;
    is_full = kept.length === HEADERS_MAX || size > BYTES_MAX;
    if (!is_full) kept.push([name, value]);
  });
  // Kept as long as the connection: an array that grew has room for seventeen.
  return kept.slice();
}
