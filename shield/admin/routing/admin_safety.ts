/**
 * What keeps pages of other sites from using the admin listener through an operator's browser: which
 * requests are refused, and the headers of every answer. Who may ask at all is `admin.ts`.
 */
import { ArqonError } from "@arqon/proto";

/** The console's thread for replays. */
export const REPLAY_PATH = "/console/replay_worker.js";
/** The content policy of the console's pages; all other answers may load and run nothing. */
const CONSOLE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
  "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; " +
  "form-action 'none'";
/**
 * That of the thread in which the console tries modules of policies: it may run WebAssembly, and ask nobody. The
 * page itself may not.
 */
const REPLAY_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'; " +
  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const API_POLICY =
  "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
};
const SHOWN_UNITS = 200;
const REFUSED_SITES = ["cross-site", "same-site"];

/** Whether the origin is of the very listener that is asked. */
function isOwn(origin: string, request: Request): boolean {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!URL.canParse(origin)) return false;
  const { protocol, host: its_host } = new URL(origin);
  // A proxy in front of it may speak TLS: the scheme is not compared.
  return (protocol === "http:" || protocol === "https:") && its_host === host.toLowerCase();
}

/**
 * Whether somebody follows a link from elsewhere to the console: files that say nothing of anybody.
 */
function isVisit(request: Request, path: string): boolean {
  return request.method === "GET" && (path === "/" || path.startsWith("/console/")) &&
    request.headers.get("sec-fetch-mode") === "navigate" &&
    request.headers.get("sec-fetch-dest") === "document";
}

/**
 * Throws `origin-not-allowed` for a request that a page of another site makes; requests without such
 * headers are not from browsers. There are no CORS headers either, so no such page reads an answer.
 */
export function requireOwnSite(request: Request, path: string): void {
  const origin = request.headers.get("origin");
  if (origin !== null && !isOwn(origin, request)) {
    const detail = `${JSON.stringify(origin.slice(0, SHOWN_UNITS))} of another site`;
    throw new ArqonError("origin-not-allowed", detail);
  }
  const site = request.headers.get("sec-fetch-site") ?? "none";
  if (!REFUSED_SITES.includes(site) || isVisit(request, path)) return;
  throw new ArqonError("origin-not-allowed", `of another site (${site})`);
}

/** The answer with the headers that every one has. */
export function withSafety(response: Response, path: string): Response {
  const { headers } = response;
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  const is_console = path.startsWith("/console/") && response.ok;
  const policy = path === REPLAY_PATH ? REPLAY_POLICY : CONSOLE_POLICY;
  headers.set("content-security-policy", is_console ? policy : API_POLICY);
  return response;
}
