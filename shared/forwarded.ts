/**
 * Whose a request is that came through proxies: the address in X-Forwarded-For or Forwarded (RFC
 * 7239) that the last trusted one has seen. Only what trusted peers say counts, from the right, and
 * nothing left of the first address that is not trusted. Pure; who is trusted is configuration.
 */
import { isIP } from "node:net";
import type { ClientOf } from "./http1/exchange.ts";

/** A header that proxies add to, by its name in lower case. */
export type ForwardedHeader = "x-forwarded-for" | "forwarded";

/** More hops than anybody has; what is left of them is not looked at. */
const HOPS_MAX = 32;

/**
 * Reads one header, and no other: a proxy adds to the one that it knows, and passes on what a client
 * writes into the other.
 */
export function clientBehind(
  isTrusted: (address: string) => boolean,
  header: ForwardedHeader,
): ClientOf {
  return (peer, valuesOf) => {
    if (!isTrusted(peer.hostname)) return peer;
    let client: string | undefined;
    for (const hop of hopsOf(valuesOf(header), header)) {
      // From here on a stranger may have written it.
      if (hop === undefined) break;
      client = hop;
      if (!isTrusted(hop)) break;
    }
    return client === undefined ? peer : { ...peer, hostname: client, port: 0 };
  };
}

/** The addresses, last first; undefined for what is none ("unknown", "_hidden", nonsense). */
function hopsOf(values: readonly string[], header: ForwardedHeader): (string | undefined)[] {
  const elements = values.flatMap((value) => value.split(","));
  const texts = header === "forwarded" ? elements.map(forOf) : elements;
  return texts.slice(-HOPS_MAX).reverse().map(addressOf);
}

/** What `for=` of one element says; quotes cannot hide a comma in an address. */
function forOf(element: string): string {
  const pairs = element.split(";").map((pair) => /^\s*for\s*=\s*"?([^"]*)"?\s*$/i.exec(pair)?.[1]);
  const said = pairs.filter((text) => text !== undefined);
  return said.length === 1 ? said[0] as string : "";
}

/** With or without a port, and brackets around IPv6. */
function addressOf(text: string): string | undefined {
  const trimmed = text.trim();
  const bare = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(trimmed)?.[1] ??
    /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(trimmed)?.[1] ?? trimmed;
  const address = bare.replace(/^::ffff:(?=\d+\.)/i, "").toLowerCase();
  return isIP(address) === 0 ? undefined : address;
}
