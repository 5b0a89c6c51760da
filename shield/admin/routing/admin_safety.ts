/**
 * Protects the admin listener against pages of other sites in an operator's browser: it refuses cross-site requests and
 * foreign host names, and sets the headers of every answer. Authentication is in `admin.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../../shared/config/schema.ts";

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
function isOwnOrigin(origin: string, request: Request): boolean {
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
  if (origin !== null && !isOwnOrigin(origin, request)) {
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

// The host names that the admin listener accepts. A page of another site can point its own name at the address of this
// listener (DNS rebinding). For the browser the page then has the same origin, and only the `Host` header reveals it.
// That attack needs a name, so IP addresses are always accepted.

/** The part of `[admin]` that names depend on. */
export type AdminNames = Pick<Config["admin"], "host" | "allowed_hosts">;

/** IP addresses as URLs write them: IPv4 in dots, IPv6 in brackets. */
const ADDRESS = /^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\])$/;

/** A `Host` header's name without its port, as URLs write it; undefined if it is not a name. */
function nameOf(host: string): string | undefined {
  const url = /^[^/?#@\\\s]+$/.test(host) && URL.canParse(`http://${host}`)
    ? new URL(`http://${host}`)
    : undefined;
  return url?.hostname.replace(/\.$/, "");
}

function isOwnName(name: string, { host, allowed_hosts }: AdminNames): boolean {
  if (ADDRESS.test(name) || name === "localhost" || name.endsWith(".localhost")) return true;
  return [host, ...allowed_hosts].some((own) => own.toLowerCase() === name);
}

/** Throws `host-not-allowed` (403) for a request to a name that the listener does not accept. */
export function requireOwnName(request: Request, names: AdminNames): void {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  const name = nameOf(host);
  if (name !== undefined && isOwnName(name, names)) return;
  const shown = JSON.stringify(host.slice(0, SHOWN_UNITS));
  throw new ArqonError(
    "host-not-allowed",
    `${shown}; expected localhost, an address, or a name in [admin] allowed_hosts`,
  );
}

// Answers without an end, such as a followed log.

/** How often a silent answer is checked, in ms: a revocation acts within a second. */
const LOOK_MS = 1_000;
/** Answers without an end. An export has one, and is not cut before it. */
const endless = new WeakSet<Response>();

/** Marks an answer that has no end of its own. */
export function withoutEnd(response: Response): Response {
  endless.add(response);
  return response;
}

/** The same answer, which ends once `requireStill` throws if it has no end of its own. */
export function endingWith(response: Response, requireStill: () => void): Response {
  const isOver = () => {
    try {
      requireStill();
      return false;
    } catch {
      // Whatever the refusal is: what has begun cannot report it.
      return true;
    }
  };
  const { body } = response;
  if (body === null || !endless.has(response)) return response;
  const reader = body.getReader();
  // A pending read resolves as ended, and with it the answer.
  const looks = setInterval(() => isOver() && void reader.cancel(), LOOK_MS);
  const stop = () => clearInterval(looks);
  reader.closed.then(stop, stop);
  const bounded = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (!done && !isOver()) return controller.enqueue(value);
      controller.close();
      await reader.cancel();
    },
    cancel: () => reader.cancel(),
  }, { highWaterMark: 0 });
  return new Response(bounded, response);
}
