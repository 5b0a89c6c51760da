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
