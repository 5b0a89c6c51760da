/**
 * The host names that the admin listener accepts. A page of another site can point its own name at the address of this
 * listener (DNS rebinding). For the browser the page then has the same origin, and only the `Host` header reveals it.
 * That attack needs a name, so IP addresses are always accepted.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../../shared/config/schema.ts";

/** The part of `[admin]` that names depend on. */
export type AdminNames = Pick<Config["admin"], "host" | "allowed_hosts">;

const SHOWN_UNITS = 100;
/** IP addresses as URLs write them: IPv4 in dots, IPv6 in brackets. */
const ADDRESS = /^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\])$/;

/** A `Host` header's name without its port, as URLs write it; undefined if it is not a name. */
function nameOf(host: string): string | undefined {
  const url = /^[^/?#@\\\s]+$/.test(host) && URL.canParse(`http://${host}`)
    ? new URL(`http://${host}`)
    : undefined;
  return url?.hostname.replace(/\.$/, "");
}

function isOwn(name: string, { host, allowed_hosts }: AdminNames): boolean {
  if (ADDRESS.test(name) || name === "localhost" || name.endsWith(".localhost")) return true;
  return [host, ...allowed_hosts].some((own) => own.toLowerCase() === name);
}

/** Throws `host-not-allowed` (403) for a request to a name that the listener does not accept. */
export function requireOwnName(request: Request, names: AdminNames): void {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  const name = nameOf(host);
  if (name !== undefined && isOwn(name, names)) return;
  const shown = JSON.stringify(host.slice(0, SHOWN_UNITS));
  throw new ArqonError(
    "host-not-allowed",
    `${shown}; expected localhost, an address, or a name in [admin] allowed_hosts`,
  );
}

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
