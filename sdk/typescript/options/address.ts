/**
 * Where a bus is: turns what people write (`localhost:4000`, `https://bus.example.com`,
 * `ws://…/v1/socket`) into the two URLs that the SDK needs. Pure.
 */

/** The two URLs of one bus; without query, fragment or credentials. */
export interface Address {
  /** `ws(s)://host/…/v1/socket` */
  readonly socket_url: string;
  /** `http(s)://host/…/v1/auth/check` */
  readonly check_url: string;
}

/** Throws TypeError that says what is wrong with `url` and what would be right. */
export function parseAddress(url: string | URL): Address {
  const text = String(url).trim();
  const wrong = (what: string) => new TypeError(`${what}; expected "ws://host:port"`);
  let parsed: URL;
  try {
    parsed = new URL(text.includes("://") ? text : `ws://${text}`);
  } catch {
    throw wrong(`not a URL: ${JSON.stringify(text)}`);
  }
  const { protocol, host, username, password } = parsed;
  const [scheme, secure] = /^(?:ws|http)(s?):$/.exec(protocol) ?? [];
  if (scheme === undefined) throw wrong(`scheme "${protocol}"`);
  if (username || password) throw wrong("a URL with a password");
  const path = parsed.pathname.replace(/(\/v1\/socket)?\/*$/, "");
  const rest = `${secure}://${host}${path}`;
  return { socket_url: `ws${rest}/v1/socket`, check_url: `http${rest}/v1/auth/check` };
}
