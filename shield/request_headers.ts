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
  for (const [name, value] of headers) {
    if (LEFT_OUT.has(name)) continue;
    size += name.length + value.length;
    if (kept.length === HEADERS_MAX || size > BYTES_MAX) break;
    kept.push([name, value]);
  }
  return kept;
}
