/**
 * The client's address behind proxies, from X-Forwarded-For or Forwarded (RFC 7239). The header is read from the right;
 * only entries by trusted peers count, and nothing left of the first untrusted address. The configuration names trusted
 * peers. A proxy that it does not name is reported.
 */
import { isIP } from "node:net";
import { BoundedMap } from "../containers/bounded_map.ts";
import type { ClientOf } from "../http1/exchange.ts";
import { usualAddress } from "../http1/proxy.ts";
import type { Logger } from "../logs/log.ts";

const HEADERS = ["x-forwarded-for", "forwarded"] as const;
/** The header that proxies extend, in lower case. */
export type ForwardedHeader = typeof HEADERS[number];

/** The most remembered peers; beyond that the oldest is dropped. */
const PEERS_MAX = 64;
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

/**
 * Counts requests of untrusted peers that name several clients: a proxy in front that is none of `[server]
 * trusted_proxies`, or that names clients in the other header. All its clients then have one address, and share the
 * limits of one. Anybody may write such a header, so nothing but a log line and a counter depends on it.
 */
export class UnseenClients {
  /** Requests that named another client than the last one of the same peer. */
  count = 0;
  readonly #log: Logger;
  /** By peer, the client that it named last. */
  readonly #named = new BoundedMap<string, string>(PEERS_MAX);

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Wraps `known`: checks each request for which it finds no other client than the peer. */
  behind(known: ClientOf): ClientOf {
    return (peer, valuesOf) => {
      const client = known(peer, valuesOf);
      if (client === peer) this.#look(peer.hostname, valuesOf);
      return client;
    };
  }

  #look(peer: string, valuesOf: Parameters<ClientOf>[1]): void {
    for (const header of HEADERS) {
      const [named] = hopsOf(valuesOf(header), header);
      if (named === undefined) continue;
      const before = this.#named.get(peer);
      this.#named.set(peer, named);
      if (before !== undefined && before !== named) this.#notice(peer, header);
      return;
    }
  }

  #notice(peer: string, header: ForwardedHeader): void {
    if (this.count++ > 0) return;
    this.#log.warn(
      "one address reports several clients but is not trusted: they share its limits; " +
        "is it a proxy that [server] trusted_proxies should list, or another forwarded_header?",
      { peer, header },
    );
  }
}
