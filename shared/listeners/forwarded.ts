/**
 * The client's address behind proxies, from X-Forwarded-For or Forwarded (RFC 7239). The header is read from the right;
 * only entries by trusted peers count, and nothing left of the first untrusted address. Pure; the configuration names
 * trusted peers.
 */
import { isIP } from "node:net";
import type { ClientOf } from "../http1/exchange.ts";
import { usualAddress } from "../http1/proxy.ts";

/** The header that proxies extend, in lower case. */
export type ForwardedHeader = "x-forwarded-for" | "forwarded";

/** The most hops that are read; those left of them are ignored. */
const HOPS_MAX = 32;

/**
 * The client behind trusted proxies, by one header only: a proxy extends the header that it knows, and passes on what a
 * client writes into the other.
 */
export function clientBehind(
  isTrusted: (address: string) => boolean,
  header: ForwardedHeader,
): ClientOf {
  return (peer, valuesOf) => {
    if (!isTrusted(peer.hostname)) return peer;
    let client: string | undefined;
    for (const hop of hopsOf(valuesOf(header), header)) {
      // From here on an untrusted client may have written it.
      if (hop === undefined) break;
      client = hop;
      if (!isTrusted(hop)) break;
    }
    return client === undefined ? peer : { ...peer, hostname: client, port: 0 };
  };
}

/** The address written by the nearest proxy; undefined if there is none. */
export function lastHop(values: readonly string[], header: ForwardedHeader): string | undefined {
  return values.length === 0 ? undefined : hopsOf(values, header)[0];
}

/** The addresses in a header, last first; undefined for one that is none ("unknown", "_hidden", nonsense). */
function hopsOf(values: readonly string[], header: ForwardedHeader): (string | undefined)[] {
  const elements = values.flatMap((value) => value.split(","));
  const texts = header === "forwarded" ? elements.map(forOf) : elements;
  return texts.slice(-HOPS_MAX).reverse().map(addressOf);
}

/** The value of `for=` in one element; quotes cannot hide a comma in an address. */
function forOf(element: string): string {
  const pairs = element.split(";").map((pair) => /^\s*for\s*=\s*"?([^"]*)"?\s*$/i.exec(pair)?.[1]);
  const values = pairs.filter((text) => text !== undefined);
  return values.length === 1 ? values[0] as string : "";
}

/** The address in a text with or without a port, and with or without brackets around IPv6. */
function addressOf(text: string): string | undefined {
  const trimmed = text.trim();
  const bare = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(trimmed)?.[1] ??
    /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(trimmed)?.[1] ?? trimmed;
  return isIP(bare) === 0 ? undefined : usualAddress(bare.toLowerCase());
}
