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

const SCHEMES: Readonly<Record<string, "ws:" | "wss:">> = {
  "ws:": "ws:",
  "wss:": "wss:",
  "http:": "ws:",
  "https:": "wss:",
};
const SOCKET_PATH = "/v1/socket";
const EXPECTED = 'expected something like "ws://127.0.0.1:4000" or "wss://bus.example.com"';

/** Throws TypeError that says what is wrong with `url` and what would be right. */
export function parseAddress(url: string | URL): Address {
  const text = String(url).trim();
  let parsed: URL;
  try {
    parsed = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `ws://${text}`);
  } catch {
    throw new TypeError(`not a URL: ${JSON.stringify(text)}; ${EXPECTED}`);
  }
  const scheme = SCHEMES[parsed.protocol];
  if (scheme === undefined) {
    throw new TypeError(`scheme ${JSON.stringify(parsed.protocol)} is not supported; ${EXPECTED}`);
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new TypeError("a URL must not carry a user name or password: use a token");
  }
  if (parsed.hostname === "") throw new TypeError(`the URL names no host; ${EXPECTED}`);
  let path = parsed.pathname.replace(/\/+$/, "");
  if (path.endsWith(SOCKET_PATH)) path = path.slice(0, -SOCKET_PATH.length);
  return {
    socket_url: `${scheme}//${parsed.host}${path}${SOCKET_PATH}`,
    check_url: `${scheme === "wss:" ? "https:" : "http:"}//${parsed.host}${path}/v1/auth/check`,
  };
}
