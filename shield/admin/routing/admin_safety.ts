/**
 * Protects the admin listener against pages of other sites in an operator's browser: it refuses cross-site requests and
 * sets the headers of every answer. Authentication is in `admin.ts`.
 */
import { ArqonError } from "@arqon/proto";

/** The folder of the files that need no token. */
export const FILES = "/console/";
/** The content policy of all answers but files: nothing is loaded or run. */
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

/** Whether the origin is the listener that received the request. */
function isOwn(origin: string, request: Request): boolean {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!URL.canParse(origin)) return false;
  const { protocol, host: its_host } = new URL(origin);
  // A proxy in front of it may speak TLS, so the scheme is not compared.
  return (protocol === "http:" || protocol === "https:") && its_host === host.toLowerCase();
}

/** Whether the request follows a link from another site to the console, whose files have no data of any tenant. */
function isVisit(request: Request, path: string): boolean {
  return request.method === "GET" && (path === "/" || path.startsWith(FILES)) &&
    request.headers.get("sec-fetch-mode") === "navigate" &&
    request.headers.get("sec-fetch-dest") === "document";
}

/**
 * Throws `origin-not-allowed` for a request from a page of another site; requests without these headers are not from
 * browsers. There are no CORS headers, so such a page cannot read an answer either.
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

/** Adds the headers that every answer has; `policy` is the content policy of a file. */
export function withSafety(response: Response, policy = API_POLICY): Response {
  const { headers } = response;
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  headers.set("content-security-policy", policy);
  return response;
}
