/**
 * The headers of an upgrade or HTTP request that policies may read: no credentials, limited, kept as long as the
 * connection.
 */

/** Secrets, and headers of the handshake. */
const LEFT_OUT = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
  "x-api-key",
  "connection",
  "upgrade",
  "sec-websocket-protocol",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-extensions",
]);
const HEADERS_MAX = 48;
const BYTES_MAX = 8_192;

/** Names in lower case, in the order of the request; beyond the limits they are dropped. */
export function policyHeaders(headers: Headers): readonly (readonly [string, string])[] {
  const kept: [string, string][] = [];
  let size = 0;
  let is_full = false;
  // An iterator would make three objects for each header in every handshake.
  headers.forEach((value, name) => {
    if (is_full || LEFT_OUT.has(name)) return;
    size += name.length + value.length;
    is_full = kept.length === HEADERS_MAX || size > BYTES_MAX;
    if (!is_full) kept.push([name, value]);
  });
  // The copy is kept as long as the connection: the engine allocates seventeen slots for an array that grew.
  return kept.slice();
}
